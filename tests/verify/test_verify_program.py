"""Judging programs by hidden tests."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivium.sandbox import Limits
from trivium.verify.program import check_program, same_value

DOUBLE = {"name": "f", "tests": [[[1], 2], [[3], 6], [[-2], -4], [[0], 0]]}


def test_a_right_program_passes_however_it_is_written() -> None:
    for code in (
        "def f(x):\n    return 2 * x",
        "f = lambda x: x + x",
        "print('noise')\ndef g(x): return x\ndef f(x): return g(x) + g(x)",
    ):
        verdict = check_program(f"Doubles it.\n```python\n{code}\n```", DOUBLE)
        assert verdict.correct
        assert verdict.parts == {"runs": 1.0, "tests": 1.0}


@pytest.mark.parametrize(
    ("code", "runs", "share", "says"),
    [
        ("def f(x):\n    return {1: 2, 3: 6}[x]", 1, 0.5, "f(-2) fails: KeyError"),
        ("def f(x):\n    return x * x", 1, 0.25, "f(1) fails"),
        ("def f(x):\n    return helper(x)", 0, 0, "calls helper(), which is not defined"),
        ("def f(x):\n    return x * factor", 0, 0, "uses factor, which is not defined"),
        ("def g(x):\n    return 2 * x", 0, 0, "calls f(), which is not defined"),
        ("def f(x): return", 1, 0, "fails"),
        ("def f(x, y): return 2 * x", 1, 0, "TypeError"),
        ("def f(x):\n    while True: pass", 0, 0, "timeout"),
        ("def f(x):\n    return 'a' * 10**9", 0, 0, "memory"),
        ("def f(x): return open('/etc/passwd')", 0, 0, "refused"),
        ("raise ValueError('no')\ndef f(x): return 2 * x", 0, 0, "ValueError: no (line 1)"),
        ("class Any:\n    def __eq__(self, other): return True\ndef f(x): return Any()", 1, 0, "f(1) fails"),
        ("def f(x): return f", 1, 0, "fails"),
        ("def f(x): return str(2 * x)", 1, 0, "fails"),
        ("def f(x):\n  a = ['x'] * 10\n  for _ in range(9): a = [a] * 10\n  return a", 0, 0, "output-limit"),
        ("def f(x): return _tests[0]", 1, 0, "fails"),
        ("Exception = None\ndef f(x): raise 1", 0, 0, ""),
    ],
)
def test_a_wrong_program_is_told_why(code: str, runs: float, share: float, says: str) -> None:
    limits = Limits(seconds=0.3) if says == "timeout" else Limits(seconds=60)
    verdict = check_program(f"```python\n{code}\n```", DOUBLE, limits=limits)
    assert verdict.status == "wrong"
    assert verdict.score == 0.0
    assert verdict.parts == {"runs": runs, "tests": share}
    assert says in verdict.detail


@pytest.mark.parametrize("response", ["", "I do not know.", "42"])
def test_no_program_is_unparseable(response: str) -> None:
    assert check_program(response, DOUBLE).status == "unparseable"


@pytest.mark.parametrize(
    "broken",
    [
        *(None, {}, {"name": "f"}, {"name": "f", "tests": []}, {"name": "f(", "tests": [[[1], 1]]}),
        *({"name": "f", "tests": [[1, 1]]}, {"name": "f", "tests": [[[1]]]}),
    ],
)
def test_a_broken_reference_raises(broken: Any) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        check_program("```python\ndef f(x): return x\n```", broken)


@pytest.mark.parametrize(
    ("got", "expected", "same"),
    [
        (True, 1, False), (1, True, False), (True, True, True), (1, 1.0, True), (0.1 + 0.2, 0.3, True),
        (0.31, 0.3, False), ((1, [2]), [1, [2]], True), ([1], [1, 2], False), ({"a": (1,)}, {"a": [1]}, True),
        ({"a": 1}, {"b": 1}, False), ("a", "a", True), ("1", 1, False), (None, None, True), (None, 0, False),
        (10**400, 1.0, False), ({1}, [1], False), (10**30, 10**30 + 1, False), (float("nan"), 1.0, False),
    ],
)  # fmt: skip
def test_values_are_the_same_by_kind_and_size(got: Any, expected: Any, same: bool) -> None:
    assert same_value(got, expected) is same


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=4),
        lambda s: st.lists(s, max_size=4),
        max_leaves=12,
    )
)
def test_every_value_is_the_same_as_itself_and_not_as_its_wrapping(value: Any) -> None:
    assert same_value(value, value)
    assert not same_value([value], value)
