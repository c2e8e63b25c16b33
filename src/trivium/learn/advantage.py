"""Advantages: how much better than expected each rollout, or each of its tokens, was.

Every function maps the whole step to Float[B] or Float[B,T], is called once before the step is cut into micro-batches,
and gives exactly 0 where there is nothing to compare: a group of one, or a group whose rewards are all equal.  R_i is
the reward of rollout i, G the size of its group, k1_t = log pi_old(o_t) - log pi_ref(o_t).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from trivium.learn.kl import k1
from trivium.learn.types import StepBatch, required


def group_centre(step: StepBatch) -> Tensor:
    """A_i = R_i - mean_G(R), Float[B].  Liu et al. 2025 (Dr.GRPO), arXiv:2503.20783."""
    return _centre(step.reward, step.group)


def group_zscore(step: StepBatch, *, eps: float = 1e-4, ddof: int = 1) -> Tensor:
    """A_i = (R_i - mean_G(R)) / (std_G(R) + eps), Float[B].  Shao et al. 2024 (GRPO), arXiv:2402.03300.

    The paper names neither `ddof` nor `eps`.  verl, TRL and OpenRLHF all take the sample deviation (ddof 1), with eps
    1e-6, 1e-4 and 1e-9.  With a nearly constant graded reward eps decides the step size, so we use the largest.
    """
    centred = _centre(step.reward, step.group)
    variance = total(centred**2, step.group) / (_size(step) - ddof).clamp(min=1)
    return centred / (variance.sqrt() + eps)


def leave_one_out(step: StepBatch, *, beta: float = 0.0) -> Tensor:
    """A_i = R'_i - mean_{j != i} R'_j with R'_i = R_i - beta sum_t k1_t, Float[B].

    Equal to G/(G-1) times the centred reward.  Kool et al. 2019; Ahmadian et al. 2024 (RLOO), arXiv:2402.14740.
    """
    reward = step.reward - _penalty(step, beta).sum(-1)
    return _centre(reward, step.group) * _size(step) / (_size(step) - 1).clamp(min=1)


def return_to_go(step: StepBatch, *, beta: float = 0.0) -> Tensor:
    """G_t = sum_{s >= t} r_s with r_t = 1[t = T] R - beta k1_t, Float[B,T]: the reward at the end, KL along the way."""
    return step.reward[:, None] - _penalty(step, beta).flip(-1).cumsum(-1).flip(-1)


def batch_whiten(step: StepBatch, *, beta: float = 0.0, eps: float = 1e-8) -> Tensor:
    """A_t = (G_t - mean) / (std + eps) over all tokens of the step, Float[B,T]; G_t as in `return_to_go`, ddof 0.

    Tokens, not rollouts, are averaged: long answers dominate the mean and the deviation.
    Hu et al. 2025 (REINFORCE++), arXiv:2501.03262.
    """
    returns = return_to_go(step, beta=beta)
    tokens = returns[step.mask]
    tokens = tokens - tokens.min()  # equal returns then centre to exactly 0
    whitened = (tokens - tokens.mean()) / (tokens.std(correction=0) + eps)
    return torch.zeros_like(returns).masked_scatter(step.mask, whitened)


def group_centre_batch_whiten(step: StepBatch, *, beta: float = 0.0, eps: float = 1e-8) -> Tensor:
    """`batch_whiten` of the group-centred reward, Float[B,T]: the "-baseline" form of REINFORCE++."""
    return batch_whiten(replace(step, reward=group_centre(step)), beta=beta, eps=eps)


def everything(step: StepBatch) -> Tensor:
    """Bool[B]: keep every rollout."""
    return torch.ones_like(step.group, dtype=torch.bool)


def mixed_outcomes(step: StepBatch) -> Tensor:
    """Bool[B]: keep the groups with a correct and a wrong rollout.  Yu et al. 2025 (DAPO), arXiv:2503.14476.

    Judged by the verdict, never by the shaped reward: with a length bonus a group of failures still has spread in its
    rewards, and training on it teaches to fail briefly.
    """
    correct = required(step.correct, "correct", "groups are kept by their outcomes")
    solved = total(correct.to(step.reward.dtype), step.group)
    return (solved > 0) & (solved < _size(step))


def _penalty(step: StepBatch, beta: float) -> Tensor:
    """beta k1_t, Float[B,T], 0 at padding."""
    if not beta:
        return torch.zeros_like(step.mask, dtype=step.reward.dtype)
    old = required(step.old_logp, "old_logp", "beta > 0 puts a KL penalty inside the reward")
    ref = required(step.ref_logp, "ref_logp", "beta > 0 puts a KL penalty inside the reward")
    return beta * k1(old, ref).masked_fill(~step.mask, 0.0)


def _centre(values: Tensor, group: Tensor) -> Tensor:
    """values - mean_G(values), measured from the group's minimum so that equal values give 0 without rounding error."""
    above = values - lowest(values, group)
    return above - total(above, group) / total(torch.ones_like(above), group)


def _size(step: StepBatch) -> Tensor:
    return total(torch.ones_like(step.reward), step.group)


def total(values: Tensor, group: Tensor) -> Tensor:
    """For each row, the sum of `values` over its group, Float[B]."""
    index = _index(group)
    return torch.zeros_like(values).index_add(0, index, values)[index]


def lowest(values: Tensor, group: Tensor) -> Tensor:
    """For each row, the least of `values` in its group, Float[B]."""
    index = _index(group)
    return torch.full_like(values, torch.inf).scatter_reduce(0, index, values, "amin")[index]


def highest(values: Tensor, group: Tensor) -> Tensor:
    """For each row, the largest of `values` in its group, Float[B]."""
    return -lowest(-values, group)


def _index(group: Tensor) -> Tensor:
    """Group numbers 0, 1, ... in place of arbitrary ones."""
    index: Tensor = torch.unique(group, return_inverse=True)[1]
    return index
