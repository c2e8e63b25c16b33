"""The proxy: passes requests and answers on as they are, and writes what was said into the book."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import asdict, dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx
import orjson
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from trivium.gateway.asked import REFUSING, ROUTES, Additions, Asked, read, strip, with_added
from trivium.gateway.book import Book, Talk
from trivium.gateway.reply import Events, Reply
from trivium.serve.door import Door
from trivium.serve.errors import ApiError, bad
from trivium.serve.keys import Key, KeyFile
from trivium.serve.limits import Account, Spending
from trivium.serve.turns import Stopped, Turn, Turns, attending

LOG = logging.getLogger("trivium.gateway")
NAMING = "x-trivium-conversation"
"""The header by which a client names its conversation, and is told the name of one."""
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]
READING = frozenset({"GET", "HEAD", "OPTIONS"})
"""What takes no tokens, whatever the path."""
CONNECT_SECONDS = 20.0
GONE = 499
"""The status of a request whose client left before it was read; nobody receives it."""
_NAME = re.compile(r"[\w.:@/-]{1,128}")
_HOP = frozenset(
    {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "content-length", "host", "date",
     "server", "accept-encoding", "expect", "proxy-authorization", "proxy-authenticate", "proxy-connection", NAMING}
)  # fmt: skip
"""Headers of one connection, or that either side writes itself."""


@dataclass(slots=True)
class Gateway:
    """What the routes share.

    `key` is sent to the upstream in place of what the client sends.  `keys` is `None` where everybody may ask; who has
    to show a key here does not show it there.
    """

    upstream: str
    book: Book
    key: str | None = None
    keys: KeyFile | None = None
    spending: Spending = field(default_factory=Spending)
    most_bytes: int = 32 << 20
    most_requests: int = 512
    seconds: float = 600.0
    body_seconds: float = 60.0
    transport: httpx.AsyncBaseTransport | None = None
    additions: Additions = field(init=False, default_factory=Additions)
    turns: Turns = field(init=False)
    client: httpx.AsyncClient = field(init=False)
    lost: int = field(init=False, default=0)
    _accounts: dict[str, Account] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.turns = Turns(self.most_requests, self.seconds)
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=2.0)
        # One client's cookies are not for the others.
        no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
        self.client = httpx.AsyncClient(
            limits=limits, timeout=httpx.Timeout(None, connect=CONNECT_SECONDS), transport=self.transport,
            cookies=no_cookies,
        )  # fmt: skip

    async def answer(self, request: Request) -> Response:
        """Put a request to the upstream."""
        key: Key | None = request.scope["state"]["key"]
        account = self._admit(key)
        body = await request.body()
        path = _path(request)
        # A path may be written in several ways, and the upstream reads them all.
        route = ROUTES.get(request.scope["path"].removeprefix("/v1")) if request.method == "POST" else None
        asked = None if route is None else read(route, body)
        if key is not None and key.tokens_per_day is not None and asked is None and request.method not in READING:
            raise _uncounted(request, route)
        named = _name(request)
        hears = None
        if asked is not None:
            hears = Hears(self, asked, self.book.begin(asked, key.name if key else "", named), key, account)
        ends = AsyncExitStack()
        try:
            turn = ends.enter_context(self.turns.turn())
            async with attending(request.receive, turn), turn.clock():
                reply, added = await self._put(request, path, body, asked, ends)
                if hears is None or not reply.is_success:
                    return Relayed(reply, {}, aclosing(_pieces(reply)), request, turn, ends)
                hears.added = added
                ends.callback(hears.over)  # however it ends: also a stream that nobody has begun to read
                told = {NAMING: hears.talk.conversation}
                if _is(reply, "text/event-stream"):
                    return Relayed(reply, told, aclosing(hears.events(reply)), request, turn, ends)
                content = hears.whole(await self._all_of(reply))
                await ends.aclose()
                return Response(content, reply.status_code, _passed_on(reply, told))
        except Stopped as stop:
            if hears is not None:
                hears.over(hears.asked.most_sampled)  # none of it has been heard, and it must not be free
            await ends.aclose()
            raise stop.error from stop
        except BaseException:
            await ends.aclose()
            raise

    async def _put(
        self, request: Request, path: str, body: bytes, asked: Asked | None, ends: AsyncExitStack
    ) -> tuple[httpx.Response, frozenset[str]]:
        """The upstream's answer, and what was asked for beside what the client did."""
        tried = added = frozenset[str]() if asked is None else self.additions.wanted(asked)
        sure = True
        while True:
            reply = await self._send(request, path, body if asked is None else with_added(asked, added))
            if asked is not None and added and reply.status_code in REFUSING:
                said = await self._all_of(reply)
                fewer = self.additions.without(asked, added, said)
                if fewer is not None:
                    # A failure that names no field may have been one of the moment.
                    sure = sure and (reply.status_code < 500 or bool(fewer))
                    added = fewer
                    continue
            ends.push_async_callback(reply.aclose)
            if asked is not None and reply.is_success and sure:
                self.additions.learn(asked, tried, added)
            return reply, added

    async def _send(self, request: Request, path: str, body: bytes) -> httpx.Response:
        query = request.scope.get("query_string", b"").decode("latin-1")
        url = f"{self.upstream}{path}{'?' + query if query else ''}"
        made = self.client.build_request(request.method, url, headers=self._headers(request.headers), content=body)
        try:
            return await self.client.send(made, stream=True)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            said = f"cannot be reached ({error or 'no answer'}); start it, or the gateway with another --upstream"
            raise self._fault(said, "upstream_unreachable") from error
        except httpx.TransportError as error:
            raise self._broken_off(error) from error

    async def _all_of(self, reply: httpx.Response) -> bytes:
        """The whole body of an answer.  Raises ApiError 502 where the upstream breaks off in the middle of it."""
        try:
            return await reply.aread()
        except httpx.TransportError as error:
            raise self._broken_off(error) from error

    def _broken_off(self, error: httpx.TransportError) -> ApiError:
        return self._fault(f"broke the connection off ({type(error).__name__})", "upstream_failed")

    def _fault(self, said: str, code: str) -> ApiError:
        return ApiError(502, f"the gateway's upstream {self.upstream} {said}", code=code, kind="server_error")

    def _headers(self, headers: Headers) -> list[tuple[bytes, bytes]]:
        """The client's headers as the upstream gets them, byte by byte: not all that clients send is ASCII."""
        left_out = _HOP | {name.strip().lower() for name in headers.get("connection", "").split(",")}
        if self.key is not None or self.keys is not None:
            left_out |= {"authorization", "api-key", "x-api-key"}
        kept = [(name, value) for name, value in headers.raw if name.decode("latin-1").lower() not in left_out]
        if self.key is not None:
            kept.append((b"authorization", f"Bearer {self.key}".encode()))
        return [*kept, (b"accept-encoding", b"identity")]

    def _admit(self, key: Key | None) -> Account | None:
        """The account of who asks.  Raises ApiError 429 for a key that has asked or spent too much."""
        if key is None:
            return None
        account = self._accounts.setdefault(key.hash, Account(self.spending))
        account.ask(key)
        account.set_aside(key, 1)  # how much it will be only the upstream knows
        account.settle(key, 1, 0)
        return account

    async def score(self, request: Request) -> Response:
        """Say what an answer was worth."""
        try:
            fields = json.loads(await request.body())
        except ValueError as error:
            raise ApiError(400, f"the body is no JSON ({error})", code="invalid_value") from error
        if not isinstance(fields, dict):
            raise ApiError(400, 'expected an object such as {"conversation": "NAME", "score": 1}', code="invalid_value")
        if unknown := fields.keys() - {"conversation", "id", "choice", "score"}:
            raise bad(min(unknown), "unknown field; expected conversation or id, choice and score")
        score, choice = fields.get("score"), fields.get("choice", 0)
        if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
            raise bad("score", f"{score!r} is no number from 0 to 1")
        if type(choice) is not int or choice < 0:
            raise bad("choice", f"{choice!r} is not the index of a choice")
        names = {name: fields[name] for name in ("conversation", "id") if name in fields}
        if len(names) != 1 or not all(isinstance(name, str) and name for name in names.values()):
            raise bad("conversation", "expected the name of a conversation, or in its place the id of an answer as id")
        key: Key | None = request.scope["state"]["key"]
        found = self.book.score(
            key.name if key else "", float(score), conversation=names.get("conversation", ""),
            reply=names.get("id", ""), choice=choice,
        )  # fmt: skip
        if not found:
            [(field_name, name)] = names.items()
            raise ApiError(404, f"{field_name}: no answer of {name!r} with a choice {choice} has been recorded",
                           param=field_name, code="not_found")  # fmt: skip
        return Response(b'{"scored":true}', media_type="application/json")

    async def health(self, request: Request) -> Response:
        """Whether requests are taken, and what has been recorded."""
        status = "stopping" if self.turns.stopping else "ok"
        body = {"status": status, "recorded": asdict(self.book.counts), "lost": self.lost}
        return Response(orjson.dumps(body), 503 if self.turns.stopping else 200, media_type="application/json")


