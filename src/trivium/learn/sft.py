"""Supervised learning: cross-entropy of labels given inputs, which need not be the same tokens.

Labels are what the model must say, inputs are what it reads before each label, the mask says which labels count.
Keeping the three apart gives answer-only losses (`Demonstration.mask`), masked thought and other input noise
(`corrupt`), and plain SFT.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from trivium.errors import UserError
from trivium.learn.aggregate import observed_tokens, seq_mean_token_mean, token_mean
from trivium.learn.types import Kind, Loss, TokenBatch


@dataclass(frozen=True, kw_only=True)
class Supervised:
    """loss_it = -log pi(label_it | inputs before it), aggregated."""

    aggregate: Callable[[Tensor, Tensor], tuple[Tensor, float]]
    noise: float = 0.0
    mask_id: int | None = None
    kind: ClassVar[Kind] = "supervised"
    needs_ref: ClassVar[bool] = False
    needs_old: ClassVar[bool] = False

    def inputs(self, labels: Tensor, protected: Tensor, *, vocab_size: int, generator: torch.Generator) -> Tensor:
        """Int[B,S]: what the model reads in place of `labels` Int[B,S]; `protected` Bool[B,S] positions stay."""
        if not self.noise:
            return labels
        return corrupt(
            labels, protected, rate=self.noise, vocab_size=vocab_size, mask_id=self.mask_id, generator=generator
        )

    def count(self, mask: Tensor, truncated: Tensor | None = None) -> float:
        """The denominator of these rows: tokens or sequences."""
        return self.aggregate(mask.float(), mask)[1]

    def __call__(self, batch: TokenBatch) -> Loss:
        logp = batch.logp.masked_fill(~batch.mask, 0.0)
        loss = -logp if batch.weight is None else -logp * batch.weight.masked_fill(~batch.mask, 0.0)
        observed = {"nll": -logp, "entropy": batch.entropy}
        metrics = {k: observed_tokens(v, batch.mask) for k, v in observed.items() if v is not None}
        return Loss(*self.aggregate(loss, batch.mask), metrics)


def sft(*, mean: Literal["token", "sequence"] = "token", noise: float = 0.0, mask_id: int | None = None) -> Supervised:
    """Cross-entropy on demonstrations; `noise` is the share of solution tokens corrupted in the input only.

    mean=token: L = -sum_it log pi / sum_i T_i.  mean=sequence: L = -1/N sum_i 1/T_i sum_t log pi.
    noise: Chen et al. 2024 (Masked Thought), arXiv:2403.02178, with 0.2 to 0.4; replacements are `mask_id`, or uniform
    tokens where none is given.  Departure: the paper raises the rate from 0 over the first two thirds of training.
    """
    if not 0 <= noise < 1:
        raise UserError(f"sft: noise={noise}; expected a share of tokens, at least 0 and below 1")
    return Supervised(aggregate=token_mean if mean == "token" else seq_mean_token_mean, noise=noise, mask_id=mask_id)


def corrupt(
    ids: Tensor, protected: Tensor, *, rate: float, vocab_size: int, mask_id: int | None, generator: torch.Generator
) -> Tensor:
    """Replace each unprotected token, independently with probability `rate`, by `mask_id` or by a uniform random token.

    ids Int[B,S], protected Bool[B,S] (prompt, special tokens, padding); `generator` lives on the CPU.  Returns new ids.
    """
    hit = torch.rand(ids.shape, generator=generator) < rate
    noise = torch.randint(vocab_size, ids.shape, generator=generator, dtype=ids.dtype)
    if mask_id is not None:
        noise = torch.full_like(noise, mask_id)
    return torch.where(hit.to(ids.device) & ~protected, noise.to(ids.device), ids)
