"""What `trivium gateway` costs: the same requests to the same server, through it and straight, in turns.

Server, gateway and clients are a process each and share the machine.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.clients import Facts, all_at_once, ask
from benchmarks.pairing import Row, alternate, row
from trivium.errors import RunError
from trivium.store.machine import cores

REQUESTS = 200
STREAMS, TOKENS = 8, 64


def rows(pairs: int = 5) -> list[Row]:
    """Requests one after another to a server that samples nothing, and streams at once of SmolLM2-135M."""
    return [one_by_one(pairs), streams(pairs)]


def one_by_one(pairs: int) -> Row:
    """Milliseconds a request, each on a connection of its own."""

    def measure(address: str) -> float:
        host, port = address.removeprefix("http://").removesuffix("/v1").split(":")

        async def go() -> list[float]:
            taken = []
            for i in range(REQUESTS):
                began = time.perf_counter()
                _checked([await ask(host, int(port), "/v1/chat/completions", _body(i, False))])
                taken.append(time.perf_counter() - began)
            return taken

        return 1000 * statistics.median(asyncio.run(go()))

    with both("bench=scripted") as (through, straight):
        measured = alternate(lambda: measure(through), lambda: measure(straight), pairs)
    added = statistics.median(ours - theirs for ours, theirs in measured)
    return row(
        f"{REQUESTS} requests through the gateway, one after another", "straight to the server", "ms", measured,
        better="lower", threads=cores(), note=f"{added:.1f} ms more, where the server samples in no time",
    )  # fmt: skip


def streams(pairs: int) -> Row:
    """Tokens a second that reach streaming clients."""

    def measure(address: str) -> float:
        found = asyncio.run(all_at_once(address, [_body(i, True) for i in range(STREAMS)]))
        if found["errors"]:
            raise RunError(f"clients met errors: {'; '.join(found['errors'])}")
        return float(sum(usage["completion_tokens"] for usage in found["usage"]) / found["seconds"])

    with both("bench=smollm2") as (through, straight):
        for address in (through, straight):
            measure(address)
        measured = alternate(lambda: measure(through), lambda: measure(straight), pairs)
    return row(
        f"{STREAMS} streams through the gateway, SmolLM2-135M, {TOKENS} tokens each", "straight to the server",
        "tokens/s", measured, better="higher", threads=cores(), note="recorded with ids and log-probs",
    )  # fmt: skip


def _body(i: int, stream: bool) -> Facts:
    extra: Facts = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    asked = [{"role": "user", "content": f"What is {17 + i} + {3 * i + 5}? Show your work."}]
    return {"model": "bench", "messages": asked, "max_tokens": TOKENS, "seed": i, **extra}


def _checked(replies: list[Facts]) -> None:
    if faults := {reply["error"] for reply in replies} - {""}:
        raise RunError(f"clients met errors: {'; '.join(sorted(faults))}")


@contextmanager
def both(policy: str) -> Iterator[tuple[str, str]]:
    """The addresses of a gateway and of the server behind it."""
    with (
        tempfile.TemporaryDirectory() as place,
        _command(lambda line: line[2], "serve", "--policy", policy) as straight,
        _command(lambda line: line[3], "gateway", "--upstream", straight, "--out", f"{place}/record") as through,
    ):
        yield through, straight


@contextmanager
def _command(address: Callable[[list[str]], str], *words: str) -> Iterator[str]:
    """A command that listens, until the end of the block; `address` finds where in its first line."""
    full = [sys.executable, "-m", "trivium", *words, "--port", "0"]
    with subprocess.Popen(full, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]) as process:
        try:
            assert process.stdout is not None
            yield address(process.stdout.readline().split())
        finally:
            process.terminate()
