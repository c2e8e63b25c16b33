"""Imitate what is right, shrink from what is wrong, and weigh each token by what a critic makes of it.

    L = - 1/N+ sum_{i right, t} R_i w_it log pi(o_it)  -  1/N- sum_{i wrong, t} R_i w_it log pi(o_it)  +  beta KL

The tokens of right and of wrong responses are averaged apart, N+ and N- being their numbers, and R_i < 0 where a
response is wrong; how much is the business of `data.contrast`.  Lyu et al. 2025 (OREAL), arXiv:2502.06781.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from trivium.errors import UserError
from trivium.learn.advantage import highest, lowest
from trivium.learn.aggregate import token_mean
from trivium.learn.policy_gradient import PolicyGradient
from trivium.learn.ratio import token_ratio
from trivium.learn.surrogate import reinforce
from trivium.learn.types import StepBatch


def signed_mean(step: StepBatch) -> Tensor:
    """A_i = R_i N / N(sign of R_i), Float[B], where the rewards of a group differ, and 0 where they do not.

    N is the number of all tokens, N(sign) that of the rows with rewards of this sign, so that a mean over all tokens is
    one over the paid and one over the fined.
    """
    differ = highest(step.reward, step.group) > lowest(step.reward, step.group)
    reward = torch.where(differ, step.reward, 0.0)
    lengths = step.lengths.to(reward.dtype)
    share = torch.zeros_like(reward)
    for mine in (reward > 0, reward < 0):
        share[mine] = lengths.sum() / lengths[mine].sum()
    return reward * share


def signed_reinforce(*, beta: float = 0.01) -> PolicyGradient:
    """REINFORCE on rewards of either sign as they are, paid and fined tokens averaged apart, beside a reference.

    L = -1/N+ sum R log pi - 1/N- sum R log pi + beta k3, where a group's rewards differ.  One update per rollout, on
    which log pi and log (pi / pi_old) have the same gradient.  Without weights for the tokens this is OREAL's loss but
    for its token credit.  Lyu et al. 2025, arXiv:2502.06781, beta 0.01; the reference is fixed, as in its code.
    """
    if not beta >= 0:
        raise UserError(f"signed-reinforce: beta={beta}; expected a number of at least 0")
    return PolicyGradient(
        advantage=signed_mean, ratio=token_ratio, surrogate=reinforce, aggregate=token_mean, beta=beta,
        on_policy=True, needs_ref=beta > 0, needs_old=False,
    )  # fmt: skip


def weighed(objective: PolicyGradient, weights: Tensor) -> PolicyGradient:
    """The objective for one step whose advantages are multiplied by weights Float[B,T], row by row."""

    def advantage(step: StepBatch) -> Tensor:
        found = objective.advantage(step)
        return (found if found.ndim == 2 else found[:, None]) * weights

    return replace(objective, advantage=advantage)


def token_weights(values: Tensor, right: Tensor, mask: Tensor) -> Tensor:
    """Float[B,T]: how much each token is to blame for its response's outcome, from 0 to 1.

    With m_t the mean of the values after tokens 1 to t: max(2 sigmoid(m_t) - 1, 0) in right responses and
    max(1 - 2 sigmoid(m_t), 0) in wrong ones.  values Float[B,T+1] are those of states 0 to T, right Bool[B], mask
    Bool[B,T].  The running mean is what the authors' code takes, where their text has the token's own value.
    """
    after = values[:, 1:]
    trust = (after.cumsum(1) / torch.arange(1, after.shape[1] + 1) / 2).tanh()
    return torch.where(right[:, None], trust, -trust).clamp(min=0.0).masked_fill(~mask, 0.0)


def shuffled_weights(weights: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
    """Every row's weights in a random order over its tokens: a control that keeps their sum and loses their place."""
    key = torch.rand(weights.shape, generator=generator).masked_fill(~mask, torch.inf)
    return weights.gather(1, key.argsort(1))
