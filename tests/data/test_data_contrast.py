"""One right and one wrong response a prompt, what each earns, and outcomes that lose their owners."""

from __future__ import annotations

from functools import partial

import pytest

from trivium.data.contrast import (
    against_others,
    by_failures,
    even,
    one_of_each,
    only_right,
    right_ones,
    shuffled_outcomes,
)
from trivium.learn.batch import Rollout


def rollouts(outcomes: str, group: int = 0) -> list[Rollout]:
    """`+` is right, `-` wrong, `c` right but cut off; each has ids of its own."""
    return [
        Rollout((2, group), (10 * group + i,), (-0.1,), float(o != "-"), group, o != "-", o == "c")
        for i, o in enumerate(outcomes)
    ]


def test_of_each_prompt_with_both_the_first_of_either_kind_is_kept() -> None:
    kept = one_of_each([*rollouts("-+-+", 0), *rollouts("++", 1), *rollouts("--", 2), *rollouts("c+", 3)], even)
    assert [(r.group, r.ids, r.reward) for r in kept] == [
        (0, (1,), 1.0), (0, (0,), -1.0), (3, (31,), 1.0), (3, (30,), -1.0)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("pay", "right", "wrong"),
    [
        (even, 1.0, -1.0),
        (only_right, 1.0, 0.0),
        (by_failures, 1.0, -0.5 * 0.75),
        (partial(by_failures, wrong=1.0), 1.0, -0.75),
        (against_others, 2 * 0.75 * 4 / 3, -0.5 * 2 * 0.25 * 4 / 3),
    ],
)
def test_pay_by_how_often_the_group_was_right(pay, right: float, wrong: float) -> None:
    good, bad = one_of_each(rollouts("---+"), pay)
    assert (good.ids, good.reward) == ((3,), pytest.approx(right))
    assert (bad.ids, bad.reward) == ((0,), pytest.approx(wrong))


def test_against_others_is_the_reward_less_the_mean_of_the_rest() -> None:
    outcomes = [1.0, -1.0, -1.0, -1.0, 1.0]
    for i, own in enumerate(outcomes):
        rest = [r for j, r in enumerate(outcomes) if j != i]
        assert against_others(own > 0, 0.4, 5, wrong=1.0) == pytest.approx(own - sum(rest) / len(rest))


def test_every_different_right_response_is_imitated_once() -> None:
    rows = [*rollouts("+-c+"), *rollouts("+-c+"), *rollouts("+", 1)]
    assert [d.ids for d in right_ones(rows)] == [(0,), (3,), (10,)]


def test_shuffling_keeps_how_many_of_a_group_are_right_and_not_which() -> None:
    rows = [row for group in range(30) for row in rollouts("++-----c", group)]
    got = shuffled_outcomes(rows, seed=1)
    assert [(r.group, r.ids) for r in got] == [(r.group, r.ids) for r in rows]
    for group in range(30):
        mine = [(r.correct, r.truncated, r.reward) for r in got if r.group == group]
        assert sorted(mine) == sorted((r.correct, r.truncated, r.reward) for r in rows if r.group == group)
    agree = sum(a.correct == b.correct for a, b in zip(rows, got, strict=True)) / len(rows)
    assert 0.4 < agree < 0.75  # by chance (3/8)^2 + (5/8)^2 = 0.53
    assert got == shuffled_outcomes(rows, seed=1) != shuffled_outcomes(rows, seed=2)
