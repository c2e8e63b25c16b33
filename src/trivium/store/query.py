"""DuckDB over a run's files, in place, and the compaction of traces to Parquet."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trivium.errors import UserError
from trivium.store.files import sync_folder
from trivium.store.traces import COLUMNS

if TYPE_CHECKING:
    from trivium.store.run import Run


def query(run: Run, sql: str) -> list[dict[str, Any]]:
    """Rows of a query over the views `metrics` and `traces` of one run.

    Raises:
        UserError: the query is not valid SQL, or names what is not there.
    """
    import duckdb

    with duckdb.connect(":memory:") as db:
        db.execute(f"CREATE VIEW metrics AS {_metrics(run.path / 'metrics.jsonl')}")
        db.execute(f"CREATE VIEW traces AS {_traces(run.path)}")
        try:
            answer = db.execute(sql)
        except duckdb.Error as error:
            raise UserError(f"cannot run this query: {error}. The views are metrics and traces.") from error
        names = [column[0] for column in answer.description or ()]
        return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]


def compact(path: Path) -> None:
    """Replace `traces-X.jsonl` by an equal `traces-X.parquet`; at every instant one of them is wholly on the disk."""
    import duckdb

    target = path.with_suffix(".parquet")
    temporary = target.with_name(f".{target.name}.tmp")
    with duckdb.connect(":memory:") as db:
        # Small row groups: one trace of a big run is read in 10 ms instead of 0.3 s, and less memory is needed here.
        options = "FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 2048"
        db.execute(f"COPY ({_lines(path, torn=False)}) TO {_quoted(temporary)} ({options})")
    with open(temporary, "rb") as file:
        os.fsync(file.fileno())
    os.replace(temporary, target)
    sync_folder(path.parent)
    path.unlink()


def _metrics(path: Path) -> str:
    if not path.exists() or not path.stat().st_size:
        return "SELECT NULL::VARCHAR AS phase, NULL::BIGINT AS step WHERE false"
    # Rows of different phases have different keys, so all of them are sampled; a torn last line has no phase.
    options = "format='newline_delimited', union_by_name=true, sample_size=-1, ignore_errors=true"
    return f"SELECT * FROM read_json({_quoted(path)}, {options}) WHERE phase IS NOT NULL"


def _traces(folder: Path) -> str:
    parquet = sorted(folder.glob("traces-*.parquet"))
    done = {path.stem for path in parquet}
    parts = [f"SELECT * FROM read_parquet({_quoted(path)})" for path in parquet]
    parts += [_lines(path) for path in sorted(folder.glob("traces-*.jsonl")) if path.stem not in done]
    empty = ", ".join(f'NULL::{kind} AS "{name}"' for name, kind in COLUMNS.items())
    return " UNION ALL BY NAME ".join(parts or [f"SELECT {empty} WHERE false"])


def _lines(path: Path, torn: bool = True) -> str:
    """`torn`: the last line may be cut, and is left out; otherwise a broken line is an error, not a loss."""
    columns = ", ".join(f"'{name}': '{kind}'" for name, kind in COLUMNS.items())
    options = f"format='newline_delimited', columns={{{columns}}}, maximum_object_size=268435456"
    if torn:
        return f"SELECT * FROM read_json({_quoted(path)}, {options}, ignore_errors=true) WHERE stage IS NOT NULL"
    return f"SELECT * FROM read_json({_quoted(path)}, {options})"


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
