"""Exact evaluation of small expressions, against Python's own arithmetic on fractions."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivium.verify.expression import equations, evaluate


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


@pytest.mark.parametrize(
    ("text", "truth"),
    [
        ("41+87=128\n128-35=92", [True, False]),
        ("So 3 + 4 = 7, and 7 * 2 = 15.", [True, False]),
        ("(4+7)*2=22=11*2", [True, True]),
        ("x = 3+4 = 8", [False]),
        ("8/0=3", [False]),
        ("5 5=55", [False]),
        ("-5+3=-2", [True]),
        ("1. 3+4=8\n2) 1+1=2\n- 3*3=9", [False, True, True]),
    ],
)
def test_written_equations_are_judged_one_by_one(text: str, truth: list[bool]) -> None:
    assert equations(text) == truth


@pytest.mark.parametrize(
    "text", ["x=5", "Answer: 12", "2x+3=7", "3+4=7x", "3+4=7 * x", "3.5+1=4.5", "3+4=7.5", "=4", ""]
)
def test_what_is_no_equation_of_whole_numbers_is_passed_over(text: str) -> None:
    assert equations(text) == []


@given(st.integers(-999, 999), st.sampled_from("+-*"), st.integers(0, 999), st.integers(-2, 2))
def test_a_false_result_is_found(left: int, sign: str, right: int, off: int) -> None:
    result = {"+": left + right, "-": left - right, "*": left * right}[sign] + off
    assert equations(f"we have {left} {sign} {right} = {result}, so") == [off == 0]


@given(st.text(alphabet="0123456789+-*/().= x\n"))
def test_any_text_can_be_searched_for_equations(text: str) -> None:
    assert all(isinstance(truth, bool) for truth in equations(text))
