"""Estimators of KL(policy || reference) from samples of the policy, per token.  Schulman 2020, joschu.net/blog.

d = log pi - log ref.  All three have the same expectation (k2 to second order) but different variance and, used as a
loss, different gradients: only k2's is the gradient of the KL on on-policy samples.
"""

from __future__ import annotations

from torch import Tensor


def k1(logp: Tensor, ref_logp: Tensor) -> Tensor:
    """d: unbiased, high variance, often negative.  For rewards; as a loss its expected gradient is 0."""
    return logp - ref_logp


def k2(logp: Tensor, ref_logp: Tensor) -> Tensor:
    """d^2 / 2: slightly biased; its gradient, d times that of log pi, is that of the KL in expectation."""
    return (logp - ref_logp).square() / 2


def k3(logp: Tensor, ref_logp: Tensor) -> Tensor:
    """exp(-d) - 1 + d: unbiased and never negative; GRPO's penalty."""
    d = logp - ref_logp
    return (-d).expm1() + d
