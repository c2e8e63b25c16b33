"""What parent and children read and said, how long that is, and what each call is worth."""

from __future__ import annotations

import pytest

from trivium.data.threads import calls, fitting, in_sequence, longest, thread_rollouts
from trivium.types import Segment, Trace, Verdict


def model(*ids: int) -> Segment:
    return Segment("model", ids, (-1.0,) * len(ids), "", "toy@0")


def prompt(*ids: int) -> Segment:
    return Segment("prompt", ids, (), "", "toy@0")


def family() -> Trace:
    """A parent that orders two children, hears of them and concludes."""
    made = Trace("q", verdict=Verdict.right("7"))
    made.add(-1, prompt(1, 2))
    ordered = made.add(0, model(3, 4))
    for child, said in ((prompt(1, 5), (6, 6, 6)), (prompt(1, 7), (8,))):
        made.add(made.add(0, child), model(*said))
    made.add(made.add(ordered, Segment("tool", (9, 9))), model(7, 0))
    return made


def alone(*said: int) -> Trace:
    made = Trace("q", verdict=Verdict.wrong("5"))
    made.add(made.add(-1, prompt(1, 2)), model(*said))
    return made


def test_a_child_reads_its_own_prompt_and_the_parent_all_that_it_said_and_heard() -> None:
    assert [(call.read, call.said, call.own) for call in calls(family())] == [
        ((1, 2), (3, 4), True),
        ((1, 5), (6, 6, 6), False),
        ((1, 7), (8,), False),
        ((1, 2, 3, 4, 9, 9), (7, 0), True),
    ]


def test_children_side_by_side_cost_the_time_of_the_longest() -> None:
    made = calls(family())
    assert (longest(made), in_sequence(made)) == (8, 2 + 2 + 3)
    assert (longest(calls(alone(3, 4, 5))), in_sequence(calls(alone(3, 4, 5)))) == (5, 3)
    assert (longest([]), in_sequence([])) == (0, 0)


def test_what_needs_a_longer_context_fails_within_a_shorter_one() -> None:
    made = [calls(family()), calls(alone(3)), calls(family())]
    assert fitting([1.0, 1.0, None], made, 7) == [0.0, 1.0, None]
    assert fitting([1.0, 0.0, None], made, 8) == [1.0, 0.0, None]


def test_an_attempt_counts_once_however_many_calls_it_made() -> None:
    group = [(family(), 1.0), (alone(3), 0.0)]
    rollouts = thread_rollouts([group], eps=0.0)
    assert [(r.prompt, r.ids) for r in rollouts[-2:]] == [((1, 2, 3, 4, 9, 9), (7, 0)), ((1, 2), (3,))]
    advantage = 0.5 / 0.5**0.5  # the sample deviation of 0 and 1 is the root of a half
    mean = [sum(r.reward for r in part) / len(rollouts) for part in (rollouts[:4], rollouts[4:])]
    assert mean == pytest.approx([advantage / 2, -advantage / 2]), "a half for each of two attempts"
    assert [r.correct for r in rollouts] == [True] * 4 + [False]


def test_equal_rewards_and_attempts_that_said_nothing_teach_nothing() -> None:
    assert {r.reward for r in thread_rollouts([[(family(), 1.0), (alone(3), 1.0)], [(alone(4), 0.0)]])} == {0.0}
    assert thread_rollouts([[(Trace("q"), 1.0)]]) == []
