"""Parsers: what they read, what they refuse, and that no text makes them raise."""

from __future__ import annotations

import time
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivium.errors import UnknownName
from trivium.verify import PARSERS, parse_answer
from trivium.verify.parse import format_number, number_value

# Texts made of the pieces that parsers look for reach far deeper than arbitrary characters do.
PIECES = [
    "Answer:",
    "####",
    "<answer>",
    "</answer>",
    "\\boxed{",
    "\\frac{1}{0}",
    "{",
    "}",
    "[",
    "]",
    "```",
    "json",
    "sql",
]
PIECES += [
    "python",
    "\n",
    " ",
    "$",
    "=",
    "-",
    "\u2212",
    "1",
    "3/0",
    "1e999",
    "9" * 5000,
    "1,234",
    ".",
    '"',
    ":",
    "select",
    "(B)",
]
texts = st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=12).map("".join))


@settings(deadline=None, derandomize=True)
@given(texts)
@pytest.mark.parametrize("name", sorted(PARSERS))
def test_parsers_are_total_and_abstain_with_none(name: str, text: str) -> None:
    answer = PARSERS[name](text)
    assert answer is None or (isinstance(answer, str) and answer.strip())


@pytest.mark.parametrize("name", sorted(PARSERS))
@pytest.mark.parametrize("text", ["", " \n\t "])
def test_nothing_is_an_abstention(name: str, text: str) -> None:
    assert PARSERS[name](text) is None


