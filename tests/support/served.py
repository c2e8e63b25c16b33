"""What the tests of serve share: a policy that streams without a model, an in-process transport, clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from trivium.errors import UserError
from trivium.policies.pieces import Piece, Unfolding
from trivium.policies.scripted import END, Script, Scripted, decode, sums
from trivium.serve.app import Server, build
from trivium.serve.models import Models
from trivium.types import Completion, Policy, Request, Segment

if TYPE_CHECKING:
    import openai

T = TypeVar("T")
ASKED = [{"role": "user", "content": "What is 41 + 87 - 35?"}]
SOLVED = "41 + 87 = 128\n128 - 35 = 93\nAnswer: 93"


@dataclass(frozen=True, slots=True)
class Drip(Scripted):
    """A scripted policy that streams a token at a time, and tells how many streams are open, and for which calls JSON
    was asked.

    It waits for `gate` before every token, if there is one.
    """

    open: list[int] = field(default_factory=lambda: [0])
    as_json: list[bool] = field(default_factory=list)
    gate: asyncio.Event | None = None

    async def freed(self) -> int:
        """How many streams are still open once there has been time for them to close."""
        for _ in range(200):
            if self.open == [0]:
                break
            await asyncio.sleep(0.01)
        return self.open[0]

    def decode(self, ids: Sequence[int]) -> str:
        return decode(ids)

    def raw(self, text: str | Sequence[int]) -> Segment:
        if not isinstance(text, str) and not all(0 <= i <= END for i in text):
            raise UserError("there are no such token ids")
        said = text if isinstance(text, str) else decode(text)
        return Segment("prompt", tuple(said.encode()), text=said)

    async def count(self, request: Request, drawn: Callable[[], None], as_json: bool = False) -> list[Completion]:
        """One token of each sample a pass of the loop, once there is leave to begin."""
        self.as_json.append(as_json)
        completions = await self.sample(request)
        for n in range(max(len(c.segment.ids) for c in completions)):
            await (asyncio.sleep(0) if self.gate is None else self.gate.wait())
            for _ in range(sum(n < len(c.segment.ids) for c in completions)):
                drawn()
        return completions

    async def stream(self, request: Request, as_json: bool = False) -> AsyncGenerator[list[Piece], None]:
        self.as_json.append(as_json)
        completions = await Scripted.sample(self, request)
        texts = [Unfolding(decode, request.sampling.stop) for _ in completions]
        self.open[0] += 1
        try:
            for n in range(1, max(len(c.segment.ids) for c in completions) + 1):
                await (asyncio.sleep(0) if self.gate is None else self.gate.wait())
                pieces = []
                for i, c in enumerate(completions):
                    ids, told = c.segment.ids[:n], texts[i].told_tokens
                    if n < len(c.segment.ids):
                        said, last = texts[i].more(ids), None
                    elif n == len(c.segment.ids):
                        said, last = texts[i].rest(tuple(t for t in ids if t != END), c.text), c
                    else:
                        continue
                    new = slice(told, texts[i].told_tokens)
                    pieces.append(Piece(i, said, ids[new], c.segment.logprobs[new], n, last))
                yield pieces
        finally:
            self.open[0] -= 1


class InProcess(httpx.AsyncBaseTransport):
    """Runs the application in the client's own loop, byte by byte: closing a response is a client that leaves."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.tasks: set[asyncio.Task[None]] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        chunks: asyncio.Queue[bytes | None] = asyncio.Queue()
        started: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        body = [await request.aread()]
        left = asyncio.Event()
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": request.method,
            "path": request.url.path, "raw_path": request.url.raw_path, "query_string": request.url.query,
            "scheme": "http", "root_path": "", "server": ("localhost", 80), "client": ("127.0.0.1", 1),
            "headers": [(k.lower(), v) for k, v in request.headers.raw],
        }  # fmt: skip

        async def receive() -> dict[str, Any]:
            if body:
                return {"type": "http.request", "body": body.pop(), "more_body": False}
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                started.set_result(message)
            else:
                chunks.put_nowait(message.get("body", b""))
                if not message.get("more_body"):
                    chunks.put_nowait(None)

        async def serve() -> None:
            try:
                await self.app(scope, receive, send)
            except Exception as error:
                if not started.done():
                    started.set_exception(error)
            finally:
                chunks.put_nowait(None)

        class Body(httpx.AsyncByteStream):
            async def __aiter__(self) -> AsyncIterator[bytes]:
                while (chunk := await chunks.get()) is not None:
                    yield chunk

            async def aclose(self) -> None:
                left.set()

        task = asyncio.create_task(serve())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        try:
            start = await started
        except asyncio.CancelledError:
            left.set()
            raise
        return httpx.Response(start["status"], headers=start["headers"], stream=Body())


def serving(policy: Policy | Script | None = None, methods: Sequence[str] = ("vote:n=4",), **options: Any) -> Server:
    """A server of one policy called `demo`, or of a script's, or of one that adds up."""
    if not isinstance(policy, Policy):
        policy = Drip(policy or sums(1.0))
    return Server(Models({"demo": policy}, tuple(methods)), **options)


def with_http(
    server: Server, act: Callable[[httpx.AsyncClient], Coroutine[Any, Any, T]], *, app: Any = None, **options: Any
) -> T:
    """What `act` returns, given a plain client of the server; `app` is its application where there is one already."""

    async def go() -> T:
        transport = InProcess(app or build(server))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", **options) as client:
            result = await act(client)
        await asyncio.gather(*transport.tasks)
        assert not len(server.turns), "every turn has ended"
        return result

    return asyncio.run(go())


def with_client(server: Server, act: Callable[[openai.AsyncOpenAI], Coroutine[Any, Any, T]], key: str = "none") -> T:
    """What `act` returns, given the official client."""

    import openai

    async def go(http: httpx.AsyncClient) -> T:
        return await act(
            openai.AsyncOpenAI(api_key=key, base_url="http://localhost/v1", http_client=http, max_retries=0)
        )

    return with_http(server, go)


def refusal(error: openai.APIStatusError) -> tuple[int, str | None]:
    """Status and blamed field of an error."""
    return error.status_code, error.param
