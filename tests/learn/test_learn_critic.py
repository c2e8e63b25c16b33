"""Critics: a value for every state, read and learned through log-probs alone, and the two things they are fitted to."""

from __future__ import annotations

import math

import pytest
import torch
from tiny_models import decoder

from trivium.learn.batch import Rollout
from trivium.learn.critic import Critic, Outcome, Squared, critic
from trivium.learn.fit import Optimiser
from trivium.models.attention import GroupAttention, layout

READ = [
    Rollout(prompt, ids, (), 0.0, group, False, False)
    for group, (prompt, ids) in enumerate([((2, 3), (5, 6, 7)), ((2, 3), (8,)), ((4, 4, 4), (5, 1, 9, 9)), ((7,), ())])
]


def made(lr: float = 1e-2, max_tokens: int = 512, head: bool = False) -> Critic:
    judge = critic(decoder("llama"), Optimiser(lr=lr), max_tokens)
    if head:
        generator = torch.Generator().manual_seed(3)
        judge.model.unembed.weight.data.normal_(0.0, 0.2, generator=generator)
    return judge


def test_every_value_is_zero_at_first_and_the_policy_is_left_alone() -> None:
    policy = decoder("llama")
    before = policy.head.detach().clone()
    judge = critic(policy, Optimiser(lr=1e-2))
    values = judge.values(READ)
    assert values.shape == (4, 5)
    assert torch.allclose(values, torch.zeros(4, 5), atol=1e-6)
    judge.learn(READ, Outcome(torch.tensor([True, False, True, False])))
    judge.learn(READ, Outcome(torch.tensor([True, False, True, False])))
    assert judge.values(READ).abs().max() > 0
    assert torch.equal(policy.head, before)


def test_a_value_is_the_difference_of_two_logits_in_its_state() -> None:
    judge = made(head=True)
    model, values = judge.model, judge.values(READ)
    direction = model.head[1] - model.head[0]

    @torch.no_grad()
    def alone(ids: tuple[int, ...]) -> float:
        """The value of one state, read by itself."""
        where, c = layout([ids], [(0, (0,))]), model.c
        hidden = model(where.ids, where.positions, GroupAttention(where, c.heads, c.kv_heads, model.head))
        return float(hidden[-1] @ direction)

    for read, row in zip(READ, values, strict=True):
        states = [alone(read.prompt + read.ids[:t]) for t in range(len(read.ids) + 1)]
        assert row[: len(states)].tolist() == pytest.approx(states, abs=1e-4)
        assert not row[len(states) :].any()
    assert values.abs().max() > 0.1


def test_squares_are_taken_where_they_are_asked_for() -> None:
    g = torch.Generator().manual_seed(0)
    target, values = torch.randn(3, 4, generator=g), torch.randn(2, 3, generator=g)
    at = torch.tensor([[1, 1, 0, 1], [1, 0, 1, 0], [1, 1, 1, 0]]).bool()
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]]).bool()
    fit = Squared(target, at)
    expected = sum(
        (float(values[i, t]) - float(target[row, t])) ** 2
        for i, row in enumerate((2, 0))
        for t in range(3)
        if mask[i, t] and at[row, t]
    )
    assert float(fit(values, mask, [2, 0])) == pytest.approx(expected)
    assert fit.count == 8


def test_an_outcome_is_told_by_the_mean_value_after_each_token() -> None:
    values = torch.tensor([[9.0, 1.0, 2.0, 3.0], [-9.0, -1.0, 4.0, 7.0]], requires_grad=True)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]]).bool()
    fit = Outcome(torch.tensor([False, True, True]))
    loss = fit(values, mask, [0, 2])
    expected = -math.log(1 - 1 / (1 + math.exp(-2.0))) - math.log(1 / (1 + math.exp(-1.5)))
    assert loss.item() == pytest.approx(expected)
    assert fit.count == 3
    loss.backward()
    assert not values.grad[:, 0].any()
    assert not values.grad[1, 3]
    assert (values.grad[0, 1:] > 0).all()
    assert (values.grad[1, 1:3] < 0).all()


def test_a_critic_learns_what_it_is_fitted_to() -> None:
    judge = made()
    rows = [[0.2, 0.4, 0.9, 1.0, 0.0], [0.2, -0.5, 0, 0, 0], [1.5, 1.0, 0.5, 0.1, -0.2], [0.7, 0, 0, 0, 0]]
    target = torch.tensor(rows)
    at = torch.arange(5) <= torch.tensor([len(r.ids) for r in READ])[:, None]
    losses = [judge.learn(READ, Squared(target, at)).loss for _ in range(80)]
    assert losses[0] == pytest.approx(float(target[at].square().mean()), rel=1e-3)
    assert losses[-1] < 0.1 * losses[0]
    assert float((judge.values(READ) - target)[at].abs().mean()) < 0.25


def test_the_cut_into_micro_batches_changes_nothing() -> None:
    right = Outcome(torch.tensor([True, False, True, False]))
    whole, cut = made(head=True), made(head=True, max_tokens=3)
    a, b = whole.learn(READ, right), cut.learn(READ, right)
    assert (a.loss, a.grad_norm) == pytest.approx((b.loss, b.grad_norm), rel=1e-4)
    assert a.trained_tokens == b.trained_tokens == sum(len(read.ids) + 1 for read in READ)
