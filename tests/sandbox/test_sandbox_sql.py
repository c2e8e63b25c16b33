"""Hostile queries, and the worker that runs them."""

from __future__ import annotations

import functools
import os
import signal
import time

import duckdb
import pytest

from trivium.sandbox import sql_worker, worker
from trivium.sandbox.sql import run_query

SCRIPT = """
CREATE TABLE a (id INTEGER PRIMARY KEY, n VARCHAR, p DECIMAL(8, 2), d DATE);
INSERT INTO a SELECT range, 'x' || range % 3, range / 2, DATE '2020-01-01' FROM range(40);
"""


def test_a_query_gives_rows_of_plain_data() -> None:
    outcome = run_query(SCRIPT, "SELECT id, n, p, d, NULL, id > 0, 'nan'::FLOAT FROM a ORDER BY id LIMIT 2")
    assert outcome.value == [
        [0, "x0", 0.0, "2020-01-01", None, False, "nan"],
        [1, "x1", 0.5, "2020-01-01", None, True, "nan"],
    ]


@pytest.mark.parametrize(
    ("query", "status", "says"),
    [
        ("SELECT 1; SELECT 2", "refused", "only one SELECT"),
        ("", "refused", "only one SELECT"),
        ("INSERT INTO a VALUES (99, 'b', 1, NULL)", "refused", "only one SELECT"),
        ("DROP TABLE a", "refused", "only one SELECT"),
        ("COPY a TO '/tmp/trivium-test'", "refused", "only one SELECT"),
        ("ATTACH '/tmp/trivium-test'", "refused", "only one SELECT"),
        ("SET threads = 4", "refused", "only one SELECT"),
        ("PRAGMA database_list", "refused", "only one SELECT"),
        ("SELECT * FROM read_text('/etc/passwd')", "error", "disabled by configuration"),
        ("SELECT * FROM '/etc/passwd'", "error", "CatalogException"),
        ("SELEC 1", "error", "ParserException"),
        ("SELECT '\ud800'", "error", "TypeError"),
        ("SELECT nope FROM a", "error", "BinderException"),
        ("SELECT " + "(" * 3000 + "1" + ")" * 3000, "error", "ParserException"),
        ("SELECT COUNT(*) FROM range(100000000000)", "timeout", "0.3 s"),
        ("WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n FROM t) SELECT COUNT(*) FROM t", "timeout", "0.3 s"),
        ("SELECT length(repeat('a', 2000000000))", "memory", "MiB"),
        ("SELECT len(range(1000000000))", "memory", "MiB"),
        ("SELECT a.id FROM a, a b", "output-limit", "1000 rows"),
    ],
)
def test_hostile_queries_end_in_a_named_way(query: str, status: str, says: str) -> None:
    outcome = run_query(SCRIPT, query, seconds=0.3 if status == "timeout" else 60)
    assert outcome.status == status
    assert says in outcome.reason
    assert run_query(SCRIPT, "SELECT COUNT(*) FROM a").value == [[40]], "the database is as it was"


def test_a_result_too_long_to_send_is_cut_off() -> None:
    outcome = run_query(SCRIPT, "SELECT repeat('a', 900000), repeat('b', 900000)", seconds=60)
    assert outcome.status == "output-limit"


def test_a_broken_script_is_the_callers_fault() -> None:
    with pytest.raises(ValueError, match="cannot be built"):
        run_query("CREATE TABEL a", "SELECT 1")


def test_a_dead_or_stuck_worker_is_replaced() -> None:
    assert run_query(SCRIPT, "SELECT 1").value == [[1]]
    name = "trivium.sandbox.sql_worker"
    worker._processes[name].kill()
    assert run_query(SCRIPT, "SELECT 1").status == "memory"
    assert run_query(SCRIPT, "SELECT 1").value == [[1]]
    os.kill(worker._processes[name].pid, signal.SIGSTOP)
    begun = time.monotonic()
    assert run_query(SCRIPT, "SELECT 1", seconds=0.2).status == "timeout"
    assert time.monotonic() - begun < 20
    assert run_query(SCRIPT, "SELECT 1").value == [[1]]


def test_a_database_that_a_query_broke_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    real, made = sql_worker.database.__wrapped__, list[str]()

    class Broken:
        def cursor(self) -> Broken:
            return self

        def interrupt(self) -> None: ...

        def close(self) -> None: ...

        def extract_statements(self, query: str) -> None:
            raise duckdb.FatalException("database has been invalidated")

    @functools.lru_cache
    def database(script: str) -> object:
        made.append(script)
        return Broken() if len(made) == 1 else real(script)

    monkeypatch.setattr(sql_worker, "database", database)
    monkeypatch.setattr(sql_worker, "allow_memory", lambda megabytes: None)
    said = [sql_worker.answer(SCRIPT, "SELECT COUNT(*) FROM a", 9.0, 100) for _ in range(3)]
    assert said[0] == {"status": "error", "error": "FatalException", "message": "database has been invalidated"}
    assert [one.get("rows") for one in said[1:]] == [[[40]], [[40]]]
    assert len(made) == 2
