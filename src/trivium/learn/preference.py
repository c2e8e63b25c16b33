"""Preference learning: one record for pairs and credit of any origin, and five losses over it.

Every loss is a score of a response, a scaled difference, and a shape:

    u = scale (score(chosen) - score(rejected)) - margin        loss = (1 - e) shape(u) + e shape(-u)

    name      score of a response y                  scale   margin             shape
    dpo       sum_t log pi/ref                       beta    of the record      -log sigmoid(u)
    step-dpo  the same, from the record's start      beta    of the record      -log sigmoid(u)
    dpo-nll   as dpo                                 beta    of the record      and alpha x -mean_t log pi(chosen)
    ipo       sum_t log pi/ref                       1       of the record      (u - 1/(2 beta))^2
    simpo     mean_t log pi                          beta    gamma + record's   -log sigmoid(u)

e is the probability that the label is the wrong way round.  A margin of alpha (Q_w - Q_l) makes step-dpo Step-APO.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from trivium.errors import UserError
from trivium.learn.types import Kind, Loss, PairBatch, required


@dataclass(frozen=True, slots=True)
class Preference:
    """After `context`, `chosen` is better than `rejected`.  All are token ids.

    `start` is the first token of the first step that differs; the two agree before it.  `weight` multiplies the loss;
    `margin` is how far apart the scaled scores should be; `smoothing` is the probability, at most 1/2, that the label
    is wrong.  Empty token masks count every token, others are as long as their response.
    """

    context: tuple[int, ...]
    chosen: tuple[int, ...]
    rejected: tuple[int, ...]
    start: int = 0
    weight: float = 1.0
    margin: float = 0.0
    smoothing: float = 0.0
    chosen_mask: tuple[bool, ...] = ()
    rejected_mask: tuple[bool, ...] = ()

    def __post_init__(self) -> None:
        if not self.chosen or not self.rejected:
            raise ValueError("a preference needs two responses of at least one token")
        if not 0 <= self.start <= min(len(self.chosen), len(self.rejected)):
            raise ValueError(f"start={self.start} lies outside the responses")
        if self.chosen[: self.start] != self.rejected[: self.start]:
            raise ValueError(f"chosen and rejected differ before start={self.start}; expected a shared prefix")
        if self.weight < 0 or not 0 <= self.smoothing <= 0.5:
            raise ValueError(f"weight={self.weight}, smoothing={self.smoothing}; expected >= 0 and in [0, 0.5]")
        for mask, response in ((self.chosen_mask, self.chosen), (self.rejected_mask, self.rejected)):
            if mask and len(mask) != len(response):
                raise ValueError(f"a token mask has {len(mask)} entries for a response of {len(response)} tokens")


def pair_batch(
    pairs: Sequence[Preference],
    chosen_logp: Tensor,
    rejected_logp: Tensor,
    chosen_ref_logp: Tensor | None = None,
    rejected_ref_logp: Tensor | None = None,
) -> PairBatch:
    """Put records and the log-probs of their responses, Float[P,T] and Float[P,U] padded on the right, together."""
    return PairBatch(
        chosen_logp=chosen_logp,
        rejected_logp=rejected_logp,
        chosen_mask=_stack([p.chosen_mask or (True,) * len(p.chosen) for p in pairs], chosen_logp),
        rejected_mask=_stack([p.rejected_mask or (True,) * len(p.rejected) for p in pairs], rejected_logp),
        start=chosen_logp.new_tensor([p.start for p in pairs], dtype=torch.long),
        weight=chosen_logp.new_tensor([p.weight for p in pairs]),
        margin=chosen_logp.new_tensor([p.margin for p in pairs]),
        smoothing=chosen_logp.new_tensor([p.smoothing for p in pairs]),
        chosen_ref_logp=chosen_ref_logp,
        rejected_ref_logp=rejected_ref_logp,
    )


@dataclass(frozen=True, kw_only=True)
class Pairwise:
    """A loss on pairs; see the table at the top of this file.  `smoothing` is a floor for the record's own.

    `imitate` adds so much of the mean negative log-likelihood of the chosen response's tokens.
    """

    score: Callable[[Tensor, Tensor | None, Tensor], Tensor]
    shape: Callable[[Tensor], Tensor]
    scale: float = 1.0
    margin: float = 0.0
    smoothing: float = 0.0
    from_start: bool = False
    imitate: float = 0.0
    needs_ref: bool = True
    kind: ClassVar[Kind] = "preference"
    needs_old: ClassVar[bool] = False

    def count(self, mask: Tensor, truncated: Tensor | None = None) -> float:
        """The denominator: pairs."""
        return float(len(mask))

    def __call__(self, batch: PairBatch) -> Loss:
        chosen = self._score(batch.chosen_logp, batch.chosen_ref_logp, batch.chosen_mask, batch.start)
        rejected = self._score(batch.rejected_logp, batch.rejected_ref_logp, batch.rejected_mask, batch.start)
        gap = chosen - rejected
        u = self.scale * gap - batch.margin - self.margin
        flipped = batch.smoothing.clamp(min=self.smoothing)
        loss = (1 - flipped) * self.shape(u) + flipped * self.shape(-u)
        if self.imitate:
            logp = batch.chosen_logp.masked_fill(~batch.chosen_mask, 0.0)
            loss = loss - self.imitate * mean_log_prob(logp, None, batch.chosen_mask)
        loss = batch.weight * loss
        n = float(len(gap))
        seen = {"preferred": gap > 0, "gap": gap, "chosen_score": chosen, "rejected_score": rejected}
        return Loss(loss.sum(), n, {k: (float(v.detach().float().sum()), n) for k, v in seen.items()})

    def _score(self, logp: Tensor, ref: Tensor | None, mask: Tensor, start: Tensor) -> Tensor:
        if self.from_start:
            mask = mask & (torch.arange(mask.shape[1], device=mask.device) >= start[:, None])
        ref = None if ref is None else ref.masked_fill(~mask, 0.0)
        return self.score(logp.masked_fill(~mask, 0.0), ref, mask)


def log_ratio(logp: Tensor, ref_logp: Tensor | None, mask: Tensor) -> Tensor:
    """sum_t log pi/ref, Float[P]."""
    return (logp - required(ref_logp, "reference log-probs", "this score is relative to the reference")).sum(-1)


def mean_log_ratio(logp: Tensor, ref_logp: Tensor | None, mask: Tensor) -> Tensor:
    """1/T sum_t log pi/ref, Float[P]."""
    return log_ratio(logp, ref_logp, mask) / mask.sum(-1).clamp(min=1)


def mean_log_prob(logp: Tensor, ref_logp: Tensor | None, mask: Tensor) -> Tensor:
    """1/T sum_t log pi, Float[P]; needs no reference."""
    return logp.sum(-1) / mask.sum(-1).clamp(min=1)


def logistic(u: Tensor) -> Tensor:
    """-log sigmoid(u): maximum likelihood of the Bradley-Terry model."""
    return F.softplus(-u)


def squared(u: Tensor, *, target: float) -> Tensor:
    """(u - target)^2: a gap beyond the target costs again, so certain pairs are not pushed apart for ever."""
    return (u - target).square()


def dpo(*, beta: float = 0.1, smoothing: float = 0.0) -> Pairwise:
    """DPO: logistic loss on the difference of log-ratios of whole responses.

    L = -log sigmoid(beta [log pi/ref(chosen) - log pi/ref(rejected)] - margin).  Rafailov et al. 2023,
    arXiv:2305.18290; smoothing as in conservative DPO (Mitchell 2023), the margin as in ODPO (Amini et al. 2024,
    arXiv:2402.10571).
    """
    return Pairwise(score=log_ratio, shape=logistic, scale=_beta("dpo", beta), smoothing=_smoothing("dpo", smoothing))


def dpo_nll(*, beta: float = 0.1, alpha: float = 1.0, smoothing: float = 0.0) -> Pairwise:
    """DPO and imitation of what is preferred: without it both sides often grow less likely, only the worse one faster.

    L = dpo - alpha mean_t log pi(chosen).  Pang et al. 2024, arXiv:2404.19733, with alpha 1; `rpo_alpha` of TRL.
    """
    if alpha < 0:
        raise UserError(f"dpo-nll: alpha={alpha}; expected a number of at least 0")
    return replace(dpo(beta=_beta("dpo-nll", beta), smoothing=_smoothing("dpo-nll", smoothing)), imitate=alpha)


def step_dpo(*, beta: float = 0.4, smoothing: float = 0.0) -> Pairwise:
    """Step-DPO: DPO from the first differing step on; what comes before it is context.

    As `dpo` with sums over t >= start; a token mask ends the step.  A shared prefix cancels in `dpo` as well, up to
    rounding and noise in the forward pass.  Lai et al. 2024, arXiv:2406.18629, beta 0.4 or 0.5.
    """
    return Pairwise(
        score=log_ratio,
        shape=logistic,
        scale=_beta("step-dpo", beta),
        smoothing=_smoothing("step-dpo", smoothing),
        from_start=True,
    )


def ipo(*, beta: float = 0.1, average: bool = False, smoothing: float = 0.0) -> Pairwise:
    """IPO: squared distance of the difference of log-ratios from 1/(2 beta), which bounds overfitting to certain pairs.

    L = (log pi/ref(chosen) - log pi/ref(rejected) - margin - 1/(2 beta))^2.  Azar et al. 2023, arXiv:2310.12036.
    The paper sums over tokens; TRL divides each log-ratio by its length, which is `average` here.
    """
    return Pairwise(
        score=mean_log_ratio if average else log_ratio,
        shape=partial(squared, target=1 / (2 * _beta("ipo", beta))),
        smoothing=_smoothing("ipo", smoothing),
    )


def simpo(*, beta: float = 2.0, gamma: float = 1.0, smoothing: float = 0.0) -> Pairwise:
    """SimPO: length-normalised log-probs with a target margin; no reference model.

    L = -log sigmoid(beta [mean_t log pi(chosen) - mean_t log pi(rejected)] - gamma - margin).
    Meng et al. 2024, arXiv:2405.14734, beta 2 to 2.5 and gamma/beta around 0.5.
    """
    return Pairwise(
        score=mean_log_prob,
        shape=logistic,
        scale=_beta("simpo", beta),
        margin=gamma,
        smoothing=_smoothing("simpo", smoothing),
        needs_ref=False,
    )


def _beta(name: str, beta: float) -> float:
    if beta <= 0:
        raise UserError(f"{name}: beta={beta}; expected a positive number")
    return beta


def _smoothing(name: str, smoothing: float) -> float:
    if not 0 <= smoothing <= 0.5:
        raise UserError(f"{name}: smoothing={smoothing}; expected a probability of at most 0.5")
    return smoothing


def _stack(masks: Sequence[tuple[bool, ...]], like: Tensor) -> Tensor:
    out = torch.zeros(like.shape, dtype=torch.bool, device=like.device)
    for row, mask in zip(out, masks, strict=True):
        row[: len(mask)] = torch.tensor(mask, device=like.device)
    return out
