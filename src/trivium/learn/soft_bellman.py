"""Policy and value by the soft Bellman equation, from responses of the policy itself or from ones sampled before.

With a reward R at the end and a price beta on leaving the reference, the best policy and its value satisfy, in every
state and for every action,

    V(s_t) = R - beta sum_{j >= t} log pi(o_j | s_j) / ref(o_j | s_j)

so both are fitted to it on any data, without pairs: the value by the square of the gap between the two sides, the
policy by the same square, in which the action taken at s_t alone carries a gradient.  That gradient is the one of
REINFORCE with 2 beta times the gap (right side minus left) as advantage: `bellman_gap`.  The right side is a
return-to-go with the price inside the reward, which `advantage.return_to_go` computes.

Whose samples they are decides what stands beside the squares.  `judged` is the paper's: fixed samples of the reference,
a critic's values, a KL that is exact on them.  `soft_bellman` is for samples that the policy drew just now, as
`trivium learn` has them: the squares are then REINFORCE on R - beta log pi/ref, the KL is one for samples of the
policy, and the value of a group is a baseline.

An action is a token, a step (all tokens up to a line break) or the whole response; `action_starts` says where they
begin.  Wang et al. 2024 (OREO), arXiv:2412.16145.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from trivium.errors import UserError
from trivium.learn.advantage import highest, return_to_go, total
from trivium.learn.aggregate import token_mean
from trivium.learn.kl import k2
from trivium.learn.policy_gradient import PolicyGradient
from trivium.learn.ratio import token_ratio
from trivium.learn.surrogate import reinforce
from trivium.learn.types import StepBatch

Level = Literal["token", "step", "response"]


def bellman_gap(step: StepBatch, *, beta: float, values: Tensor | None = None, starts: Tensor | None = None) -> Tensor:
    """A_t = 2 beta (G_s - V(s)), Float[B,T], s being the state in which the action of token t began.

    G_s is the return-to-go with beta k1 inside the reward, under the step's `old_logp`: give those of the policy as it
    is now.  values Float[B,T or more] are those of states 0, 1, ...; without any, every state has the soft value of its
    group.  starts Int[B,T] (tokens if `None`); for longer actions A is scaled so that a mean over tokens is one over
    actions.
    """
    width = step.mask.shape[1]
    worth = soft_value(step, beta)[:, None] if values is None else values[:, :width].to(step.reward.dtype)
    gap = return_to_go(step, beta=beta) - worth
    scale = 2 * beta
    if starts is not None:
        gap = gap.gather(1, starts)
        scale *= float(step.mask.sum()) / float(begins(starts, step.mask).sum())
    return scale * gap.masked_fill(~step.mask, 0.0)


def soft_value(step: StepBatch, beta: float) -> Tensor:
    """beta log mean_G exp(R / beta), Float[B]: what a prompt is worth, seen from the samples of its group.

    From samples of the reference that is an estimate of V.  From samples of the policy it is one baseline a prompt,
    between the mean and the highest reward of the group, and no value of the equation; a sample's own reward is in it.
    """
    top = highest(step.reward, step.group)
    spread = ((step.reward - top) / beta).exp()
    mean = total(spread, step.group) / total(torch.ones_like(top), step.group)
    return top + beta * mean.log()


def reference_kl(logp: Tensor, ref_logp: Tensor) -> Tensor:
    """rho log rho - rho + 1 with rho = pi / ref: KL(policy || reference) from samples of the reference; never negative.

    Its expectation and its gradient's are exact where the reference sampled, which is where the estimators of
    `trivium.learn.kl` are not; on samples of the policy it is far too large, and those are right.
    """
    d = logp - ref_logp
    return d.exp() * (d - 1) + 1


def soft_bellman(*, beta: float = 0.03, leash: float = 0.01) -> PolicyGradient:
    """Soft Bellman: push each action by how much its return, the price of leaving the reference paid, beats its state.

    L = 1/N sum_t (V(s_t) - R + beta sum_{j >= t} log pi/ref)^2 + leash KL(pi || ref), of which the log-ratio at t alone
    carries a gradient.  For samples of the policy as it is, one update per rollout: the KL is k2, whose gradient is
    right on those, and V is the group's baseline (`soft_value`).  `judged` is for samples of the reference.
    Wang et al. 2024 (OREO), arXiv:2412.16145: beta 0.03 and leash 0.01 by token.  Departures: the paper's samples are
    fixed and its values a critic's; the KL is estimated on the samples and not summed over the vocabulary.
    """
    if not beta > 0 or not leash >= 0:
        raise UserError(f"soft-bellman: beta={beta}, leash={leash}; expected beta above 0 and leash of at least 0")
    return PolicyGradient(
        advantage=partial(bellman_gap, beta=beta), ratio=token_ratio, surrogate=reinforce, aggregate=token_mean,
        kl=k2, beta=leash, grouped=False, on_policy=True, needs_ref=True,
    )  # fmt: skip


def judged(values: Tensor, starts: Tensor | None = None, *, beta: float = 0.03, leash: float = 0.01) -> PolicyGradient:
    """`soft_bellman` on samples of the reference, for one step: a critic's values, actions that begin at `starts`.

    The equation holds on anyone's samples, so they may be used again and again; the KL (`reference_kl`) is right on
    those of the reference alone.
    """
    made = soft_bellman(beta=beta, leash=leash)
    gap = partial(bellman_gap, beta=beta, values=values, starts=starts)
    return replace(made, advantage=gap, kl=reference_kl, on_policy=False)


def action_starts(responses: Sequence[Sequence[int]], level: Level, ends: Collection[int] = ()) -> Tensor:
    """Int[B,T]: the place of the first token of each token's action; a step ends with a token of `ends`."""
    width = max(map(len, responses))
    made = torch.arange(width).repeat(len(responses), 1)
    if level == "response":
        return torch.zeros_like(made)
    for row, ids in zip(made, responses, strict=True):
        start = 0
        for t, token in enumerate(ids if level == "step" else ()):
            row[t] = start
            start = t + 1 if token in ends else start
    return made


def begins(starts: Tensor, mask: Tensor) -> Tensor:
    """Bool[B,T]: the tokens that an action begins with."""
    return (starts == torch.arange(starts.shape[1])) & mask
