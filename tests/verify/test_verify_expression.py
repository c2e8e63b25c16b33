"""Exact evaluation of small expressions, against Python's own arithmetic on fractions."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivium.verify.expression import evaluate


@settings(deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.sampled_from("+-*/"), st.integers(1, 99)), max_size=6), st.integers(0, 99))
def test_values_are_exact_and_numbers_are_listed_in_order(rest: list[tuple[str, int]], first: int) -> None:
    written = str(first) + "".join(f"{sign}{x}" for sign, x in rest)
    exact = f"Fraction({first})" + "".join(f"{sign}Fraction({x})" for sign, x in rest)
    assert evaluate(written) == (eval(exact, {"Fraction": Fraction}), [first, *(x for _, x in rest)])


def test_brackets_signs_and_names() -> None:
    assert evaluate("-(a-3)*2", {"a": 7}) == (Fraction(-8), [3, 2])


@pytest.mark.parametrize(
    "text",
    ["", "3+", "2**9", "9**9**9", "f(3)", "a", "3.5", "True", "'x'", "3 if 1 else 2", "1/0", "[1]", "(" * 150 + "1",
     "1+" * 150 + "1", "x:=1", "__import__('os')", "1//2", "1%2", "1<<2"],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        evaluate(text)


@settings(deadline=None, derandomize=True)
@given(st.text(alphabet="0123456789+-*/(). a[]_=\x00\n"))
def test_any_text_gives_a_value_or_a_value_error(text: str) -> None:
    try:
        value, _ = evaluate(text)
    except ValueError:
        return
    assert isinstance(value, Fraction)
