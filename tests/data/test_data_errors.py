"""Errors put into solutions are wrong by the task's own judge, and are found again under their names."""

from __future__ import annotations

import random

import pytest

from trivium.data.errors import (
    KINDS,
    OTHER,
    diagnose,
    fixed,
    garbled,
    histogram,
    inject,
    inject_any,
    rarest,
    read_solution,
    read_step,
    right_step,
    step_judge,
)
from trivium.errors import UserError
from trivium.tasks import task
from trivium.tasks.base import new_problem
from trivium.tasks.chain import Chain
from trivium.types import Problem

SPECS = ["sums:terms=5", "sums:terms=4,digits=1", "chain:steps=4,distractors=2,shuffle=true", "chain:steps=3,ops=+-*"]
CHAIN = {"a": "7", "b": "a+5", "c": "b-3", "q": "9"}


def chain() -> Problem:
    prompt = "\n".join(f"{name}={line}" for name, line in CHAIN.items()) + "\nWhat is c?"
    return new_problem(
        "chain", prompt, prompt, reference={"lines": CHAIN, "asked": "c", "answer": 9}, gold="9", level=2,
        solution="a=7\nb=7+5=12\nc=12-3=9",
    )  # fmt: skip


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("kind", KINDS)
def test_an_injected_error_is_wrong_and_alone(spec: str, kind: str):
    made = task(spec)
    lines, rng = step_judge(made), random.Random(0)
    found = [(p, w) for p in made.problems("train", 60) if (w := inject(lines, p, kind, rng))]
    assert len(found) >= 20
    for problem, wrong in found:
        verdicts = [step.ok for step in lines(problem, wrong.text)]
        assert verdicts == [True] * wrong.at + [False]
        assert not made.verify(problem, wrong.text).correct
        assert made.verify(problem, "\n".join([*wrong.lines[:-1], *fixed(problem, wrong)])).correct


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_was_injected_is_diagnosed(spec: str, kind: str):
    made = task(spec)
    lines, rng = step_judge(made), random.Random(1)
    names = []
    for problem in made.problems("train", 60):
        if wrong := inject(lines, problem, kind, rng):
            seen = diagnose(lines, problem, wrong.text + "and so on")
            assert seen is not None
            assert (seen.at, seen.lines) == (wrong.at, wrong.lines)
            names.append(seen.kind)
    # Some lines have two explanations (an earlier value may be a number of the question as well).
    assert names.count(kind) >= 0.7 * len(names)


@pytest.mark.parametrize(
    ("line", "at", "kind"),
    [
        ("b=7-5=2", 1, "operator"),
        ("b=7+9=16", 1, "context"),
        ("b=7+5=13", 1, "slip"),
        ("b=7+5=3", 1, "slip"),
        ("b=7+7=14", 1, "previous"),
        ("c=7-3=4", 1, "skipped"),
        ("q=9", 1, OTHER),
        ("b=8+3=11", 1, OTHER),
        ("c=7-3=4", 2, "previous"),
    ],
)
def test_kinds_by_hand(line: str, at: int, kind: str):
    said = "\n".join([*["a=7", "b=7+5=12"][:at], line])
    wrong = diagnose(Chain().lines, chain(), said)
    assert wrong is not None
    assert (wrong.kind, wrong.at, wrong.text) == (kind, at, said + "\n")
    assert right_step(chain(), wrong) == ["a=7", "b=7+5=12", "c=12-3=9"][at]


def test_right_or_differently_ordered_responses_have_no_diagnosis():
    judge = Chain().lines
    assert diagnose(judge, chain(), "a=7\nb=7+5=12\nc=12-3=9") is None
    assert diagnose(judge, chain(), "") is None
    assert diagnose(judge, chain(), "b=7+5=12\na=8") is None
    assert diagnose(judge, chain(), "a=7\nb=7+5=12\nc=12-3=9\nd=1") is None


def test_lines_are_read_as_operations():
    worked = read_solution(chain())
    assert worked.values == (7, 12, 9)
    assert worked.written == (7, 5, 3, 9)
    assert worked.steps[0] is None
    assert str(worked.steps[1]) == "b=7+5=12"
    assert read_step("12 - 3 = 9") is not None
    assert read_step("what now?") is None


def test_a_garbled_step_is_not_right():
    made = task("chain:steps=3")
    lines, rng = step_judge(made), random.Random(2)
    for problem in made.problems("train", 50):
        wrong = garbled(lines, problem, rng)
        assert lines(problem, wrong.text)[-1].ok is not True
        assert wrong.lines[-1] != right_step(problem, wrong)


def test_shares_of_kinds():
    lines = Chain().lines
    made = [diagnose(lines, chain(), f"a=7\n{line}") for line in ("b=7-5=2", "b=7+5=13", "b=7+5=11", "q=9")]
    shares = histogram(wrong for wrong in made if wrong)
    assert shares == {"operator": 1 / 3, "skipped": 0, "previous": 0, "context": 0, "slip": 2 / 3}
    assert set(histogram([]).values()) == {1 / 5}
    assert rarest(shares, 2) == {"operator": 0, "skipped": 0.5, "previous": 0.5, "context": 0, "slip": 0}


def test_kinds_are_drawn_by_their_shares_and_others_take_over_where_one_does_not_fit():
    lines, rng = Chain().lines, random.Random(0)
    shares = {"slip": 0.75, "operator": 0.25, "context": 0.0}
    kinds = [inject_any(lines, chain(), shares, rng).kind for _ in range(200)]
    assert 120 < kinds.count("slip") < 180
    assert "context" not in kinds
    alone = new_problem(
        "chain", "a", "a=7\nb=a+5\nWhat is b?", reference={"lines": {"a": "7", "b": "a+5"}, "asked": "b", "answer": 12},
        gold="12", level=1, solution="a=7\nb=7+5=12",
    )  # fmt: skip
    assert inject_any(lines, alone, {"skipped": 1.0, "slip": 0.0}, rng).kind == "slip"
    with pytest.raises(UserError, match="no error of skipped"):
        inject_any(lines, alone, {"skipped": 1.0}, rng)


def test_a_task_without_a_judge_of_steps_is_refused():
    with pytest.raises(UserError, match="does not judge single steps"):
        step_judge(task("grid"))
