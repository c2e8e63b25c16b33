"""Judging SQL: a query is right when its result is the gold query's result, on every database of the reference.

Rows are compared as a multiset, or in order where the question asks for an order.  Columns are compared by position:
their names do not matter, their order and number do, because the question says what to return and in which order.
Whole numbers agree exactly, others to a relative 1e-6, whatever their SQL types.  More than one database makes it
unlikely that a wrong query gives the right rows by chance (Zhong et al. 2020, arXiv:2010.02840).
"""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from trivium.sandbox.sql import run_query
from trivium.types import Verdict
from trivium.verify.parse import parse_answer

Rows = Sequence[Sequence[Any]]

_REASONED = re.compile(r"\s*[^\s`][^`]*```sql\n[^`]+```\s*")
_NOTHING = {"executes": 0.0, "schema": 0.0, "bigrams": 0.0, "reasoned": 0.0}


def check_sql(response: str, reference: Any) -> Verdict:
    """Run the response's query on each database and compare with the gold query.

    `reference` is `{"databases": [script, ...], "query": gold, "ordered": bool}`; a script is the SQL that builds the
    database.  Parts: `executes`, the share of databases the query runs on; `schema`, the Jaccard index of the tables
    and columns it uses with those of the gold query, aliases resolved; `bigrams`, that of pairs of neighbouring tokens;
    `reasoned`, whether the response is some reasoning, then the query in one closed fence, and no more.

    Raises `KeyError` or `ValueError` for a broken reference: one that does not build, or whose gold query fails.
    """
    scripts, gold, ordered = tuple(reference["databases"]), str(reference["query"]), bool(reference["ordered"])
    if not scripts:
        raise ValueError("the reference has no database")
    wanted = [trusted_rows(script, gold) for script in scripts]
    query = parse_answer("sql", response)
    if query is None:
        return Verdict.unparseable("no SQL query found", **_NOTHING)
    ran = [run_query(script, query) for script in scripts]
    parts = {
        "executes": sum(o.ok for o in ran) / len(ran),
        "schema": schema_overlap(query, gold, scripts[0]),
        "bigrams": bigram_overlap(query, gold),
        "reasoned": float(_REASONED.fullmatch(response) is not None),
    }
    failed = next((o for o in ran if not o.ok), None)
    if failed is not None and failed.error == "ParserException":
        return Verdict.unparseable(failed.message, **parts)
    if failed is not None:
        return Verdict.wrong(query, 0.0, failed.reason, **parts)
    if all(same_rows(o.value, rows, ordered) for o, rows in zip(ran, wanted, strict=True)):
        return Verdict.right(query, **parts)
    return Verdict.wrong(query, 0.0, "the result differs from that of the gold query", **parts)


def same_rows(got: Rows, wanted: Rows, ordered: bool) -> bool:
    """Equality of two results, by position if `ordered`, else as multisets."""
    if len(got) != len(wanted):
        return False
    if not ordered:
        got, wanted = sorted(got, key=_sort_key), sorted(wanted, key=_sort_key)
    return all(len(a) == len(b) and all(map(_same_cell, a, b)) for a, b in zip(got, wanted, strict=True))


def schema_overlap(query: str, gold: str, script: str) -> float:
    """|A & B| / |A | B| for the tables and columns that two queries use; 0 for a query that cannot be resolved."""
    used, needed = _used(query, script), _used(gold, script)
    return len(used & needed) / len(used | needed) if used and needed else 0.0


def bigram_overlap(query: str, gold: str) -> float:
    """|A & B| / |A | B| for the pairs of neighbouring tokens of two queries, whatever their case."""
    used, needed = _bigrams(query), _bigrams(gold)
    return len(used & needed) / len(used | needed) if used and needed else 0.0


@functools.lru_cache(maxsize=8192)
def trusted_rows(script: str, query: str) -> Rows:
    """The result of a query of ours, remembered; raises `ValueError` if it fails."""
    outcome = run_query(script, query)
    if not outcome.ok:
        raise ValueError(f"the gold query fails: {outcome.reason}")
    rows: Rows = outcome.value
    return rows


def _bigrams(query: str) -> set[tuple[str, str]]:
    return set(itertools.pairwise(re.findall(r"\w+|[^\w\s]", query.lower())))


def _same_cell(a: Any, b: Any) -> bool:
    if _is_number(a) and _is_number(b) and not (isinstance(a, int) and isinstance(b, int)):
        return math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9)
    return type(a) is type(b) and bool(a == b)


def _is_number(cell: Any) -> bool:
    return isinstance(cell, (int, float)) and not isinstance(cell, bool)


def _sort_key(row: Sequence[Any]) -> list[tuple[int, float, float, str]]:
    """Cells by kind, then value; numbers rounded first, so that those equal to tolerance nearly always sort alike."""
    return [
        (0, float(f"{cell:.6g}"), float(cell), "")
        if _is_number(cell)
        else (1 if cell is None else 2, 0.0, 0.0, str(cell))
        for cell in row
    ]


@functools.lru_cache(maxsize=4096)
def _used(query: str, script: str) -> frozenset[tuple[str, str]]:
    """(table, "") for every table a query reads, and (table, column) for every column of them it uses."""
    import sqlglot
    from sqlglot.optimizer.qualify import qualify
    from sqlglot.optimizer.scope import traverse_scope

    try:
        tree = qualify(
            sqlglot.parse_one(query, dialect="duckdb"),
            schema=_schema(script),
            dialect="duckdb",
            validate_qualify_columns=False,
        )
        scopes = traverse_scope(tree)
    except (sqlglot.errors.SqlglotError, RecursionError, ValueError):
        return frozenset()
    used: set[tuple[str, str]] = set()
    for scope in scopes:
        tables = {
            alias: source.name.lower()
            for alias, source in scope.sources.items()
            if isinstance(source, sqlglot.exp.Table)
        }
        used.update((table, "") for table in tables.values())
        used.update((tables[c.table], c.name.lower()) for c in scope.columns if c.table in tables)
    return frozenset(used)


@functools.lru_cache(maxsize=256)
def _schema(script: str) -> Mapping[str, Mapping[str, str]]:
    rows = trusted_rows(script, "SELECT table_name, column_name, data_type FROM information_schema.columns")
    schema: dict[str, dict[str, str]] = {}
    for table, column, kind in rows:
        schema.setdefault(table.lower(), {})[column.lower()] = kind
    return schema
