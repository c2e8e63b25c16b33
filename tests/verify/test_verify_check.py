"""Checkers: right, wrong, unparseable, and a broken reference that is an error whatever the response."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivium.errors import UnknownName
from trivium.verify import PARSERS, VERIFIERS, verifier

IN_PROCESS = sorted(set(VERIFIERS) - {"maths", "program", "sql"})
TESTS = {"name": "f", "tests": [[[2], 4], [[3], 9]]}
ROWS = {
    "databases": ["create table t (a int); insert into t values (1), (2);"],
    "query": "select a from t",
    "ordered": False,
}


@pytest.mark.parametrize(
    ("name", "response", "reference", "status"),
    [
        ("exact", " a  b\n", "a b", "correct"),
        ("exact", "A b", "a b", "wrong"),
        ("exact", "", "a", "unparseable"),
        ("exact", "7", 7, "correct"),
        ("line", "thinking\nAnswer: PARIS.", "Paris", "correct"),
        ("line", "Paris or Rome", "Paris", "wrong"),
        ("number", "Answer: 1,234.0", 1234, "correct"),
        ("number", "#### 93", "work #### 93", "correct"),
        ("number", "0.3333333", "1/3", "correct"),
        ("number", "0.33", "1/3", "wrong"),
        ("number", "1000001", 1000000, "wrong"),
        ("number", "1000000.4", 1000000.5, "correct"),
        ("number", "none", 5, "unparseable"),
        ("choice", "(b)", "B", "correct"),
        ("choice", "Answer: C", "B", "wrong"),
        ("choice", "hm", "B", "unparseable"),
        ("json", '{"b": 2, "a": [1]}', {"a": [1], "b": 2}, "correct"),
        ("json", "[1, 2]", "[1,2]", "correct"),
        ("json", "[2, 1]", [1, 2], "wrong"),
        ("json", "oops", [1], "unparseable"),
        ("json", '{"a": 2.0}', {"a": 2}, "correct"),
        ("json", '{"a": 2}', '{"a": 2.0}', "correct"),
        ("json", '{"a": 2e3, "b": [-0.0]}', {"a": 2000, "b": [0]}, "correct"),
        ("json", '{"a": 2.5}', {"a": 2}, "wrong"),
        ("json", '{"a": true}', {"a": 1}, "wrong"),
        ("number", "Answer: 4+7", 4, "unparseable"),
        ("similarity", "the quick brown fox", "The quick brown fox", "correct"),
        ("similarity", "the slow brown fox", "the quick brown fox", "wrong"),
        ("similarity", " ", "a", "unparseable"),
        ("program", "def f(x):\n    return x * x", TESTS, "correct"),
        ("program", "def f(x):\n    return x + x", json.dumps(TESTS), "wrong"),
        ("sql", "select a from t order by a desc", json.dumps(ROWS), "correct"),
        ("sql", "select max(a) from t", ROWS, "wrong"),
    ],
)
def test_judgements(name: str, response: str, reference: Any, status: str) -> None:
    assert verifier(name)(response, reference).status == status


def test_similarity_is_the_share_of_words_in_common_order() -> None:
    assert verifier("similarity")("a b x d", "a b c d").score == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("name", "reference"),
    [("exact", None), ("exact", " "), ("exact", [1]), ("line", None), ("number", "many"), ("number", None),
     ("number", True), ("choice", "Z"), ("choice", None), ("json", "{"), ("json", None), ("json", float("nan")),
     ("similarity", None), ("maths", None), ("maths", " ")],
)  # fmt: skip
def test_a_broken_reference_is_an_error_and_never_a_wrong_answer(name: str, reference: Any) -> None:
    assert verifier(name)("Answer: 5", reference).status == "error"


@settings(deadline=None, derandomize=True)
@given(st.text(), st.one_of(st.none(), st.text(), st.integers(), st.floats(), st.lists(st.integers(), max_size=3)))
@pytest.mark.parametrize("name", IN_PROCESS)
def test_verifiers_are_total(name: str, response: str, reference: Any) -> None:
    assert VERIFIERS[name](response, reference).status in ("correct", "wrong", "unparseable", "error")


def test_every_verifier_names_a_parser_and_says_what_it_does() -> None:
    assert all(v.answer_format in PARSERS and v.summary for v in VERIFIERS.values())


def test_an_unknown_verifier_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="similarity"):
        verifier("similar")
