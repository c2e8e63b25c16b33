"""What the tests of the gateway share: upstreams of every kind, and a gateway before them in one process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import openai
from served import InProcess

from trivium.gateway.app import Gateway, build
from trivium.gateway.book import Book
from trivium.gateway.traces import write_traces
from trivium.store import load_traces
from trivium.types import Trace

T = TypeVar("T")
Answer = tuple[int, dict[str, str], Sequence[bytes]]
JSON, SSE = {"content-type": "application/json"}, {"content-type": "text/event-stream"}


def whole(**fields: Any) -> Answer:
    """A chat completion of one choice, or whatever else `fields` make of it."""
    choice = {"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}
    body = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    return 200, JSON, [json.dumps(body | fields).encode()]


def events(data: Iterable[Any]) -> Answer:
    """A stream of these, each in a chunk of its own."""
    return 200, SSE, [*(f"data: {json.dumps(event)}\n\n".encode() for event in data), b"data: [DONE]\n\n"]


def refused(message: str, status: int = 400, param: str | None = None) -> Answer:
    return status, JSON, [json.dumps({"error": {"message": message, "param": param}}).encode()]


@dataclass
class Fake:
    """An upstream that answers as `answer` says, and remembers what it was asked.

    `gate` is waited for before every chunk but the first; `left` is set when the gateway hangs up.
    """

    answer: Callable[[dict[str, Any]], Answer]
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    gate: asyncio.Event | None = None
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        self.lines.append(f"{scope['method']} {scope['raw_path'].decode()}")
        self.headers.append({k.decode(): v.decode() for k, v in scope["headers"]})
        try:
            self.asked.append(json.loads(body))
        except ValueError:
            self.asked.append({"raw": body.decode(errors="replace")})
        status, headers, chunks = self.answer(self.asked[-1])
        raw = [(k.encode(), v.encode()) for k, v in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        watching = asyncio.ensure_future(self._watch(receive))
        for i, chunk in enumerate(chunks):
            if self.gate is not None and i:
                waiting = asyncio.ensure_future(self.gate.wait())
                await asyncio.wait({waiting, watching}, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                if watching.done():
                    return
            await send({"type": "http.response.body", "body": chunk, "more_body": i + 1 < len(chunks)})
        watching.cancel()

    async def _watch(self, receive: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.left.set()


def gateway(folder: Path, app: Any, **options: Any) -> Gateway:
    """A gateway before an application in this process; its record is in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    return Gateway("http://localhost/v1", Book(folder), transport=InProcess(app), **options)


def through(made: Gateway, act: Callable[[httpx.AsyncClient], Coroutine[Any, Any, T]], **options: Any) -> T:
    """What `act` returns, given a plain client of the gateway."""

    async def go() -> T:
        transport = InProcess(build(made))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=60, **options) as http:
            result = await act(http)
        await asyncio.gather(*transport.tasks)
        assert not len(made.turns), "every turn has ended"
        return result

    try:
        return asyncio.run(go())
    finally:
        made.book.close()


def with_openai(made: Gateway, act: Callable[[openai.AsyncOpenAI], Coroutine[Any, Any, T]], **options: Any) -> T:
    """What `act` returns, given the official client."""

    async def go(http: httpx.AsyncClient) -> T:
        client = openai.AsyncOpenAI(base_url="http://localhost/v1", http_client=http, max_retries=0,
                                    **({"api_key": "none"} | options))  # fmt: skip
        return await act(client)

    return through(made, go)


def traces(folder: Path) -> list[Trace]:
    """The record's traces, as whoever reads traces reads them."""
    write_traces(folder)
    return [trace for _, trace in load_traces(folder / "traces-gateway.jsonl")]
