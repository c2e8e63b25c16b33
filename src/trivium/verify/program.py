"""Judging programs: a function is right when it gives what is expected for every hidden test, run in the sandbox."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from trivium.sandbox import Limits, Outcome, start_program
from trivium.types import Verdict
from trivium.verify.parse import parse_answer

LIMITS = Limits(seconds=2.0, memory_mb=64)

# Every test runs, whatever the others do.  What is expected never enters the sandbox, so no program can look it up.
_HARNESS = """

def _attempt(args):
    try:
        return [True, {name}(*args)]
    except Exception as error:
        return [False, type(error).__name__ + ": " + str(error)]
[_attempt(args) for args in _tests]
"""


def check_program(response: str, reference: Any, *, limits: Limits = LIMITS) -> Verdict:
    """Run the function that the response defines on all hidden tests, in one sandboxed program.

    `reference` is `{"name": "f", "tests": [[args, expected], ...]}`, in JSON types.  Parts: `runs`, 1 if the program
    ends within its limits, and `tests`, the share of tests passed.  A name that the program uses and nobody defines
    makes it wrong, with that name in the detail.

    Raises `KeyError`, `TypeError` or `ValueError` for a broken reference.
    """
    name, tests = _read(reference)
    code = parse_answer("program", response)
    if code is None:
        return Verdict.unparseable("no program found", runs=0.0, tests=0.0)
    ended = start_program(
        code + _HARNESS.format(name=name), inputs={"_tests": [args for args, _ in tests]}, limits=limits
    )
    if not isinstance(ended, Outcome):
        what = f"calls {ended.name}()" if ended.is_call else f"uses {ended.name}"
        return Verdict.wrong(code, detail=f"the program {what}, which is not defined", runs=0.0, tests=0.0)
    if not ended.ok:
        return Verdict.wrong(code, detail=ended.reason, runs=0.0, tests=0.0)
    return _compare(code, name, tests, ended.value)


def same_value(got: Any, expected: Any) -> bool:
    """Equality of plain data: a tuple equals a list, a boolean is not a number, floats agree to a relative 1e-9."""
    if isinstance(expected, bool) or isinstance(got, bool):
        return isinstance(got, bool) and got is expected
    if isinstance(expected, (list, tuple)):
        if not isinstance(got, (list, tuple)) or len(got) != len(expected):
            return False
        return all(map(same_value, got, expected))
    if isinstance(expected, dict):
        if not isinstance(got, dict) or got.keys() != expected.keys():
            return False
        return all(same_value(got[key], value) for key, value in expected.items())
    if isinstance(expected, (int, float)) and isinstance(got, (int, float)):
        if isinstance(expected, int) and isinstance(got, int):
            return got == expected
        try:
            return math.isclose(got, expected, rel_tol=1e-9, abs_tol=1e-12)
        except OverflowError:
            return False
    return type(got) is type(expected) and bool(got == expected)


def _read(reference: Any) -> tuple[str, Sequence[tuple[list[Any], Any]]]:
    """The function's name and its tests, checked: a broken reference is the task's fault, not the program's."""
    if not isinstance(reference, Mapping) or not str(reference["name"]).isidentifier():
        raise ValueError(f"reference {reference!r} does not name a function")
    tests = [(args, expected) for args, expected in reference["tests"]]
    if not tests or not all(isinstance(args, (list, tuple)) for args, _ in tests):
        raise ValueError("the reference needs tests, each a list of arguments and what is expected")
    return str(reference["name"]), tests


def _compare(code: str, name: str, tests: Sequence[tuple[list[Any], Any]], results: Any) -> Verdict:
    if not isinstance(results, list) or len(results) != len(tests):
        return Verdict.wrong(code, detail="the program replaced what tests it", runs=0.0, tests=0.0)
    passed, first = 0, ""
    for (args, expected), result in zip(tests, results, strict=True):
        ran, value = result if isinstance(result, list) and len(result) == 2 else (False, "no result")
        if ran is True and same_value(value, expected):
            passed += 1
        elif not first:
            call = f"{name}({', '.join(map(repr, args))})"
            first = f"{call} fails" + (f": {value}" if ran is not True and isinstance(value, str) else "")
    share = passed / len(tests)
    if passed == len(tests):
        return Verdict.right(code, runs=1.0, tests=share)
    return Verdict.wrong(code, detail=first[:300], runs=1.0, tests=share)
