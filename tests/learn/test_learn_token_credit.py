"""The loss on rewards of either sign against a slow loop, and what weighs its tokens."""

from __future__ import annotations

import math

import pytest
import torch

from trivium.learn.batch import Rollout, step_batch
from trivium.learn.token_credit import shuffled_weights, signed_mean, signed_reinforce, token_weights, weighed
from trivium.learn.types import TokenBatch

LENGTHS, REWARDS, GROUPS = (3, 2, 4, 1, 2), (1.0, -0.25, 1.0, -0.4, 1.0), (0, 0, 1, 1, 2)
STEP = step_batch([
    Rollout((2,), (5,) * n, (-0.5,) * n, reward, group, reward > 0, False)
    for n, reward, group in zip(LENGTHS, REWARDS, GROUPS, strict=True)
])  # fmt: skip


def test_paid_and_fined_tokens_are_averaged_apart_and_weighed_one_by_one() -> None:
    g = torch.Generator().manual_seed(1)
    logp = (-torch.rand(5, 4, generator=g) - 0.1).requires_grad_()
    ref = logp.detach() + 0.3 * torch.randn(5, 4, generator=g)
    weights = torch.rand(5, 4, generator=g)
    objective = weighed(signed_reinforce(beta=0.05), weights)
    loss = objective(TokenBatch(logp, STEP.mask, ref_logp=ref, advantage=objective.advantages(STEP)))
    (gradient,) = torch.autograd.grad(loss.sum / loss.count, logp)

    positive, negative, kl = 0.0, 0.0, 0.0
    for i, n in enumerate(LENGTHS):
        for t in range(n):
            d = ref[i, t] - logp[i, t]
            kl = kl + torch.exp(d) - d - 1
            if GROUPS[i] == 2:
                continue  # a prompt that was always right
            if REWARDS[i] > 0:
                positive = positive - weights[i, t] * logp[i, t]
            else:
                negative = negative - REWARDS[i] * weights[i, t] * logp[i, t]
    value = positive / 7 + negative / 3 + 0.05 * kl / 12
    assert (loss.sum / loss.count).item() == pytest.approx(value.item(), rel=1e-4)
    (expected,) = torch.autograd.grad(value, logp)
    assert torch.allclose(gradient, expected, atol=1e-6)


def test_a_group_without_difference_and_a_reward_of_zero_teach_nothing() -> None:
    advantage = signed_mean(STEP)
    assert advantage[4] == 0
    only = step_batch([Rollout((2,), (5, 5), (0.0, 0.0), r, 0, r > 0, False) for r in (1.0, 0.0)])
    assert signed_mean(only).tolist() == [2.0, 0.0]


def test_weights_follow_the_running_mean_and_the_outcome() -> None:
    values = torch.tensor([[5.0, 2.0, -1.0, -4.0], [5.0, 2.0, -1.0, -4.0], [0.0, 0.0, 0.0, 0.0]])
    mask = torch.tensor([[1, 1, 1], [1, 1, 1], [1, 1, 0]]).bool()
    weights = token_weights(values, torch.tensor([True, False, True]), mask)

    def rescaled(m: float) -> float:
        return 2 / (1 + math.exp(-m)) - 1

    assert weights[0].tolist() == pytest.approx([rescaled(2.0), rescaled(0.5), 0.0])
    assert weights[1].tolist() == pytest.approx([0.0, 0.0, rescaled(1.0)])
    assert not weights[2].any()


def test_shuffled_weights_stay_in_their_row_and_on_its_tokens() -> None:
    mask = torch.arange(6) < torch.tensor([6, 3, 1])[:, None]
    weights = torch.arange(18.0).view(3, 6).masked_fill(~mask, 0.0)
    got = shuffled_weights(weights, mask, torch.Generator().manual_seed(0))
    assert torch.equal(got.sort(1).values, weights.sort(1).values)
    assert not got[~mask].any()
    assert not torch.equal(got, weights)