@dataclass(slots=True)
class Hears:
    """One answer on its way to a client, and into the book."""

    gateway: Gateway
    asked: Asked
    talk: Talk
    key: Key | None
    account: Account | None
    added: frozenset[str] = field(init=False, default=frozenset())
    reply: Reply = field(init=False, default_factory=Reply)
    _heard: int = field(init=False, default=0)
    _over: bool = field(init=False, default=False)

    def whole(self, content: bytes) -> bytes:
        """What the client gets of an answer that came at once."""
        self._heard = len(content)
        try:
            answer = orjson.loads(content)
        except orjson.JSONDecodeError:
            return content
        if not isinstance(answer, dict):
            return content
        self.reply.add(answer)
        changed, _ = strip(answer, self.added)
        self.over()
        return orjson.dumps(answer) if changed else content

    async def events(self, reply: httpx.Response) -> AsyncGenerator[bytes, None]:
        """What the client gets of a stream, as it comes."""
        events = Events(self.asked, self.added, self.reply, self.over)
        async for data in reply.aiter_bytes():
            self._heard += len(data)
            if out := events.feed(data):
                yield out
        if out := events.end():
            yield out

    def over(self, unheard: int = 0) -> None:
        """Book and record the exchange, once; `unheard` tokens may have been sampled beside what was heard.

        A full disk does not keep the agent from its answer.
        """
        if self._over:
            return
        self._over = True
        if self.reply.tells_all:
            self.gateway.additions.learn(self.asked, self.added, self.added, tells_all=True)
        if self.key is not None and self.account is not None:
            self.account.settle(self.key, 0, self._taken() + unheard)
        try:
            self.gateway.book.record(self.talk, self.asked, self.reply)
        except Exception as error:
            self.gateway.lost += 1
            LOG.error("an exchange of %s was not recorded: %s", self.talk.conversation, error)

    def _taken(self) -> int:
        """Tokens as the upstream counted them, else a bound: what was not counted has as many as it has bytes."""
        if counted := self.reply.total_tokens:
            return counted
        answered = self.reply.sampled_tokens if self.reply.choices else self._heard
        return self.reply.read_tokens(self.asked) + answered


