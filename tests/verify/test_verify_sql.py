"""Judging queries by their results."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivium.verify.sql import bigram_overlap, check_sql, same_rows, schema_overlap

SHOP = """
CREATE TABLE people (id INTEGER PRIMARY KEY, name VARCHAR, age INTEGER);
INSERT INTO people VALUES (1, 'Ada', 30), (2, 'Ben', 20), (3, 'Cleo', 40);
CREATE TABLE orders (id INTEGER PRIMARY KEY, person_id INTEGER REFERENCES people(id), price DECIMAL(8, 2));
INSERT INTO orders VALUES (1, 1, 2.50), (2, 1, 4.00), (3, 2, 1.25);
"""
OTHER = SHOP.replace("(3, 2, 1.25)", "(3, 3, 9.75)")
TOTALS = {
    "databases": [SHOP, OTHER],
    "query": "SELECT people.name, SUM(price) FROM orders JOIN people ON person_id = people.id GROUP BY people.name",
    "ordered": False,
}
OLDEST = {"databases": [SHOP], "query": "SELECT name FROM people ORDER BY age DESC LIMIT 2", "ordered": True}


@pytest.mark.parametrize(
    "query",
    [
        "select p.name, sum(o.price)::double as t from people p, orders o where person_id = p.id group by 1 order by t",
        "SELECT name, (SELECT SUM(price) FROM orders WHERE person_id = p.id) AS t FROM people p WHERE t IS NOT NULL",
        "WITH t AS (SELECT person_id i, SUM(price) s FROM orders GROUP BY 1) SELECT name, s FROM t, people WHERE id=i;",
    ],
)
def test_a_query_is_right_by_its_rows(query: str) -> None:
    verdict = check_sql(f"Here it is:\n```sql\n{query}\n```", TOTALS)
    assert verdict.correct, verdict
    assert verdict.parts["executes"] == 1.0
    assert verdict.parts["schema"] > 0.7


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("SELECT SUM(price), name FROM orders JOIN people ON person_id = people.id GROUP BY name", "differs"),
        ("SELECT name, price FROM orders JOIN people ON person_id = people.id", "differs"),
        ("SELECT name, COUNT(*) FROM people GROUP BY name", "differs"),
        # The right rows of the first database, written down: the second one tells.
        ("SELECT * FROM (VALUES ('Ada', 6.5), ('Ben', 1.25))", "differs"),
        ("SELECT nope FROM people", "BinderException"),
        ("SELECT name FROM people; SELECT 1", "refused"),
        ("WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n FROM t) SELECT COUNT(*) FROM t", "timeout"),
    ],
)
def test_a_wrong_query_is_told_why(query: str, says: str) -> None:
    verdict = check_sql(f"```sql\n{query}\n```", TOTALS)
    assert verdict.status == "wrong"
    assert verdict.score == 0.0
    assert says in verdict.detail
    assert verdict.parts["executes"] == (1.0 if says == "differs" else 0.0)


def test_order_matters_only_where_it_was_asked_for() -> None:
    assert check_sql("SELECT name FROM people ORDER BY age DESC LIMIT 2", OLDEST).correct
    backwards = "SELECT name FROM (SELECT * FROM people ORDER BY age DESC LIMIT 2) ORDER BY age"
    assert check_sql(backwards, OLDEST).status == "wrong"
    assert check_sql(backwards, {**OLDEST, "ordered": False}).correct


@pytest.mark.parametrize("response", ["", "no idea", "```sql\nSELECT FROM WHERE\n```", "```sql\nSELEC 1\n```"])
def test_what_is_no_query_is_unparseable(response: str) -> None:
    assert check_sql(response, TOTALS).status == "unparseable"


@pytest.mark.parametrize(
    "broken",
    [
        None,
        {},
        {**TOTALS, "databases": []},
        {**TOTALS, "query": "SELECT nope"},
        {**TOTALS, "databases": ["CREATE TABEL x"]},
    ],
)
def test_a_broken_reference_raises(broken: Any) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        check_sql("SELECT 1", broken)


def test_schema_overlap_counts_tables_and_columns_by_what_they_are() -> None:
    gold = "SELECT name FROM people WHERE age > 20"  # people, people.name, people.age
    assert schema_overlap("SELECT p.name FROM people AS p WHERE p.age < 5", gold, SHOP) == 1.0
    assert schema_overlap("SELECT name FROM people", gold, SHOP) == pytest.approx(2 / 3)
    assert schema_overlap("SELECT person_id FROM orders", gold, SHOP) == 0.0
    assert schema_overlap(
        "SELECT p.name FROM people p JOIN orders o ON p.id = o.person_id", gold, SHOP
    ) == pytest.approx(2 / 6)
    assert schema_overlap("SELECT * FROM people", gold, SHOP) == pytest.approx(3 / 4)
    assert schema_overlap("not sql at all (", gold, SHOP) == 0.0
    assert schema_overlap("SELECT " + "(" * 2000 + "1" + ")" * 2000, gold, SHOP) == 0.0


cells = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-5, 5) | st.text("ab", max_size=2)
tables = st.integers(1, 3).flatmap(lambda width: st.lists(st.lists(cells, min_size=width, max_size=width), max_size=6))


@settings(deadline=None)
@given(tables, st.randoms(use_true_random=False))
def test_rows_are_a_multiset(rows: list[list[Any]], rng: Any) -> None:
    shuffled = rng.sample(rows, len(rows))
    assert same_rows(shuffled, rows, ordered=False)
    assert same_rows(rows, rows, ordered=True)
    assert not same_rows([*rows, ["extra"]], rows, ordered=False)
    if rows:
        assert not same_rows([*rows[1:], ["zzz"] * len(rows[0])], rows, ordered=False)


@settings(deadline=None)
@given(st.lists(st.integers(-(10**6), 10**6) | st.integers(-(10**15), 10**15), min_size=1, max_size=6))
def test_numbers_agree_whatever_their_types_to_tolerance(numbers: list[int]) -> None:
    assert same_rows([[v * (1 + 1e-9)] for v in numbers], [[v] for v in numbers], ordered=True)
    assert same_rows([[v] for v in sorted(numbers)], [[v] for v in numbers], ordered=False)
    assert not same_rows([[v + 1] for v in numbers], [[v] for v in numbers], ordered=True)
    assert not same_rows([[v + abs(v) / 100 + 1.5] for v in numbers], [[v] for v in numbers], ordered=True)
    assert not same_rows([[str(v)] for v in numbers], [[v] for v in numbers], ordered=False)


def test_likeness_is_that_of_neighbouring_tokens() -> None:
    gold = "SELECT name FROM people WHERE age > 30"
    assert bigram_overlap("select name\nfrom people where age>30", gold) == 1.0
    assert bigram_overlap("SELECT name FROM people WHERE age > 20", gold) == pytest.approx(6 / 8)
    assert bigram_overlap("SELECT name FROM people", gold) == pytest.approx(3 / 7)
    assert bigram_overlap("nope", gold) == bigram_overlap("", gold) == 0.0


@pytest.mark.parametrize(
    ("response", "reasoned"),
    [
        ("I look at people.\n```sql\nSELECT name FROM people\n```", 1.0),
        ("\nFirst this,\nthen that: ```sql\nSELECT name FROM people\n```\n", 1.0),
        ("```sql\nSELECT name FROM people\n```", 0.0),
        ("I look at people.\n```sql\nSELECT name FROM people", 0.0),
        ("I look at people.\n```sql\nSELECT name FROM people\n``` Done.", 0.0),
        ("I look at people.\n```\nSELECT name FROM people\n```", 0.0),
        ("SELECT name FROM people", 0.0),
    ],
)
def test_reasoned_is_some_words_and_then_one_closed_fence(response: str, reasoned: float) -> None:
    verdict = check_sql(response, OLDEST)
    assert verdict.parts["reasoned"] == reasoned
    assert 0 < verdict.parts["bigrams"] < 1


def test_without_a_query_every_part_is_nought() -> None:
    assert set(check_sql("I do not know.", OLDEST).parts.values()) == {0.0}
