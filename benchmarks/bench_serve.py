"""What `trivium serve` costs over the same work done in one process without HTTP.

Both sides use the same weights in the same process, in turns, and every sample has exactly as many tokens: many clients
that stream, against the engine offline with as many requests at once; and a method over HTTP, against the driver.
Clients are a process of their own and share the machine with the server.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.ours import local
from benchmarks.pairing import Row, alternate, row
from benchmarks.worker import Facts, Turns, Worker
from trivium.errors import RunError
from trivium.policies.streaming import StreamingPolicy, streaming
from trivium.search import method
from trivium.search.driver import run
from trivium.store.machine import cores
from trivium.types import Message, Problem, Question, Request, Sampling

CLIENTS, TOKENS = 200, 64
QUESTIONS, METHOD, METHOD_TOKENS = 16, "vote:n=8", 48


def rows(pairs: int = 5) -> list[Row]:
    """SmolLM2-135M: 200 streaming clients, and 16 votes of 8."""
    with Worker("bench_serve:serve", spec="smollm2") as worker:
        return [clients(worker, pairs, CLIENTS, TOKENS), votes(worker, pairs, QUESTIONS, METHOD_TOKENS)]


def clients(worker: Worker, pairs: int, count: int, tokens: int) -> Row:
    """Tokens a second that reach streaming clients.  Raises RunError if one of them did not get its whole answer."""
    command = {"method": None, "count": count, "tokens": tokens}
    taken = _pairs(worker, pairs, command)
    firsts = sorted(x for a, _ in taken for x in a["first"])
    return row(
        f"{count} streaming clients, SmolLM2-135M, {tokens} tokens each", "the engine offline", "tokens/s",
        [(_rate(a), _rate(b)) for a, b in taken], better="higher", reach=0.85, threads=cores(),
        note=f"no client met an error; first piece after {statistics.median(firsts):.1f} s (median), "
        f"{firsts[int(0.95 * len(firsts))]:.1f} s (95%)",
    )  # fmt: skip


def votes(worker: Worker, pairs: int, count: int, tokens: int) -> Row:
    """Seconds for some questions asked at once.  Raises RunError as `clients` does."""
    taken = _pairs(worker, pairs, {"method": METHOD, "count": count, "tokens": tokens})
    return row(
        f"{METHOD} over HTTP, SmolLM2-135M, {count} questions at once", "the driver offline", "s",
        [(a["seconds"], b["seconds"]) for a, b in taken], better="lower", reach=1 / 1.1, threads=cores(),
        note=f"samples of {tokens} tokens",
    )  # fmt: skip


def _pairs(worker: Worker, pairs: int, command: Facts) -> list[tuple[Facts, Facts]]:
    http, offline = {**command, "http": True}, {**command, "http": False}
    worker.turn(**offline | {"tokens": 4})
    worker.turn(**http | {"tokens": 4})
    taken = alternate(lambda: worker.turn(**http), lambda: worker.turn(**offline), pairs)
    for a, b in taken:
        if a["errors"]:
            raise RunError(f"clients met errors: {'; '.join(a['errors'])}")
        if a["sampled"] != b["sampled"]:
            raise RunError(f"{a['sampled']} tokens over HTTP and {b['sampled']} offline do not compare")
    return taken


def _rate(facts: Facts) -> float:
    return float(facts["sampled"] / facts["seconds"])


def serve(turns: Turns, *, spec: str) -> None:
    """One side of a pair a turn, over HTTP or not."""
    student = streaming(local(spec))
    assert isinstance(student, StreamingPolicy)
    student.engine.eos = frozenset()

    def step(number: int, command: Facts) -> Facts:
        # What one side has computed of a prompt must not spare the other the work.
        student.release()
        side = _over_http if command["http"] else _offline
        return asyncio.run(side(student, command["method"], command["count"], command["tokens"]))

    turns.each(step)


def _asked(i: int) -> str:
    return f"What is {17 + i} + {3 * i + 5}? Show your work."


async def _offline(student: StreamingPolicy, spec: str | None, count: int, tokens: int) -> Facts:
    sampling = Sampling(max_tokens=tokens)
    began = time.perf_counter()
    if spec is None:
        requests = [Request((Message("user", _asked(i)),), sampling, seed=i) for i in range(count)]
        groups = await asyncio.gather(*(student.sample(request) for request in requests))
        sampled = sum(c.usage.sampled_tokens for group in groups for c in group)
    else:
        questions = [Question(f"q{i}", (Message("user", _asked(i)),), "number") for i in range(count)]
        problems = [Problem(q, None, "", q.id, "test", "bench") for q in questions]
        traces = await run(method(spec), problems, student, sampling=sampling)
        sampled = sum(trace.usage.sampled_tokens for trace in traces)
    return {"seconds": time.perf_counter() - began, "sampled": sampled}


async def _over_http(student: StreamingPolicy, spec: str | None, count: int, tokens: int) -> Facts:
    from trivium.serve.app import Server
    from trivium.serve.listen import prepare
    from trivium.serve.models import Models

    address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    server = Server(Models({"bench": student}, (spec,) if spec else ()), most_requests=count)
    listener = prepare(server, "127.0.0.1", 0, 5.0, address.set_result)
    serving = asyncio.create_task(listener.serve())
    extra: Facts = {"stream": True, "stream_options": {"include_usage": True}} if spec is None else {}
    bodies = [
        {"model": f"bench+{spec}" if spec else "bench", "messages": [{"role": "user", "content": _asked(i)}],
         "max_tokens": tokens, "seed": i, **extra} for i in range(count)
    ]  # fmt: skip
    found = await _clients({"address": await address, "bodies": bodies})
    listener.should_exit = True
    await serving
    sampled = sum(usage["completion_tokens"] for usage in found["usage"] if usage)
    return {"seconds": found["seconds"], "sampled": sampled, "errors": found["errors"], "first": found["first"]}


async def _clients(task: Facts) -> dict[str, Any]:
    """What a process of clients reports."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.clients", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[1], limit=1 << 24,
    )  # fmt: skip
    out, _ = await process.communicate(json.dumps(task).encode() + b"\n")
    if process.returncode:
        raise RunError("the clients' process failed")
    found: dict[str, Any] = json.loads(out)
    return found
