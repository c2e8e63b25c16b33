"""Countdown: any right expression is accepted, by value and by the numbers it uses."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import pytest

from trivium.tasks.base import new_problem
from trivium.tasks.countdown import Countdown
from trivium.types import Problem


def problem(given: list[int], target: int, use_all: bool = False, ops: str = "+-*/") -> Problem:
    reference = {"numbers": given, "target": target, "ops": ops, "use_all": use_all}
    return new_problem("countdown", f"{given}{target}", "?", reference=reference, gold="")


TASKS = [
    Countdown(),
    Countdown(numbers=6, use_all=True),
    Countdown(ops="+-", min_numbers=2),
    Countdown(ops="-"),
    Countdown(numbers=3, ops="-/"),
    Countdown(numbers=2, ops="*"),
]


@pytest.mark.parametrize("task", TASKS)
def test_every_problem_is_solved_by_its_own_expression(task: Countdown) -> None:
    hand = task.problems("train", 60)
    for p in hand:
        given, target = p.reference["numbers"], p.reference["target"]
        numbers = [int(x) for x in "".join(c if c.isdigit() else " " for c in p.gold).split()]
        assert eval(p.gold) == target
        assert Counter(numbers) == Counter(given)
        assert set(p.gold) & set("+-*/") <= set(task.ops)
        assert p.solution is not None
        assert task.verify(p, p.solution).parts == {"format": 1.0, "numbers": 1.0, "steps": 1.0}
    assert {p.level for p in hand} == set(range(task.min_numbers or task.numbers, task.numbers + 1))


@pytest.mark.parametrize(
    ("response", "status"),
    [
        ("8/(3-8/3)", "correct"),  # fractions on the way are exact
        ("Answer: 8 \u00f7 (3 \u2212 8 \u00f7 3) = 24", "correct"),
        ("3*8", "correct"),
        ("(8-3)*8-3", "wrong"),
        ("8*3*3/3", "wrong"),  # one 3 too many
        ("24", "wrong"),
        ("4*6", "wrong"),
        ("8/(3-3)", "unparseable"),
        ("8**3", "unparseable"),
        ("3+", "unparseable"),
        ("no", "unparseable"),
        ("(" * 5000, "unparseable"),
        ("9" * 5000, "unparseable"),
    ],
)
def test_verdicts(response: str, status: str) -> None:
    assert Countdown().verify(problem([3, 3, 8, 8], 24), response).status == status


def test_use_all_demands_every_number() -> None:
    strict = problem([3, 3, 8, 8], 24, use_all=True)
    assert Countdown(use_all=True).verify(strict, "3*8").status == "wrong"
    assert Countdown(use_all=True).verify(strict, "8/(3-8/3)").correct
    assert Fraction(8) / (3 - Fraction(8, 3)) == 24


@pytest.mark.parametrize(
    ("ops", "response", "status"),
    [
        ("+-", "2*16", "wrong"),
        ("+-", "16+18-2", "correct"),
        ("*", "2*16", "correct"),
        ("+*", "16+18+-2", "wrong"),  # a minus all the same
        ("+-*", "2/1*16", "wrong"),
    ],
)
def test_signs_are_those_that_the_question_names(ops: str, response: str, status: str) -> None:
    asked = problem([1, 2, 16, 18], 32, ops=ops)
    verdict = Countdown(ops=ops).verify(asked, response)
    assert verdict.status == status
    [step] = Countdown(ops=ops).lines(asked, "2*16=32")
    assert step.ok is ("*" in ops)


@pytest.mark.parametrize(
    ("line", "ok"),
    [
        ("5*4=20", True),
        ("4*5=20", True),
        ("5*4=21", False),
        ("5*5=25", False),
        ("7*4=28", False),
        ("5/4=1", False),
        ("so", None),
    ],
)
def test_a_first_line_is_right_if_true_and_made_of_what_is_there(line: str, ok: bool | None) -> None:
    assert [step.ok for step in Countdown().lines(problem([5, 4, 3], 23), line)] == [ok]


def test_results_can_be_used_and_numbers_are_used_up() -> None:
    steps = Countdown().lines(problem([5, 4, 3], 23), "5*4=20\n20+3=23\n20+4=24")
    assert [step.ok for step in steps] == [True, True, False]
