"""What the tests of view share: made-up traces, runs of them, a library over a folder, a client without a socket."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from trivium.store.files import json_line
from trivium.store.traces import trace_line
from trivium.types import Message, Problem, Question, Segment, Trace, Usage, Verdict
from trivium.view.app import build
from trivium.view.claims import Claims, Paper
from trivium.view.found import Found
from trivium.view.library import Library

PAPER = Paper(91, "t1", "reinforce", "A title", "An idea.", True)
CLOCK = itertools.count(time.time_ns(), 1_000_000)
SETTINGS = {"task": "sums:terms=3", "policy": "tiny:1M", "objective": "grpo", "steps": 4}


def line(
    i: int, *, stage: str = "rl", step: int | None = None, question: str = "What is 1 + 1?", response: str = "2",
    answer: str | None = "2", verdict: Verdict | None = None, level: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """One line of a file of traces."""
    problem = Problem(
        Question(f"q{i % 3}", (Message("user", question),), "number"), 2, "2", f"k{i}", "train", "t", level
    )
    trace = Trace(problem.question.id, answer=answer, response=response, answer_node=1, verdict=verdict)
    trace.add(-1, Segment("prompt", (1, 2, 3), (), question, "v0"))
    trace.add(0, Segment("model", (4, 5), (-0.5, -0.25), response, "v0"))
    trace.usage = Usage(3, 0, 2 + i % 5, 1, seconds=i / 7)
    return trace_line(stage, i if step is None else step, trace, problem)


def write_lines(path: Path, lines: Iterable[Mapping[str, Any]], append: bool = False) -> None:
    with open(path, "ab" if append else "wb") as file:
        file.writelines(map(json_line, lines))
    touch(path)


def touch(path: Path) -> None:
    """Give a file a time of change that none had before: two changes within a tick of the clock look like one."""
    now = next(CLOCK)
    os.utime(path, ns=(now, now))


def make_run(root: Path, name: str = "demo", lines: Mapping[str, Sequence[Mapping[str, Any]]] | None = None) -> Path:
    """A run's folder with traces by stage."""
    folder = root / name
    folder.mkdir(parents=True)
    about = {"name": name, "created": "2026-01-02T03:04:05+0000", "command": ["trivium", "learn"], "settings": SETTINGS,
             "versions": {}, "commit": None, "machine": {}}  # fmt: skip
    (folder / "run.json").write_text(json.dumps(about))
    events = [{"phase": "stage", "stage": stage, "message": "", "total": 1} for stage in lines or {}]
    events += [{"phase": "rl", "step": i, "steps": 4, "reward": i / 4, "accuracy": i / 4} for i in (1, 2, 3)]
    write_lines(folder / "metrics.jsonl", events)
    for stage, found in (lines or {}).items():
        write_lines(folder / f"traces-{stage}.jsonl", found)
    return folder


def library(*roots: Path, cache: Path, ledger: Path | None = None) -> Library:
    claims = Claims([PAPER], "What {} says".format, ledger or cache / "no-ledger.jsonl")
    return Library(Found(list(roots)), claims, cache)


def ask(
    found: Library, path: str, *, token: str | None = None, method: str = "GET", headers: Mapping[str, str] = {},
    host: str = "localhost",
) -> httpx.Response:  # fmt: skip
    """The answer to one request."""

    async def go() -> httpx.Response:
        transport = httpx.ASGITransport(build(found, token), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
            return await client.request(method, path, headers=dict(headers))

    return asyncio.run(go())
