"""How long `trivium view` lets one wait on a run folder of 1 GB with 200,000 traces, against what a reader notices.

Each turn starts the command in a process of its own and asks it over HTTP, as the page does: what the first page needs
before it can draw, then lists, searches and one trace.  The first turn finds no index; what it takes to answer then is
in the notes, and how long the index takes is a row of its own.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from benchmarks.big_run import NEEDLE, write_big_run
from benchmarks.pairing import Row, row
from trivium.errors import RunError
from trivium.store import Run, query

TRACES, TOKENS = 200_000, 135
LIMITS = {"index": 0.5, "run": 0.5, "list": 0.3, "search": 1.0, "trace": 0.3}
"""Seconds."""
BASE = "/api/runs/big"
ASKED = {
    "index": "/api/index",
    "run": BASE,
    "list": f"{BASE}/traces?status=wrong&sort=tokens&descending=1&offset=5000&limit=100",
    "search": f"{BASE}/traces?q={NEEDLE.replace(' ', '%20')}",
    "trace": f"{BASE}/traces/rl.777",
}
"""In this order; each is asked for the first time in its process."""
SAID = {
    "index": "first answer of a fresh server", "run": "a run's page", "list": "a page of a filtered, sorted list",
    "search": "a search through all texts", "trace": "one trace",
}  # fmt: skip


def rows(pairs: int = 5, traces: int = TRACES, tokens: int = TOKENS) -> list[Row]:
    """Seconds of each answer, fresh server each time; and of building the index."""
    with tempfile.TemporaryDirectory() as folder:
        write_big_run(Path(folder, "runs", "big"), traces, tokens)
        megabytes = sum(path.stat().st_size for path in Path(folder, "runs", "big").iterdir()) / 1e6
        first = _turn(Path(folder), traces)
        built = first["built"]
        turns = [_turn(Path(folder), traces) for _ in range(pairs)]
        plain = _without_index(Path(folder, "runs", "big"))
    what = f"{traces:,} traces, {megabytes:,.0f} MB"
    found = [
        row(
            f"view: {SAID[name]}, {what}", "limit", "s", [(turn[name], limit) for turn in turns], better="lower",
            reach=1.0, note=_note(name, first, statistics.median(turn["start"] for turn in turns), plain),
        )
        for name, limit in LIMITS.items()
    ]  # fmt: skip
    each = f"{1e6 * built / traces:.0f} microseconds a trace; once, in the background, and then only what was added"
    return [*found, row(f"view: building the index, {what}", "limit", "s", [(built, 60.0)], better="lower", note=each)]


def _note(name: str, first: dict[str, float], start: float, plain: float) -> str:
    cold = f"without any index yet {first[name]:.2g} s, with what is there so far"
    if name == "index":
        return f"the command takes {start:.2g} s until it says its address; {cold}"
    if name == "search":
        return f"{cold}; the same search by DuckDB over the file of lines takes {plain:.2g} s"
    return cold


def _turn(folder: Path, traces: int) -> dict[str, float]:
    """Seconds of each answer of a server started for them, and of the index until it was ready."""
    started = time.perf_counter()
    with _server(folder) as client:
        began = time.perf_counter()
        taken = {name: _seconds(client, path) for name, path in ASKED.items()}
        while client.get(f"{BASE}/index").json()["state"] != "ready":
            time.sleep(0.05)
        built = time.perf_counter() - began
        found = client.get(f"{BASE}/traces").json()
        if found["total"] != traces:
            raise RunError(f"the index has {found['total']} traces of {traces}")
    return {**taken, "built": built, "start": began - started}


@contextmanager
def _server(folder: Path) -> Iterator[httpx.Client]:
    command = [sys.executable, "-m", "trivium", "view", "--runs", str(folder / "runs"), "--port", "0"]
    settings = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=settings) as process:
        assert process.stdout is not None
        try:
            address = process.stdout.readline().split()[2]
            with httpx.Client(base_url=address, timeout=120) as client:
                yield client
        finally:
            process.terminate()


def _seconds(client: httpx.Client, path: str) -> float:
    start = time.perf_counter()
    reply = client.get(path)
    if reply.status_code not in (200, 404):  # a trace that is not indexed yet
        raise RunError(f"{path}: {reply.text}")
    return time.perf_counter() - start


def _without_index(folder: Path) -> float:
    start = time.perf_counter()
    found: list[dict[str, Any]] = query(Run(folder), f"SELECT step FROM traces WHERE contains(response, '{NEEDLE}')")
    if not found:
        raise RunError("the search found nothing")
    return time.perf_counter() - start


if __name__ == "__main__":
    for measured in rows():
        print(measured)
