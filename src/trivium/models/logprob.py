"""Log-probabilities of given tokens from hidden states, without ever holding float32 logits for the whole batch.

With a vocabulary of 49,152 and 2,000 trained tokens, float32 logits, their softmax and their gradient would be 1.2 GB.
Here logits are kept once, in the weights' own type; float32 exists for a few rows at a time; and the backward pass
turns the kept logits into their gradient in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from trivium.models.attention import GroupAttention, layout
from trivium.models.decoder import Decoder

CHUNK = 1 << 21
"""Float32 numbers held at a time: 42 rows of a vocabulary of 49,152, thousands of a small one."""
GPU_CHUNK = 1 << 27
"""The same on a GPU, whose memory is not a cache: half a gigabyte."""


def completion_logprobs(
    model: Decoder,
    prompts: Sequence[Sequence[int]],
    completions: Sequence[tuple[int, Sequence[int]]],
    *,
    targets: Sequence[Sequence[int]] | None = None,
    temperature: float = 1.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probs of completions behind shared prompts by one forward pass: logp, entropy and mask, each [B, T].

    `completions` are (prompt index, ids).  `targets` replaces the ids whose log-probs are wanted (of equal lengths)
    while the model still reads `completions`: that is how input noise is trained.  Padded places are 0.

    Wherever the weights are, what is returned is on the processor, where objectives compute with it: it is little, and
    its gradient goes back by itself.
    """
    where = layout(prompts, completions)
    c = model.c
    hidden = model(where.ids, where.positions, GroupAttention(where, c.heads, c.kv_heads, model.head))
    wanted = targets if targets is not None else [ids for _, ids in completions]
    flat = torch.tensor([i for ids in wanted for i in ids]).to(model.device)
    real = where.target_real
    predicting = hidden.index_select(0, where.predicts_at[real].to(model.device))
    logp, entropy = token_logprobs(predicting, model.head, flat, temperature)
    empty = torch.zeros(real.shape, dtype=torch.float32)
    return empty.masked_scatter(real, logp.cpu()), empty.masked_scatter(real, entropy.cpu()), real


def token_logprobs(hidden: Tensor, head: Tensor, ids: Tensor, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """log softmax(hidden @ head.T / temperature)[ids] and the entropy of the same distribution.

    hidden [M, width], head [vocab, width], ids [M] to logp [M] float32 (differentiable in hidden and head) and entropy
    [M] float32 (nats; a metric, no gradient flows).
    """
    logp, entropy = _TokenLogprobs.apply(hidden, head, ids, temperature)  # type: ignore[no-untyped-call]
    return logp, entropy


def _rows(head: Tensor) -> int:
    """How many rows of logits are worked on at a time."""
    return max(1, (CHUNK if head.device.type == "cpu" else GPU_CHUNK) // len(head))


class _TokenLogprobs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: Tensor, ids: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        logits = hidden @ head.t()
        logp = torch.empty(len(ids), dtype=torch.float32, device=hidden.device)
        lse, entropy = torch.empty_like(logp), torch.empty_like(logp)
        rows = _rows(head)
        for at in range(0, len(ids), rows):
            part = slice(at, at + rows)
            # Not in place: `float()` of float32 logits is the kept logits themselves.
            z = logits[part].float() / temperature
            lse[part] = torch.logsumexp(z, dim=-1)
            logp[part] = z.gather(1, ids[part, None]).squeeze(1) - lse[part]
            p = (z - lse[part, None]).exp_()
            entropy[part] = lse[part] - p.mul_(z).sum(-1)
        ctx.save_for_backward(hidden, head, ids, lse)
        ctx.logits, ctx.temperature = logits, temperature
        ctx.mark_non_differentiable(entropy)
        return logp, entropy

    @staticmethod
    def backward(ctx: Any, d_logp: Tensor, _: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        hidden, head, ids, lse = ctx.saved_tensors
        logits, temperature = ctx.logits, ctx.temperature
        if logits is None:
            raise RuntimeError("token_logprobs was differentiated twice; its logits are reused in place and gone")
        ctx.logits = None
        rows = _rows(head)
        for at in range(0, len(ids), rows):
            part = slice(at, at + rows)
            g = logits[part].float().div_(temperature).sub_(lse[part, None]).exp_()
            g.scatter_add_(1, ids[part, None], torch.full_like(g[:, :1], -1.0))
            logits[part] = g.mul_(-d_logp[part, None] / temperature)
        d_hidden = logits @ head if ctx.needs_input_grad[0] else None
        d_head = logits.t() @ hidden if ctx.needs_input_grad[1] else None
        return d_hidden, d_head, None, None
