"""Functions from examples: what is shown, what is hidden, and what does not pass."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from trivium.errors import UserError
from trivium.sandbox import run_program
from trivium.tasks import task
from trivium.tasks.base import split_of
from trivium.tasks.programs import HIDDEN
from trivium.types import Problem


@functools.cache
def dealt(level: int, kind: str = "both") -> tuple[Problem, ...]:
    return tuple(task(f"programs:level={level},kind={kind}").problems("train", 6))


def shown(problem: Problem) -> dict[str, Any]:
    """The examples in the prompt, argument to result, both as written."""
    lines = [line for line in problem.question.messages[0].content.splitlines() if line.startswith("f(")]
    return dict(line.removeprefix("f(").split(") == ", 1) for line in lines)


@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_the_examples_are_true_of_the_gold_program(level: int) -> None:
    for problem in dealt(level):
        code = problem.gold.removeprefix("```python\n").removesuffix("\n```")
        assert code.count("\n") == level
        examples = shown(problem)
        assert len(examples) == 5
        for argument, result in examples.items():
            assert run_program(f"{code}\nrepr(f({argument}))").value == result


@pytest.mark.parametrize("level", [1, 2, 3])
def test_a_program_that_knows_only_the_shown_examples_fails(level: int) -> None:
    for problem in dealt(level):
        table = ", ".join(f"{argument!r}: {result}" for argument, result in shown(problem).items())
        verdict = task("programs").verify(problem, f"```python\ndef f(x):\n    return {{{table}}}[repr(x)]\n```")
        assert verdict.status == "wrong"
        assert verdict.parts["tests"] == 0.0, "no hidden test is a shown example"
        constant = next(iter(shown(problem).values()))
        assert not task("programs").verify(problem, f"```python\ndef f(x):\n    return {constant}\n```").correct
        assert not task("programs").verify(problem, "```python\ndef f(x):\n    return x\n```").correct


def test_dropping_or_repeating_a_step_fails() -> None:
    built = task("programs")
    for problem in dealt(3):
        lines = problem.gold.splitlines()
        for i in (2, 3):
            without = "\n".join(lines[:i] + lines[i + 1 :])
            assert not built.verify(problem, without).correct


def test_partial_credit_is_the_share_of_hidden_tests() -> None:
    problem = dealt(1)[0]
    tests = problem.reference["tests"]
    assert len(tests) == HIDDEN
    for known in (0, 3, HIDDEN):
        table = repr([(args[0], expected) for args, expected in tests[:known]])
        code = f"def f(x):\n    for a, b in {table}:\n        if a == x:\n            return b"
        verdict = task("programs").verify(problem, f"```python\n{code}\n```")
        assert verdict.parts["tests"] >= known / HIDDEN
        assert verdict.correct == (known == HIDDEN)


def test_equal_functions_are_one_problem_in_one_split() -> None:
    keys = [p.key for split in ("train", "dev", "test") for p in task("programs:level=1").problems(split, 8)]
    assert len(set(keys)) == 24
    for split in ("train", "dev", "test"):
        assert {split_of(p.key) for p in task("programs:level=1").problems(split, 8, seed=5)} == {split}


def test_options() -> None:
    assert all(p.question.messages[0].content.count("f([") == 5 for p in dealt(2, "list"))
    assert all(p.question.messages[0].content.count("f('") == 5 for p in dealt(2, "string"))
    assert len(shown(task("programs:shown=3,level=1").problems("train", 1)[0])) == 3
    with pytest.raises(UserError, match="1 to 4 steps"):
        task("programs:level=5")
    with pytest.raises(UserError, match="Did you mean string"):
        task("programs:kind=strings")
    with pytest.raises(UserError, match="different test problems"):
        task("programs:level=1").problems("test", 500)