class Relayed(Response):
    """An answer passed on as it comes, until it ends, the client leaves, the time is up or the gateway stops.

    An upstream that breaks off is passed on too: the client's connection is closed in the middle of the answer.
    """

    def __init__(
        self, reply: httpx.Response, told: Mapping[str, str], source: aclosing[AsyncGenerator[bytes, None]],
        request: Request, turn: Turn, ends: AsyncExitStack,
    ) -> None:  # fmt: skip
        super().__init__(status_code=reply.status_code)
        headers = _passed_on(reply, told)
        if not told and "content-encoding" not in reply.headers and "content-length" in reply.headers:
            headers.append("content-length", reply.headers["content-length"])  # its body is passed on as it is
        self.raw_headers = headers.raw
        self._events = _is(reply, "text/event-stream")
        self._source, self._request, self._turn, self._ends = source, request, turn, ends

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._ends:
            source = await self._ends.enter_async_context(self._source)
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            last = b""
            try:
                async with attending(self._request.receive, self._turn), self._turn.clock():
                    async for data in source:
                        await send({"type": "http.response.body", "body": data, "more_body": True})
            except Stopped as stop:
                if stop.reason == "gone" or not self._events:
                    return
                last = b"data: " + orjson.dumps(stop.error.body) + b"\n\n"
            except httpx.TransportError as error:
                LOG.warning("the upstream broke off: %s %s", type(error).__name__, error)
                return
            await send({"type": "http.response.body", "body": last, "more_body": False})


