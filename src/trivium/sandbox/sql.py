"""Running a query that a model wrote, on a database rebuilt from a script.

DuckDB's own memory limit does not cover what some functions allocate (`repeat`, `range`), and those cannot be
interrupted either.  So queries run in a worker process with rlimits that is killed and replaced when it overstays.
"""

from __future__ import annotations

import atexit
import json
import os
import selectors
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from trivium.sandbox.outcome import Outcome, shortened

MEMORY_MB = 256
MAX_BYTES = 1_000_000
_WORKER = Path(__file__).with_name("sql_worker.py")
_STARTUP_SECONDS = 30.0


def run_query(script: str, query: str, *, seconds: float = 2.0) -> Outcome:
    """Run one read-only `SELECT` on the in-memory database that `script` (trusted SQL) builds.

    An `ok` outcome's value is the list of rows, each a list of JSON values (decimals as floats, dates as ISO text).
    What is not exactly one SELECT statement is `refused`; DuckDB's errors are `error`, syntax errors among them with
    `error="ParserException"`.  No file, network, extension or setting can be reached.

    Raises `ValueError` if the script itself fails.
    """
    with _lock:
        answer = _worker().ask({"script": script, "query": query, "seconds": seconds, "memory_mb": MEMORY_MB})
    if isinstance(answer, Outcome):
        return answer
    if answer["status"] == "broken":
        raise ValueError(f"the database cannot be built: {shortened(answer['message'])}")
    if answer["status"] == "ok":
        return Outcome("ok", answer["rows"])
    return Outcome(answer["status"], None, "", answer.get("error", ""), shortened(answer["message"]))


class _Worker:
    """One child process that answers a line of JSON with a line of JSON."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-I", str(_WORKER)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0, start_new_session=True,
        )  # fmt: skip
        self.fresh = True

    def ask(self, request: dict[str, Any]) -> dict[str, Any] | Outcome:
        """The worker's answer, or the limit that it passed; it must not be asked again after that."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            line = self._read(request["seconds"])
        except BrokenPipeError:
            line = b""
        if isinstance(line, Outcome) or not line.endswith(b"\n"):
            _stop()
            died = Outcome("memory", message=f"needs more than {MEMORY_MB} MiB, or crashed the database")
            return line if isinstance(line, Outcome) else died
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _read(self, seconds: float) -> bytes | Outcome:
        assert self.process.stdout is not None
        # The worker interrupts a slow query itself; the extra second is for what cannot be interrupted.
        deadline = time.monotonic() + seconds + 1.0 + (_STARTUP_SECONDS if self.fresh else 0.0)
        self.fresh = False
        read = bytearray()
        with selectors.DefaultSelector() as waiting:
            waiting.register(self.process.stdout, selectors.EVENT_READ)
            while not read.endswith(b"\n"):
                if not waiting.select(max(0.0, deadline - time.monotonic())):
                    return Outcome("timeout", message=f"still running after {seconds:g} s")
                chunk = os.read(self.process.stdout.fileno(), 1 << 16)
                if not chunk:
                    break
                read += chunk
                if len(read) > MAX_BYTES:
                    return Outcome("output-limit", message=f"returned more than {MAX_BYTES} bytes")
        return bytes(read)


_current: list[_Worker] = []
_lock = threading.Lock()


def _worker() -> _Worker:
    if not _current:
        _current.append(_Worker())
        atexit.register(_stop)
    return _current[0]


def _stop() -> None:
    while _current:
        process = _current.pop().process
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()


# A forked child must not share its parent's pipes: it starts a worker of its own.
os.register_at_fork(after_in_child=_current.clear)
