"""Pairs join the right with the wrong of one group, from where the two part."""

from __future__ import annotations

import pytest

from trivium.data.pairs import outcome_pairs, shared_prefix, shorter_pairs
from trivium.learn.batch import Rollout
from trivium.types import Segment, Trace, Verdict


def rollout(group: int, ids: tuple[int, ...], correct: bool, truncated: bool = False) -> Rollout:
    return Rollout((group,), ids, (-1.0,) * len(ids), float(correct), group, correct, truncated)


def test_pairs_in_sampling_order_within_groups():
    drawn = [
        rollout(0, (1, 2, 3), True), rollout(0, (1, 2, 4, 5), False), rollout(1, (9,), False), rollout(0, (7,), True),
        rollout(1, (8,), False), rollout(2, (1,), True), rollout(2, (1, 5), False),
    ]  # fmt: skip
    made = outcome_pairs(drawn)
    assert [(p.context, p.chosen, p.rejected, p.start) for p in made] == [
        ((0,), (1, 2, 3), (1, 2, 4, 5), 2),
        ((2,), (1,), (1, 5), 1),
    ]


def test_truncated_answers_are_no_evidence():
    assert outcome_pairs([rollout(0, (1,), True), rollout(0, (2,), False, truncated=True)]) == []
    assert outcome_pairs([]) == []


def attempt(*ids: int, right: bool = True) -> Trace:
    made = Trace("q", verdict=Verdict.right() if right else Verdict.wrong())
    made.add(made.add(-1, Segment("prompt", (0,))), Segment("model", ids))
    return made


def test_of_two_right_answers_the_shorter_is_preferred_whoever_gave_it():
    quick = [attempt(1, 2), attempt(1, 3, 4), attempt(1), attempt(1, right=False), attempt(5)]
    slow = [attempt(1, 3, 4), attempt(1, 2), attempt(2), attempt(2, 3), attempt(6, 7, right=False)]
    made = shorter_pairs(quick, slow)
    assert [(p.context, p.chosen, p.rejected, p.start) for p in made] == [((0,), (1, 2), (1, 3, 4), 1)] * 2


@pytest.mark.parametrize(
    ("a", "b", "n"), [((), (), 0), ((1,), (2,), 0), ((1, 2), (1, 2, 3), 2), ((1, 2, 3), (1, 9, 3), 1)]
)
def test_shared_prefix(a, b, n):
    assert shared_prefix(a, b) == shared_prefix(b, a) == n
