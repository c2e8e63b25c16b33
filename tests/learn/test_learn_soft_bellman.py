"""The soft Bellman objective: its gradient against the squares of the paper, and the exact optimum of a small tree."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from trivium.learn.advantage import return_to_go
from trivium.learn.policy_gradient import PolicyGradient
from trivium.learn.soft_bellman import (
    Level,
    action_starts,
    begins,
    bellman_gap,
    judged,
    reference_kl,
    soft_bellman,
    soft_value,
)
from trivium.learn.types import StepBatch, TokenBatch

BETA = 0.3
RESPONSES = [(5, 9, 7, 9, 8), (9, 6, 6), (4, 4, 9, 1)]


def random_step(seed: int = 0) -> tuple[StepBatch, Tensor]:
    """Three ragged rows under a policy that has moved from the reference, and values of their states."""
    g = torch.Generator().manual_seed(seed)
    mask = torch.arange(5) < torch.tensor([len(r) for r in RESPONSES])[:, None]
    old, ref, values = (-torch.rand(3, n, generator=g, dtype=torch.float64) for n in (5, 5, 6))
    reward = torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)
    return StepBatch(reward, torch.arange(3), mask, torch.zeros(3).bool(), None, old, ref), values


@pytest.mark.parametrize("level", ["token", "step", "response"])
def test_the_gradient_is_that_of_the_squares_in_which_one_action_is_free(level: Level) -> None:
    step, values = random_step()
    starts = action_starts(RESPONSES, level, {9})
    logp = step.old_logp.clone().requires_grad_()
    objective = judged(values, starts, beta=BETA, leash=0.0)
    loss = objective(TokenBatch(logp, step.mask, advantage=objective.advantages(step)))
    (gradient,) = torch.autograd.grad(loss.sum / loss.count, logp)

    total, actions = 0.0, 0
    for i, ids in enumerate(RESPONSES):
        for start in sorted(set(starts[i, : len(ids)].tolist())):
            own = [t for t in range(len(ids)) if starts[i, t] == start]
            later = sum(float(step.old_logp[i, t] - step.ref_logp[i, t]) for t in range(own[-1] + 1, len(ids)))
            free = sum(logp[i, t] - step.ref_logp[i, t] for t in own)
            total = total + (values[i, start] - step.reward[i] + BETA * free + BETA * later) ** 2
            actions += 1
    assert actions == int(begins(starts, step.mask).sum()) == {"token": 12, "step": 7, "response": 3}[level]
    (expected,) = torch.autograd.grad(total / actions, logp)
    assert torch.allclose(gradient, expected, atol=1e-12)


def test_actions_begin_where_the_one_before_ended() -> None:
    assert action_starts(RESPONSES, "step", {9}).tolist() == [[0, 0, 2, 2, 4], [0, 1, 1, 3, 4], [0, 0, 0, 3, 4]]
    assert action_starts(RESPONSES, "token", {9}).tolist() == [[0, 1, 2, 3, 4]] * 3
    assert action_starts(RESPONSES, "response").tolist() == [[0] * 5] * 3


def test_without_values_the_group_says_what_its_prompt_is_worth() -> None:
    reward = torch.tensor([1.0, 0.0, 0.0, 0.5, 0.5], dtype=torch.float64)
    mask = torch.ones(5, 2).bool()
    same = torch.zeros(5, 2, dtype=torch.float64)
    step = StepBatch(reward, torch.tensor([0, 0, 0, 1, 1]), mask, torch.zeros(5).bool(), None, same, same)
    worth = BETA * math.log((math.exp(1 / BETA) + 2) / 3)
    assert soft_value(step, BETA).tolist() == pytest.approx([worth] * 3 + [0.5] * 2)
    advantage = soft_bellman(beta=BETA).advantages(step)
    assert advantage[:, 0].tolist() == pytest.approx([2 * BETA * (1 - worth), *[-2 * BETA * worth] * 2, 0.0, 0.0])


def test_the_kl_from_samples_of_the_reference_is_exact_in_expectation_and_never_negative() -> None:
    g = torch.Generator().manual_seed(2)
    policy, ref = (torch.randn(7, generator=g, dtype=torch.float64).log_softmax(0) for _ in range(2))
    each = reference_kl(policy, ref)
    assert (each >= 0).all()
    assert float((ref.exp() * each).sum()) == pytest.approx(float((policy.exp() * (policy - ref)).sum()))


def leash_gradient(policy: Tensor, ref: Tensor, sampler: Tensor, objective: PolicyGradient) -> Tensor:
    """The expected gradient of the leash in logits Float[V], every token being sampled as often as `sampler` does."""
    logits = policy.clone().requires_grad_()
    logp, ones = logits.log_softmax(0)[:, None], torch.ones(len(policy), 1).bool()
    weight, zero = sampler.exp()[:, None], torch.zeros(len(policy), dtype=torch.float64)
    loss = objective(TokenBatch(logp, ones, ref_logp=ref[:, None], advantage=zero, weight=weight))
    return torch.autograd.grad(loss.sum, logits)[0]


def test_the_leash_pulls_as_the_kl_does_on_samples_of_whom_it_is_for() -> None:
    """A token at 0.01 under the reference is at 0.9 now, where a wrong estimator pulls many times too hard."""
    ref = torch.tensor([0.01, 0.5, 0.3, 0.19], dtype=torch.float64).log()
    policy = torch.tensor([0.9, 0.05, 0.03, 0.02], dtype=torch.float64).log()
    logits = policy.clone().requires_grad_()
    logp = logits.log_softmax(0)
    (exact,) = torch.autograd.grad((logp.exp() * (logp - ref)).sum(), logits)
    online, offline = soft_bellman(leash=1.0), judged(torch.zeros(4, 2), leash=1.0)
    assert torch.allclose(leash_gradient(policy, ref, policy, online), exact)
    assert torch.allclose(leash_gradient(policy, ref, ref, offline), exact)
    assert leash_gradient(policy, ref, policy, offline).abs().max() > 10 * exact.abs().max()


def test_whose_samples_an_objective_is_for_says_how_often_they_may_be_used() -> None:
    assert soft_bellman().on_policy
    assert not judged(torch.zeros(4, 2)).on_policy


PATHS = torch.tensor(list(itertools.product((0, 1), repeat=4)))
PLACES = torch.stack([2**t - 1 + (PATHS[:, :t] * 2 ** torch.arange(t).flip(0)).sum(1) for t in range(4)], 1)
"""Int[16,4]: the state before each token of each path, of the 15 of a tree of four binary choices."""


def tree() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Reference Float[15,2] in log-probs, a reward for every path, and the best policy and values in closed form."""
    g = torch.Generator().manual_seed(5)
    ref = torch.randn(15, 2, generator=g, dtype=torch.float64).log_softmax(1)
    reward = (torch.rand(16, generator=g) < 0.4).double()
    below = reward.clone()  # the values of the next level's states, which for the last are the rewards
    best, values = torch.zeros(15, 2, dtype=torch.float64), torch.zeros(15, dtype=torch.float64)
    for t in reversed(range(4)):
        states = slice(2**t - 1, 2 ** (t + 1) - 1)
        after = below.view(-1, 2)
        values[states] = BETA * (ref[states] + after / BETA).logsumexp(1)
        best[states] = ref[states] + (after - values[states][:, None]) / BETA
        below = values[states]
    return ref, reward, best, values