def build(gateway: Gateway, closed: Callable[[], None] = lambda: None) -> Starlette:
    """The application; `closed` is called when it has stopped."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        saving = asyncio.create_task(gateway.spending.keep_saving())
        try:
            yield
        finally:
            saving.cancel()
            await gateway.client.aclose()
            gateway.spending.save()
            gateway.book.close()
            closed()

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, ApiError)
        return Response(orjson.dumps(error.body), error.status, error.headers, "application/json")

    async def other(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        said = ApiError(error.status_code, f"{error.detail}: expected a path below /v1", code="invalid_request")
        return Response(orjson.dumps(said.body), said.status, media_type="application/json")

    async def gone(request: Request, error: Exception) -> Response:
        return Response(status_code=GONE)

    async def broken(request: Request, error: Exception) -> Response:
        name = request.scope["state"]["id"]
        LOG.error("request %s: %s: %s", name, type(error).__name__, error)
        said = ApiError(500, f"the gateway failed; its log says why, for request {name}", code="failed",
                        kind="server_error")  # fmt: skip
        return Response(orjson.dumps(said.body), 500, media_type="application/json")

    routes = [
        Route("/healthz", gateway.health),
        Route("/v1/trivium/score", gateway.score, methods=["POST"]),
        Route("/v1/{path:path}", gateway.answer, methods=METHODS),
    ]
    door = Middleware(
        Door, keys=gateway.keys, most_bytes=gateway.most_bytes, body_seconds=gateway.body_seconds,
        count=lambda path, status, seconds: None,
    )  # fmt: skip
    handlers = {ApiError: refused, HTTPException: other, ClientDisconnect: gone, Exception: broken}
    return Starlette(routes=routes, middleware=[door], exception_handlers=handlers, lifespan=lifespan)


def _path(request: Request) -> str:
    """What follows `/v1`, as the client wrote it.  Raises ApiError for a path that would lead elsewhere."""
    raw = request.scope.get("raw_path") or request.scope["path"].encode()
    path: str = raw.partition(b"?")[0].decode("latin-1").removeprefix("/v1")
    parts = request.scope["path"].split("/")
    if ".." in parts or "." in parts or not path.startswith("/"):
        raise ApiError(400, "the path leads out of /v1", code="invalid_request")
    return path


def _uncounted(request: Request, route: str | None) -> ApiError:
    """The refusal of what could take any number of tokens from a key that has so many a day."""
    if route is not None:
        wanted = "messages" if route == "chat" else "prompt"
        return bad(wanted, "this key has a limit of tokens a day, and what this body takes cannot be counted; send a "
                   f"JSON object in UTF-8, not compressed, with {wanted} in it")  # fmt: skip
    path = request.scope["path"]
    return ApiError(403, f"{request.method} {path}: this key has a limit of tokens a day, and what is asked there is "
                    "not counted; ask /v1/chat/completions or /v1/completions, or use a key without --tokens-per-day",
                    code="not_counted")  # fmt: skip


async def _pieces(reply: httpx.Response) -> AsyncGenerator[bytes, None]:
    """What an answer is made of, as it comes."""
    async for data in reply.aiter_bytes():
        yield data


def _name(request: Request) -> str | None:
    name = request.headers.get(NAMING)
    if name is not None and not _NAME.fullmatch(name):
        raise bad(NAMING, "expected 1 to 128 letters, digits or any of . : @ / _ -")
    return name


def _is(reply: httpx.Response, kind: str) -> bool:
    return str(reply.headers.get("content-type", "")).lower().startswith(kind)


def _passed_on(reply: httpx.Response, told: Mapping[str, str]) -> MutableHeaders:
    """The upstream's headers as the client gets them.  What was encoded has been decoded here."""
    named = {name.strip().lower() for name in reply.headers.get("connection", "").split(",")}
    hop = _HOP | named | {"content-encoding"}
    kept = [(n.lower(), v) for n, v in reply.headers.multi_items() if n.lower() not in hop]
    pairs = [(n.encode("latin-1"), v.encode("latin-1", errors="replace")) for n, v in (*kept, *told.items())]
    return MutableHeaders(raw=pairs)
