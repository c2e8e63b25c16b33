"""Surrogates: what is maximised at each token, and where the trust region held a token back.

Arguments are Float[B,T]: `logp` and `ratio` carry gradient, `advantage` does not.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Surrogate(NamedTuple):
    """`value` Float[B,T] to maximise; Bool[B,T] marks of tokens limited at the low and at the high side."""

    value: Tensor
    low: Tensor
    high: Tensor


def clipped(logp: Tensor, ratio: Tensor, advantage: Tensor, *, low: float, high: float) -> Surrogate:
    """min(x A, clip(x, 1 - low, 1 + high) A).  Schulman et al. 2017 (PPO), arXiv:1707.06347, eq. 7.

    No dual clip: for A < 0 the value is unbounded below, as in the paper.  verl's default loss adds one (3 |A|).
    """
    value = torch.minimum(ratio * advantage, ratio.clamp(1 - low, 1 + high) * advantage)
    return Surrogate(value, (ratio < 1 - low) & (advantage < 0), (ratio > 1 + high) & (advantage > 0))


def capped_weight(logp: Tensor, ratio: Tensor, advantage: Tensor, *, cap: float) -> Surrogate:
    """sg(min(x, cap)) A log pi: the weight is truncated, but no token loses its gradient.

    MiniMax 2025 (CISPO), arXiv:2506.13585, which leaves the lower side open.  `cap` bounds the ratio itself, as in TRL;
    the same number means 1 + cap in verl.
    """
    value = ratio.detach().clamp(max=cap) * advantage * logp
    return Surrogate(value, torch.zeros_like(ratio, dtype=torch.bool), ratio > cap)


def reinforce(logp: Tensor, ratio: Tensor, advantage: Tensor) -> Surrogate:
    """A log pi, without a ratio: for exactly one update per rollout.  Williams 1992."""
    never = torch.zeros_like(ratio, dtype=torch.bool)
    return Surrogate(advantage * logp, never, never)
