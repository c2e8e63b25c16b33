"""Chains: answers equal those of running the assignments, and every line of work is judged."""

from __future__ import annotations

import re

import pytest

from trivium.tasks.base import new_problem
from trivium.tasks.chain import Chain
from trivium.types import Problem

LINES = {"a": "7", "b": "a+5", "c": "b-3", "d": "a+1", "e": "9"}


@pytest.fixture
def problem() -> Problem:
    reference = {"lines": LINES, "asked": "c", "answer": 9}
    return new_problem("chain", "k", "?", reference=reference, gold="9", level=2)


@pytest.mark.parametrize(
    "task", [Chain(), Chain(steps=6, ops="+-*", digits=2), Chain(steps=4, min_steps=1, shuffle=True)]
)
def test_answers_equal_running_the_assignments(task: Chain) -> None:
    hand = task.problems("train", 40)
    for p in hand:
        *lines, question = p.question.messages[0].content.splitlines()
        asked = question.removeprefix("What is ").removesuffix("?")
        values: dict[str, int] = {}
        while lines:  # any order: run what can be run
            line = next(x for x in lines if set(re.findall("[a-z]", x.partition("=")[2])) <= values.keys())
            assert task.shuffle or line == lines[0]
            lines.remove(line)
            exec(line, {}, values)
        assert p.gold == str(values[asked])
        assert min(values.values()) >= 0
        assert len(values) == p.level + 1 + task.distractors
        assert p.solution is not None
        assert task.verify(p, p.solution).parts == {"format": 1.0, "steps": 1.0}
    assert {p.level for p in hand} == set(range(task.min_steps or task.steps, task.steps + 1))


def test_shuffled_lines_come_in_any_order() -> None:
    def late(p: Problem) -> bool:
        first = p.question.messages[0].content.partition("\n")[0]
        return not first.partition("=")[2].isdigit()

    assert any(late(p) for p in Chain(shuffle=True).problems("train", 40))
    assert not any(late(p) for p in Chain().problems("train", 40))


@pytest.mark.parametrize(
    ("response", "status", "form", "steps"),
    [
        ("a=7\nb=7+5=12\nc=12-3=9", "correct", 1.0, 1.0),
        ("a = 7\nb = a + 5 = 7 + 5 = 12\nc = 9\nAnswer: 9", "correct", 1.0, 1.0),
        ("9", "correct", 1.0, 0.0),
        ("c=12-3=9", "correct", 1.0, 1 / 3),
        ("a=7\nb=7+5=13\nc=13-3=10", "wrong", 1.0, 1 / 3),
        ("a=7\nb=7+5=12\nc=12-3=8", "wrong", 1.0, 2 / 3),
        ("a=7\ne=9\nd=7+1=8\nb=7+5=12\nc=12-3=9", "correct", 1.0, 3 / 5),  # true, but beside the point
        ("a=7\na=7\nb=12\nc=9", "correct", 1.0, 3 / 4),
        ("a=7\nb=a+5\nc=12-3=9", "correct", 1.0, 2 / 3),  # b is never worked out
        ("z=3\n9", "correct", 1.0, 0.0),
        ("Let me see.\na=7\nb=12\nc=9", "correct", 0.0, 1.0),
        ("none", "unparseable", 0.0, 0.0),
    ],
)
def test_verdicts(problem: Problem, response: str, status: str, form: float, steps: float) -> None:
    verdict = Chain().verify(problem, response)
    assert (verdict.status, dict(verdict.parts)) == (status, {"format": form, "steps": pytest.approx(steps)})


def test_lines_give_the_first_error_its_place(problem: Problem) -> None:
    response = "a=7\nb=7+5=13\nc=13-3=10\ndone"
    steps = Chain().lines(problem, response)
    assert [step.ok for step in steps] == [True, False, False, None]
    first = next(step for step in steps if step.ok is False)
    assert response[first.start : first.end] == "b=7+5=13"


def test_a_circular_reference_is_an_error(problem: Problem) -> None:
    reference = {"lines": {"a": "b", "b": "a"}, "asked": "a", "answer": 1}
    broken = new_problem("chain", "k", "?", reference=reference, gold="1", level=1)
    assert Chain().verify(broken, "1").status == "error"
