"""Running a query that a model wrote, on a database rebuilt from a script.

DuckDB's own memory limit does not cover what some functions allocate (`repeat`, `range`), and those cannot be
interrupted either.  So queries run in a worker process with rlimits that is killed and replaced when it overstays.
"""

from __future__ import annotations

from trivium.sandbox.outcome import Outcome, shortened
from trivium.sandbox.worker import ask

MEMORY_MB = 256


def run_query(script: str, query: str, *, seconds: float = 2.0) -> Outcome:
    """Run one read-only `SELECT` on the in-memory database that `script` (trusted SQL) builds.

    An `ok` outcome's value is the list of rows, each a list of JSON values (decimals as floats, dates as ISO text).
    What is not exactly one SELECT statement is `refused`; DuckDB's errors are `error`, syntax errors among them with
    `error="ParserException"`.  No file, network, extension or setting can be reached.

    Raises `ValueError` if the script itself fails.
    """
    request = {"script": script, "query": query, "seconds": seconds, "memory_mb": MEMORY_MB}
    # The worker interrupts a slow query itself; the extra second is for what cannot be interrupted.
    answer = ask("trivium.sandbox.sql_worker", request, seconds + 1.0)
    if isinstance(answer, Outcome):
        return answer
    if answer["status"] == "broken":
        raise ValueError(f"the database cannot be built: {shortened(answer['message'])}")
    if answer["status"] == "ok":
        return Outcome("ok", answer["rows"])
    return Outcome(answer["status"], None, "", answer.get("error", ""), shortened(answer["message"]))
