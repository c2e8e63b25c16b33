"""A team's attempts are counted, and what its members said first and last is read from the traces."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from trivium.lab.lab import Lab, Scored
from trivium.lab.voices import conferred, convinced, flipped, last_words
from trivium.policies.scripted import Scripted, Turn
from trivium.search.driver import solve
from trivium.search.round_table import round_table
from trivium.tasks import task
from trivium.types import Problem, Trace

SUMS = task("sums:terms=2,digits=1")
PROBLEMS = SUMS.problems("dev", 5)
TOLD = "Think: "


def lab() -> Lab[Any]:
    return Lab("any", "trivium.recipes.any", None, "smoke", 0)


def member(first: Callable[[int], int], then: Callable[[int], int]) -> Scripted:
    """Says what a function makes of the right answer: one alone, another after the table spoke."""

    def script(turn: Turn) -> str:
        told, _, asked = turn.question.rpartition(TOLD)
        right = eval(asked)  # our own arithmetic
        return f"Answer: {(then if told else first)(right)}"

    return Scripted(script)


TABLE = functools.partial(
    round_table, n=3, rounds=1, by=lambda question, response: 0.5, words=lambda stands, seat: f"x{TOLD}"
)


def held(*team: Scripted) -> list[Trace]:
    """A table's traces; the seats are the team's in turn."""
    voices = {f"v{i}": other for i, other in enumerate(team[1:])}
    return solve(TABLE, PROBLEMS, team[0], task=SUMS, voices=voices)


def measured(mine: Lab[Any], *team: Scripted) -> Scored:
    return conferred(mine, team, SUMS, PROBLEMS, TABLE, seats=3, max_tokens=20)


def right(x: int) -> int:
    return x


def wrong(x: int) -> int:
    return x + 1


def worse(x: int) -> int:
    return x + 2


def test_voices_speak_in_turn_and_calls_and_tokens_are_counted() -> None:
    mine = lab()
    found = measured(mine, member(right, right), member(wrong, right), member(worse, right))
    assert found.scores["accuracy"] == found.scores["members"] == [1.0] * 5
    assert mine.spent["calls"] == 6 * len(PROBLEMS)
    assert mine.spent["test_tokens"] == sum(x for x in found.scores["tokens"] if x is not None)
    assert mine.notes == {"first": pytest.approx(1 / 3), "spoiled": 0.0, "mended": 0.0}, "ties go to the first"


def test_questions_are_spoiled_and_mended_by_talk() -> None:
    better = held(member(wrong, right), member(wrong, right), member(right, right))
    assert flipped(PROBLEMS, better, 3) == {"first": pytest.approx(1 / 3), "spoiled": 0.0, "mended": 1.0}
    spoilt = held(member(right, wrong), member(right, wrong), member(wrong, wrong))
    assert flipped(PROBLEMS, spoilt, 3) == {"first": pytest.approx(2 / 3), "spoiled": 1.0, "mended": 0.0}
    assert last_words(PROBLEMS, spoilt, 3) == [0.0] * 5


def test_a_trace_without_replies_counts_as_nothing_right() -> None:
    empty = [Trace(p.question.id) for p in PROBLEMS]
    assert last_words(PROBLEMS, empty, 3) == [0.0] * 5
    assert flipped(PROBLEMS, empty, 3) == {"first": 0.0, "spoiled": 0.0, "mended": 0.0}


def test_gold_is_read_as_replies_are() -> None:
    [first, *_] = PROBLEMS
    spelt = Problem(first.question, None, f"Answer: {first.gold}.0", "k", "dev", "toy")
    assert last_words([spelt], held(member(right, right))[:1], 3) == [1.0]


def test_who_is_wrong_alone_and_right_when_told_is_convinced() -> None:
    mine = lab()
    stubborn, listens, knows = member(wrong, wrong), member(wrong, right), member(right, wrong)
    told: list[str] = []

    def tell(problem: Problem, trace: Trace) -> str:
        told.append(f"{trace.answer} is not {problem.gold}. {TOLD}")
        return told[-1]

    assert convinced(mine, stubborn, SUMS, PROBLEMS, tell) == ([], 5)
    assert convinced(mine, listens, SUMS, PROBLEMS, tell) == (PROBLEMS, 5)
    assert convinced(mine, knows, SUMS, PROBLEMS, tell) == ([], 0)
    assert told[0] == f"{int(PROBLEMS[0].gold) + 1} is not {PROBLEMS[0].gold}. {TOLD}"
    assert mine.spent["sampled_tokens"] > 0
