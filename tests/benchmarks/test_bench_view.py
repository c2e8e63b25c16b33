"""The waits of the viewer, on a run of seconds."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.bench_view import LIMITS, rows
from benchmarks.big_run import NEEDLE, write_big_run

from trivium.store import Run, query


@pytest.mark.enable_socket
def test_every_answer_is_measured_against_its_limit() -> None:
    found = rows(1, 800, 20)
    assert len(found) == len(LIMITS) + 1
    assert all(row["ours"] > 0 for row in found)
    assert [row["theirs"] for row in found[:-1]] == list(LIMITS.values())
    assert "by DuckDB over the file" in next(row["note"] for row in found if "search" in row["name"])


def test_a_big_run_is_equal_at_every_call_and_holds_what_is_searched_for(tmp_path: Path) -> None:
    for name, finished in (("a", False), ("b", False), ("c", True)):
        write_big_run(tmp_path / name, 800, 20, finished)
    assert (tmp_path / "a" / "traces-rl.jsonl").read_bytes() == (tmp_path / "b" / "traces-rl.jsonl").read_bytes()
    sql = f"SELECT count(*) AS n, count(*) FILTER (contains(response, '{NEEDLE}')) AS hits FROM traces"
    assert [query(Run(tmp_path / name), sql) for name in ("a", "c")] == [[{"n": 800, "hits": 1}]] * 2
