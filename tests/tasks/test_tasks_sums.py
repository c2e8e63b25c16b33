"""Sums: answers equal Python's own, and each line of work is judged."""

from __future__ import annotations

import pytest

from trivium.errors import UserError
from trivium.tasks.base import new_problem
from trivium.tasks.sums import Sums
from trivium.types import Problem


def problem(expression: str) -> Problem:
    level = sum(not c.isdigit() for c in expression)
    answer = eval(expression)
    reference = {"expression": expression, "answer": answer}
    return new_problem("sums", expression, expression, reference=reference, gold=str(answer), level=level)


@pytest.mark.parametrize("task", [Sums(), Sums(terms=5, ops="+-*", negative=True), Sums(terms=2, digits=4)])
def test_answers_and_shapes_are_as_the_options_say(task: Sums) -> None:
    for p in task.problems("train", 40):
        expression = p.reference["expression"]
        assert p.reference["answer"] == eval(expression)
        numbers = [int(x) for x in "".join(c if c.isdigit() else " " for c in expression).split()]
        assert len(numbers) == task.terms == p.level + 1
        assert all(len(str(x)) == task.digits for x in numbers)
        assert p.solution is not None
        assert task.verify(p, p.solution).parts == {"format": 1.0, "steps": 1.0}


def test_min_terms_deals_every_length_and_negative_is_off_by_default() -> None:
    hand = Sums(terms=5, min_terms=2).problems("train", 120)
    assert {p.level for p in hand} == {1, 2, 3, 4}
    assert not any("=-" in (p.solution or "") for p in hand)
    assert any("=-" in (p.solution or "") for p in Sums(negative=True).problems("train", 60))


@pytest.mark.parametrize(
    ("response", "status", "form", "steps"),
    [
        ("41+87=128\n128-35=93", "correct", 1.0, 1.0),
        ("41 + 87 = 128\n 128 - 35 = 93\nAnswer: 93", "correct", 1.0, 1.0),
        ("93", "correct", 1.0, 0.0),
        ("The answer is \\boxed{93}.", "correct", 1.0, 0.0),
        ("41+87=128\n93", "correct", 1.0, 0.5),
        ("41+87=129\n129-35=94", "wrong", 1.0, 0.5),  # the second line goes on rightly from a wrong one
        ("41+87=129\n128-35=93", "correct", 1.0, 0.0),  # ... and here it does not
        ("41+87=128\n128-35=93\n1+1=2", "wrong", 1.0, 2 / 3),
        ("41+87=128\n41+87=128\n128-35=93", "correct", 1.0, 2 / 3),
        ("First I add.\n41+87=128\n128-35=93", "correct", 0.0, 1.0),
        ("87-35=52\n41+52=93", "correct", 1.0, 1.0),  # another order that arithmetic allows
        ("87-41=46", "wrong", 1.0, 0.0),
        ("41+87=128\nAnswer: none", "unparseable", 0.0, 0.0),
        ("", "unparseable", 0.0, 0.0),
    ],
)
def test_verdicts(response: str, status: str, form: float, steps: float) -> None:
    verdict = Sums().verify(problem("41+87-35"), response)
    assert (verdict.status, dict(verdict.parts)) == (status, {"format": form, "steps": pytest.approx(steps)})


@pytest.mark.parametrize(
    ("expression", "line", "ok"),
    [
        ("10-3+4", "3+4=7", False),  # 10-(3+4) is another value
        ("10-3+4", "10-3=7", True),
        ("2+3*4", "2+3=5", False),
        ("2+3*4", "3*4=12", True),
        ("2*3+4", "3+4=7", False),
        ("10-2*3", "2*3=6", True),
        ("2*3*4", "3*4=12", True),
        ("5+6", "6+5=11", False),
        ("5-9", "5-9=-4", True),
    ],
)
def test_only_operations_that_may_come_next_are_right(expression: str, line: str, ok: bool) -> None:
    assert [step.ok for step in Sums().lines(problem(expression), line)] == [ok]


def test_lines_point_into_the_response() -> None:
    response = "  so\n\n 41+87=128 \n128-35=93"
    steps = Sums().lines(problem("41+87-35"), response)
    assert [(step.text, step.ok) for step in steps] == [("so", None), ("41+87=128", True), ("128-35=93", True)]
    assert all(response[step.start : step.end] == step.text for step in steps)


def test_a_space_too_small_is_refused_with_what_there_is() -> None:
    with pytest.raises(
        UserError, match=r"sums:terms=2,digits=1 has only \d+ different test problems, 100 were asked for"
    ):
        Sums(terms=2, digits=1).problems("test", 100)
