"""The routes: chat completions, completions, models, health and metrics."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from trivium import __version__
from trivium.serve import wire
from trivium.serve.answer import Heading, answered, failed, reply
from trivium.serve.asked import Asked, Defaults, counts, of_chat, of_text
from trivium.serve.door import Door
from trivium.serve.errors import ApiError, field_name, unsupported
from trivium.serve.keys import Key, KeyFile
from trivium.serve.limits import Account, Spending
from trivium.serve.metrics import Metrics
from trivium.serve.models import Models
from trivium.serve.stream import event, events
from trivium.serve.turns import Stopped, Turn, Turns, attending
from trivium.serve.watched import Tally, Watched

LOG = logging.getLogger("trivium.serve")
GONE = 499
"""The status of a request whose client left; nobody receives it, and it is counted."""
LAST_SECONDS = 1.0
"""How long the last bytes of a stream may take."""


@dataclass(slots=True)
class Server:
    """What the routes share.  `keys` is `None` where everybody may ask."""

    models: Models
    defaults: Defaults = field(default_factory=Defaults)
    keys: KeyFile | None = None
    spending_path: Path | None = None
    most_bytes: int = 1 << 20
    most_requests: int = 512
    seconds: float = 600.0
    body_seconds: float = 30.0
    turns: Turns = field(init=False)
    spending: Spending = field(init=False)
    metrics: Metrics = field(init=False)
    started: int = field(init=False)
    _accounts: dict[str, Account] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.turns = Turns(self.most_requests, self.seconds)
        self.spending = Spending(self.spending_path)
        self.metrics = Metrics(self.models.policies, lambda: len(self.turns))
        self.started = int(time.time())

    async def answer(self, asked: Asked, request: Request) -> Response:
        """The whole answer, or the beginning of a stream of it."""
        key: Key | None = request.scope["state"]["key"]
        work = Work(self, replace(asked, id=request.scope["state"]["id"]), key)
        work.admit()
        return await (work.begin_stream(request) if asked.stream else work.whole(request))

    def account(self, key: Key) -> Account:
        return self._accounts.setdefault(key.hash, Account(self.spending))


@dataclass(slots=True)
class Work:
    """One request from its admission to the settling of what it took."""

    server: Server
    asked: Asked
    key: Key | None
    tally: Tally = field(init=False, default_factory=Tally)
    watched: Watched = field(init=False)
    voices: dict[str, Watched] = field(init=False)
    _aside: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.watched = Watched(self.asked.served.policy, self.tally, self.asked.as_json)
        self.voices = {name: Watched(policy, self.tally) for name, policy in self.server.models.voices.items()}

    def admit(self) -> None:
        """Raises ApiError 429 for a key that has asked or spent too much."""
        if self.key is None:
            return
        account = self.server.account(self.key)
        account.ask(self.key)
        left = account.left(self.key)
        if left is None:
            return
        if self.asked.method is not None:
            self._need_counts()
            most = self.asked.most_tokens()
            if most is None or most > left >= self.asked.n:
                self.asked = self.asked.within(left)
        most = self.asked.most_tokens()
        assert most is not None
        account.set_aside(self.key, most)
        self._aside = most

    def _need_counts(self) -> None:
        """Refuse what cannot be kept within a number of tokens."""
        name = self.asked.served.policy_name
        if not counts(self.asked.served.policy):
            raise unsupported("model", f"this key has a limit of tokens a day, and a method over {name} cannot be held "
                              f"to it, as {name} cannot count a prompt before it is sent; ask for {name} by itself, or "
                              "use a key without --tokens-per-day")  # fmt: skip

    async def whole(self, request: Request) -> Response:
        try:
            with self.server.turns.turn() as turn:
                async with attending(request.receive, turn), turn.clock():
                    choices, used = await answered(self.asked, self.watched, self.voices)
            return _json(reply(self.asked, Heading.of(self.asked), choices, used))
        except Stopped as stop:
            _note_gone(request, stop)
            raise stop.error from stop
        finally:
            self.settle()

    async def begin_stream(self, request: Request) -> Response:
        """A response that streams, once there is something to send: until then a refusal has a status of its own."""
        ends = AsyncExitStack()
        ends.callback(self.settle)
        try:
            turn = ends.enter_context(self.server.turns.turn())
            source = events(self.asked, self.watched, self.voices)
            await ends.enter_async_context(aclosing(source))
            async with attending(request.receive, turn), turn.clock():
                first = await anext(source)
        except BaseException as error:
            await ends.aclose()
            if isinstance(error, Stopped):
                _note_gone(request, error)
                raise error.error from error
            raise
        return EventStream(self.asked, request, turn, first, source, ends)

    def settle(self) -> None:
        """Book what was spent, however the request ended."""
        spent = self.tally.total
        if self.key is not None:
            self.server.account(self.key).settle(self.key, self._aside, spent.total_tokens)
        self.server.metrics.spent(self.asked.served.policy_name, spent)


class EventStream(Response):
    """Sends events until they end, the client leaves, the time is up or the server stops; then closes `ends`."""

    media_type = "text/event-stream"

    def __init__(
        self, asked: Asked, request: Request, turn: Turn, first: bytes, source: AsyncGenerator[bytes, None],
        ends: AsyncExitStack,
    ) -> None:  # fmt: skip
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._asked, self._request, self._turn, self._ends = asked, request, turn, ends
        self._first, self._source = first, source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._ends:
            await self._send(send)

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        last = b""
        try:
            async with attending(self._request.receive, self._turn), self._turn.clock():
                await send({"type": "http.response.body", "body": self._first, "more_body": True})
                async for data in self._source:
                    await send({"type": "http.response.body", "body": data, "more_body": True})
        except Stopped as stop:
            if _note_gone(self._request, stop):
                return
            last = event(stop.error.body)
        except ApiError as error:
            last = event(error.body)
        except Exception:
            LOG.exception("request %s: %s failed in the middle", self._asked.id, self._asked.served.name)
            last = event(failed(self._asked).body)
        # A client that does not read cannot keep the server from stopping.
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_SECONDS):
                await send({"type": "http.response.body", "body": last, "more_body": False})


def _note_gone(request: Request, stop: Stopped) -> bool:
    """Whether the client has left; if so, that is what is counted."""
    if stop.reason == "gone":
        request.scope["state"]["status"] = GONE
    return stop.reason == "gone"


def build(server: Server) -> FastAPI:
    """The application; its description is at `/openapi.json`."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        saving = asyncio.create_task(server.spending.keep_saving())
        try:
            yield
        finally:
            saving.cancel()
            server.spending.save()
            for policy in (*server.models.policies.values(), *server.models.voices.values()):
                await policy.close()

    app = Application(title="Trivium", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan,
                  description="Policies and methods behind OpenAI's protocol.")  # fmt: skip
    refusals: dict[int | str, dict[str, Any]] = {
        status: {"model": wire.ErrorReply, "description": said}
        for status, said in {
            400: "a field cannot be as it is", 401: "no valid key", 403: "a name or page from elsewhere",
            408: "it did not arrive in time", 413: "too large", 429: "a limit of the key", 503: "too busy, or stopping",
        }.items()
    }  # fmt: skip
    failures = refusals | {
        404: {"model": wire.ErrorReply, "description": "no such model"},
        500: {"model": wire.ErrorReply, "description": "a policy or method failed"},
        504: {"model": wire.ErrorReply, "description": "the time was up"},
    }
    an_event = {"type": "object", "properties": {"data": {"type": "string"}}, "required": ["data"]}
    events_too = {"content": {"text/event-stream": {"schema": an_event}}}

    @app.post("/v1/chat/completions", responses={**failures, 200: {"model": wire.ChatReply, **events_too}})
    async def chat_completions(body: wire.ChatRequest, request: Request) -> Response:
        """Go on with a conversation, by a policy or by a method over it."""
        return await server.answer(of_chat(body, server.models, server.defaults), request)

    @app.post("/v1/completions", responses={**failures, 200: {"model": wire.TextReply, **events_too}})
    async def completions(body: wire.TextRequest, request: Request) -> Response:
        """Go on from raw text."""
        return await server.answer(of_text(body, server.models), request)

    @app.get("/v1/models", responses={**refusals, 200: {"model": wire.ModelsReply}})
    async def models() -> Response:
        """Every policy, by itself and with each method that is offered."""
        rows = [_model_fields(served.name, served.policy_name, served.spec) for served in server.models.listed()]
        return _json({"object": "list", "data": rows})

    @app.get("/v1/models/{model:path}", responses={**failures, 200: {"model": wire.ModelReply}})
    async def model(model: str) -> Response:
        """What one name stands for."""
        served = server.models.find(model)
        return _json(_model_fields(served.name, served.policy_name, served.spec))

    def _model_fields(name: str, policy: str, method: str | None) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": server.started, "owned_by": "trivium", "policy": policy,
                "method": method}  # fmt: skip

    @app.get("/healthz", responses={**refusals, 200: {"model": wire.HealthReply}})
    async def healthz() -> Response:
        """Whether requests are taken."""
        stopping = server.turns.stopping
        return _json({"status": "stopping" if stopping else "ok"}, 503 if stopping else 200)

    @app.get("/metrics", responses={**refusals, 200: {"content": {"text/plain": {"schema": {"type": "string"}}}}})
    async def metrics() -> Response:
        """Counters in Prometheus' text format."""
        return Response(server.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    routes = frozenset(route.path for route in app.routes if isinstance(route, APIRoute))

    def count(path: str, status: int, seconds: float) -> None:
        # What a client makes up as a path must not become a series of its own.
        server.metrics.answered(path if path in routes else "other", status, seconds)

    app.add_middleware(
        Door, keys=server.keys, most_bytes=server.most_bytes, body_seconds=server.body_seconds, count=count
    )

    @app.exception_handler(ApiError)
    async def refused(request: Request, error: ApiError) -> Response:
        return _json(error.body, error.status, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        found, param = _blamed(error)
        said = "unknown field" if found["type"] == "extra_forbidden" else str(found["msg"])
        name = param or "body"
        refusal = ApiError(400, f"{name}: {said}"[:500], param=param, code="invalid_value")
        return _json(refusal.body, 400)

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> Response:
        refusal = ApiError(error.status_code, str(error.detail), code="invalid_request")
        return _json(refusal.body, error.status_code, error.headers or {})

    @app.exception_handler(Exception)
    async def broken(request: Request, error: Exception) -> Response:
        name = request.scope["state"]["id"]
        LOG.error("request %s: %s: %s", name, type(error).__name__, error)
        refusal = ApiError(500, f"the server failed; its log says why, for request {name}", code="failed",
                           kind="server_error")  # fmt: skip
        return _json(refusal.body, 500)

    return app


def _blamed(error: RequestValidationError) -> tuple[Mapping[str, Any], str | None]:
    """The first thing that is wrong, and the field it is in: of kinds of value that could be meant, the nearest."""
    errors = error.errors()
    first = _param(errors[0])
    near = [e for e in errors if (_param(e) or "").startswith(first or "")]
    found = max(near, key=lambda e: len(e["loc"]))
    return found, _param(found)


def _param(error: Mapping[str, Any]) -> str | None:
    place = error["loc"][1:]
    if error["type"] == "extra_forbidden":
        return ".".join(filter(None, (field_name(place[:-1], wire.FIELDS), str(place[-1]))))
    return field_name(place, wire.FIELDS) or None


class Application(FastAPI):
    """One whose description has not the framework's own shape of a refusal: nothing here sends it."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            made = super().openapi()
            for path in made["paths"].values():
                for operation in path.values():
                    operation["responses"].pop("422", None)
            for name in ("HTTPValidationError", "ValidationError"):
                made["components"]["schemas"].pop(name, None)
        assert self.openapi_schema is not None
        return self.openapi_schema


def _json(data: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] = {}) -> Response:
    return Response(orjson.dumps(data), status, dict(headers), "application/json")