def taken(table: Tensor) -> Tensor:
    """Float[16,4]: what the choices of every path have in a table of log-probs."""
    return table[PLACES, PATHS]


def full(reward: Tensor, policy: Tensor, ref: Tensor) -> StepBatch:
    """Every path once."""
    mask, never = torch.ones(16, 4).bool(), torch.zeros(16).bool()
    return StepBatch(reward, torch.zeros(16).long(), mask, never, None, taken(policy), taken(ref))


def test_the_best_policy_and_its_values_have_no_gap_anywhere() -> None:
    ref, reward, best, values = tree()
    assert torch.allclose(best.exp().sum(1), torch.ones(15, dtype=torch.float64))
    step = full(reward, best, ref)
    assert torch.allclose(return_to_go(step, beta=BETA), values[PLACES], atol=1e-10)
    assert bellman_gap(step, beta=BETA, values=values[PLACES]).abs().max() < 1e-10
    assert bellman_gap(full(reward, ref, ref), beta=BETA, values=values[PLACES]).abs().max() > 0.1


def test_descent_from_the_reference_finds_them() -> None:
    ref, reward, best, values = tree()
    logits, worth = ref.clone().requires_grad_(), torch.zeros(15, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([logits, worth], lr=0.05)
    for i in range(1500):
        adam.param_groups[0]["lr"] = 0.05 if i < 1000 else 0.005
        policy = logits.log_softmax(1)
        step = full(reward, policy.detach(), ref)
        objective = judged(worth.detach()[PLACES], beta=BETA, leash=0.0)
        batch = TokenBatch(taken(policy), step.mask, advantage=objective.advantages(step))
        loss = objective(batch)
        squares = (worth[PLACES] - return_to_go(step, beta=BETA)).square().mean()
        adam.zero_grad()
        (loss.sum / loss.count + squares).backward()
        adam.step()
    assert torch.allclose(worth, values, atol=0.02)
    assert torch.allclose(logits.softmax(1), best.exp(), atol=0.02)
