"""The child process of `trivium.sandbox.sql`: DuckDB, one cached in-memory database per script."""

from __future__ import annotations

import datetime
import decimal
import functools
import math
import threading
from typing import Any

import duckdb

from trivium.sandbox.worker import allow_memory, serve

MAX_ROWS = 1000
_DATABASE_MB = 64


@functools.lru_cache(maxsize=16)
def database(script: str) -> duckdb.DuckDBPyConnection:
    """An in-memory database that can reach nothing outside and whose settings are locked."""
    made = duckdb.connect(":memory:", config={"threads": 1, "memory_limit": f"{_DATABASE_MB}MB"})
    made.execute(script)
    made.execute("SET enable_external_access = false")
    made.execute("SET lock_configuration = true")
    return made


def answer(script: str, query: str, seconds: float, memory_mb: int) -> dict[str, Any]:
    allow_memory(None)
    try:
        connection = database(script)
    except duckdb.Error as error:
        return {"status": "broken", "message": str(error)}
    allow_memory(memory_mb)
    cursor = connection.cursor()
    timer = threading.Timer(seconds, cursor.interrupt)
    timer.start()
    try:
        statements = cursor.extract_statements(query)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            return {"status": "refused", "message": "only one SELECT statement is run"}
        cursor.execute("BEGIN TRANSACTION READ ONLY")
        rows = cursor.execute(statements[0]).fetchmany(MAX_ROWS + 1)
    except duckdb.InterruptException:
        return {"status": "timeout", "message": f"still running after {seconds:g} s"}
    except (duckdb.OutOfMemoryException, MemoryError):
        return {"status": "memory", "message": f"needs more than {_DATABASE_MB} MiB"}
    except Exception as error:  # whatever a query can raise is about the query
        if isinstance(error, (duckdb.FatalException, duckdb.InternalException)):
            database.cache_clear()  # DuckDB itself failed, and answers nothing more from such a database
        return {"status": "error", "error": type(error).__name__, "message": str(error)}
    finally:
        timer.cancel()
        cursor.close()
    if len(rows) > MAX_ROWS:
        return {"status": "output-limit", "message": f"returned more than {MAX_ROWS} rows"}
    return {"status": "ok", "rows": [[plain(cell) for cell in row] for row in rows]}


def plain(cell: Any) -> Any:
    """A cell as a JSON value."""
    if cell is None or isinstance(cell, (bool, str)):
        return cell
    if isinstance(cell, int):
        return cell if abs(cell) < 10**300 else str(cell)
    if isinstance(cell, (float, decimal.Decimal)):
        value = float(cell)
        return value if math.isfinite(value) else str(value)
    if isinstance(cell, (datetime.date, datetime.time)):
        return cell.isoformat()
    return str(cell)


if __name__ == "__main__":
    serve(answer)
