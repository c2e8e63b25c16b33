"""Importance ratios between the policy being trained and the one that sampled, Float[B,T] with gradient.

Both arguments are 0 at padded positions, so a ratio is 1 there.
"""

from __future__ import annotations

from torch import Tensor


def token_ratio(logp: Tensor, old_logp: Tensor, mask: Tensor) -> Tensor:
    """rho_t = pi(o_t) / pi_old(o_t)."""
    return (logp - old_logp).exp()


def sequence_ratio(logp: Tensor, old_logp: Tensor, mask: Tensor) -> Tensor:
    """s = exp(1/T sum_t log rho_t), the same at every token.  Zheng et al. 2025 (GSPO), arXiv:2507.18071.

    The geometric mean of the token ratios: without the 1/T one clip range could not serve short and long answers.
    """
    mean = (logp - old_logp).sum(-1, keepdim=True) / mask.sum(-1, keepdim=True).clamp(min=1)
    return mean.exp().expand_as(logp)