@pytest.mark.parametrize("name", sorted(PARSERS))
@pytest.mark.parametrize(
    "unit",
    [
        "[",
        "{",
        "\\boxed{",
        "(",
        "9",
        "1,",
        "-",
        "```",
        "A ",
        "Answer: ",
        "select ",
        "$1",
        "#### a ",
        "answer is ",
        "\\boxed{1} answer is ",
        "<answer>",
        "= (",
        "#### 1. a",
        "1 = 2, ",
    ],
)
def test_long_hostile_texts_are_read_in_bounded_time(name: str, unit: str) -> None:
    start = time.process_time()
    PARSERS[name](unit * (30_000 // len(unit)))
    assert time.process_time() - start < 2.0


@pytest.mark.parametrize("unit", ["(", "-", "+(", "\\frac", "x-", "\n", "\n*", "$", "^", "\\frac{", " ", "sqrt("])
@pytest.mark.parametrize("end", ["42", "a2a 42", "42-", ""])
def test_long_marked_answers_are_read_in_bounded_time(unit: str, end: str) -> None:
    start = time.process_time()
    PARSERS["number"]("Answer:" + unit * (30_000 // len(unit)) + end)
    PARSERS["number"]("Answer: 1" + unit * (30_000 // len(unit)) + end)
    assert time.process_time() - start < 2.0


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("41+87=128\n128-35=93", "93"),
        ("Answer: 93", "93"),
        ("Answer: 93. I used 2 steps.", "93"),
        ("**Answer:** 93", "93"),
        ("The answer is $\\boxed{93}$, not 95", "93"),
        ("so #### 93", "93"),
        ("<answer>93</answer> 12", "93"),
        ("Answer: 41+87-35 = 93", "93"),
        ("Answer:\n93", "93"),
        ("Answer: 5\nWait.\nAnswer: 6", "6"),
        ("\\boxed{5} then Answer: 6", "6"),
        ("Answer: 5 then \\boxed{6}", "6"),
        ("it is 1,234", "1234"),
        ("$1,234.50", "1234.5"),
        ("-5", "-5"),
        ("\u22125", "-5"),
        ("x = -5", "-5"),
        ("128-35", "35"),
        ("128 - 35", "35"),
        ("(3)-2", "2"),
        ("3.0", "3"),
        ("3/4", "0.75"),
        ("2/6", "1/3"),
        ("\\frac{1}{3}", "1/3"),
        ("12/4", "3"),
        (".5", "0.5"),
        ("-.5", "-0.5"),
        ("wait...5", "5"),
        ("93.", "93"),
        ("60%", "60"),
        ("1.5e3", "1500"),
        ("12cm", "12"),
        ("version a2", None),
        ("3/0", None),
        ("1e99999", None),
        ("9" * 5000, None),
        ("Answer:", None),
        ("I had 12. Answer:", None),
        ("no number", None),
        ("\\boxed{12}. This answer is correct.", "12"),
        ("\\boxed{12}. The answer is right.", "12"),
        ("\\boxed{12}. No: the answer is 13.", "13"),
        ("<answer>12</answer>\nI hope this answer is helpful.", "12"),
        ("<answer>12</answer> The answer is correct, see line 3", "12"),
        ("<answer>12</answer> The answer is $13", "13"),
        ("Answer: 12\nI hope that answer is helpful.", "12"),
        ("7 + 5 = 12. The answer is", None),
        ("#### Step 2: Add them up\n3 + 4 = 7\nTom has 7 apples.", "7"),
        ("#### 2. Add them up\n3 + 4 = 7", "7"),
        ("##### 2\n3 + 4 = 7", "7"),
        ("3 + 4 = 7\n#### seven", None),
        ("#### 12\n\nQuestion: how many are 5?", "12"),
        ("####\n12", "12"),
        ("The answer is 42 (since x=3).", "42"),
        ("The answer is 42, because a=3 and b=39.", "42"),
        ("Answer: x = 42, because a=3", "42"),
        ("Answer: 12 apples (2 dozen = 24?)", "12"),
        ("Answer: 2x = 14, x = 7", "7"),
        ("Answer: 5 apples + 3 apples = 8 apples", "8"),
        ("Answer: (2 + 3) * 4 = 20", "20"),
        ("Answer: if all are sold = 7", "7"),
        ("Answer: f(x=2) = 7", "7"),
    ],
)
def test_number(text: str, answer: str | None) -> None:
    assert PARSERS["number"](text) == answer


# fmt: off
UNFINISHED = [
    "4+7", "4 + 7", "12-5", "12 \u2212 5", "4*7", "2**10", "2 ** 10", "4\\times 7", "4 \u00d7 7", "4x7", "2^10",
    "10^{6}", "5(3)", "(4)(7)", "(4+7)*2", "-(5)", "--5", "\u00b15", "1/2.5", "1/2/3", "5/(2+3)", "1,2345",
    "1.2.3", "1 234", "1\\,234", "3 1/2", "3\\frac{1}{2}", "\\frac{2.5}{3}", "\\sqrt{16}", "sqrt(16)", "5\\sqrt{2}",
    "10\\pi", "x-5", "x^2", "7 = 12-5",
]
FINISHED = [
    "42.", "42\n", "$42", "\\$42", "42%", "42\\%", "+42", "+ 42", "$42$.", "\\(42\\)", "(42)", "`42`", "**42**",
    "42)", "42 apples", "*42* apples", "**42** apples", "**42** 5 of them", "42, because 6*7 is",
    "42. That is 40-44.", "42-inch", "42/week", "42 - because", "42 \u2013 as said", "42 (forty-two)", "42 (6*7)",
    "42!", "42! I used it", "42 -> done", "42^\\circ", "42^{\\circ}", "42^{th}", "42\\text{ cm}", "42\\ \\text{cm}",
    "42 cm^2", "42 x", "Total - 42", "COVID-42", "x = 42", "40 + 2 = 42", "42 (since 6*7=42)", "42...",
    "42/1 of them", "\n- 42", "\n\n* 42",
]
# fmt: on


@pytest.mark.parametrize("form", ["Answer: {}", "#### {}", "\\boxed{{{}}}", "<answer>{}</answer>"])
@pytest.mark.parametrize("written", UNFINISHED)
def test_a_part_of_a_marked_expression_is_no_answer(written: str, form: str) -> None:
    assert PARSERS["number"](form.format(written)) is None


@pytest.mark.parametrize("form", ["Answer: {}", "#### {}", "<answer>{}</answer>"])
@pytest.mark.parametrize("written", FINISHED)
def test_prose_and_units_around_a_marked_number_do_not_hide_it(written: str, form: str) -> None:
    assert PARSERS["number"](form.format(written)) == "42"


@pytest.mark.parametrize(
    ("text", "answer"),
    [("Answer: - 5", "-5"), ("Answer is - $5", "-5"), ("\\boxed{- 5}", "-5"), ("x = 3\n#### - 5", "-5"),
     ("Answer:- 5", "5"), ("Answer:\n- 5", "5"), ("- 5 apples", "5"), ("Answer: -\\frac{1}{2}.", "-0.5")],
)  # fmt: skip
def test_a_marked_sign_may_stand_apart_and_a_bullet_is_none(text: str, answer: str) -> None:
    assert PARSERS["number"](text) == answer


@given(st.integers(0, 9999), st.sampled_from(["+", "-", "*", "^", " + ", " - ", " * ", " "]), st.integers(0, 9999))
def test_no_sum_is_read_by_its_first_number(left: int, between: str, right: int) -> None:
    assert PARSERS["number"](f"Answer: {left}{between}{right}") is None
    assert PARSERS["number"](f"Answer: {left}{between}{right} = 7") == "7"


@settings(deadline=None, derandomize=True)
@given(st.fractions(max_denominator=10**6))
def test_a_number_is_read_back_exactly(value: Fraction) -> None:
    assert number_value(f"Answer: {format_number(value)}") == value


@settings(deadline=None, derandomize=True)
@given(st.integers(-(10**30), 10**30))
def test_spellings_of_one_integer_vote_together(value: int) -> None:
    spellings = [f"{value}", f"{value:,}", f"{value}.0", f"Answer: {value}.", f"\\boxed{{{value}}}", f"= {value}"]
    assert {PARSERS["number"](spelling) for spelling in spellings} == {str(value)}


@pytest.mark.parametrize(
    ("name", "text", "answer"),
    [
        ("text", "  a b ", "a b"),
        ("line", "work\nAnswer: Paris \n", "Paris"),
        ("line", "first\nlast one\n\n", "last one"),
        ("box", "\\boxed{a} and \\boxed{\\frac{1}{2}}.", "\\frac{1}{2}"),
        ("box", "\\boxed{a} and \\boxed{b", "a"),
        ("box", "\\boxed{", None),
        ("choice", "B", "B"),
        ("choice", "b)", "B"),
        ("choice", "B. because A is wrong", "B"),
        ("choice", "The answer is (D).", "D"),
        ("choice", "A man is tall, so (C)", "C"),
        ("choice", "I think A cat did it", None),
        ("choice", "Answer: none of them", None),
        ("choice", "The answer is a cat", None),
        ("choice", "The answer is I think C", None),
        ("choice", "Answer: A because B is wrong", "A"),
        ("choice", "Answer: I", "I"),
        ("choice", "Answer: a", "A"),
        ("final", "<answer>12</answer>\nI hope this answer is helpful.", "12"),
        ("final", "<answer>Paris</answer> The answer is right.", "Paris"),
        ("final", "#### Part one\nwork\n#### Paris", "Paris"),
        ("truth", "It is not true but FALSE", "false"),
        ("truth", "Answer: unknown, not true", "unknown"),
        ("truth", "maybe", None),
        ("path", "A: B C\nA -> B -> D", "A B D"),
        ("path", "Answer: A, B", "A B"),
        ("expression", "3*5=15\n15+9=24\nAnswer: (3*5)+9", "(3*5)+9"),
        ("expression", "[3 \u00d7 5] \u2212 9 \u00f7 3 = 12", "(3*5)-9/3"),
        ("expression", "no sums", None),
        ("expression", "Answer: ((14/1)*7)-7 (uses only the given numbers)", "((14/1)*7)-7"),
        ("expression", "Answer: ((14/1)*7)-7 - done", "((14/1)*7)-7"),
        ("expression", "Answer: 91 = ((14/1)*7)-7", "((14/1)*7)-7"),
        ("expression", "Answer: 91 = 91", "91"),
        ("expression", "\\boxed{\\left(14 \\div 1\\right) \\times 7 - 7}", "(14/1)*7-7"),
        ("expression", "Answer: 3+", "3+"),
        ("json", 'say {"a": [1, 2]} then {"c": 1, "b": 2}', '{"b":2,"c":1}'),
        ("json", "```json\n[1,\n 2]\n```", "[1,2]"),
        ("json", '[2.0, 1e2, 2.5, {"a": -0.0}]', '[2,100,2.5,{"a":0}]'),
        ("json", "{bad", None),
        ("json", "[1e999]", None),
        ("json", "NaN", None),
        ("program", "text\n```python\nx = 1\n```\n```\nout\n```", "x = 1"),
        ("program", "```\nfirst\n```\n```\nsecond\n```", "second"),
        ("program", "def f(x):\n    return x", "def f(x):\n    return x"),
        ("program", "apples", None),
        ("program", "The program adds one.", None),
        ("sql", "```sql\nSELECT 1;\n```", "SELECT 1"),
        ("sql", "SQL: select a\nfrom b; done", "select a\nfrom b"),
        ("sql", "with q as (select 1) select * from q", "with q as (select 1) select * from q"),
        ("sql", "I would select with care", None),
        ("maths", "Hence $x+1$ or $y$.", "y"),
        ("maths", "\\boxed{ \\frac{1}{2} }", "\\frac{1}{2}"),
        ("maths", "Answer: x^2.", "x^2"),
        ("maths", "so 12", "12"),
    ],
)
def test_other_formats(name: str, text: str, answer: str | None) -> None:
    assert PARSERS[name](text) == answer


def test_an_unknown_format_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="number"):
        parse_answer("nubmer", "5")
