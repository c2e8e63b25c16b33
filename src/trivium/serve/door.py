"""Who may come in: the host and origin a request names, its key and its size are looked at before anything reads it."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import orjson
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trivium.serve.address import foreign_name, is_foreign
from trivium.serve.errors import ApiError
from trivium.serve.keys import Key, KeyFile

OPEN = frozenset({"/healthz", "/openapi.json"})
"""Paths that tell nothing and cost nothing, and so need no key."""


@dataclass(slots=True)
class Door:
    """Lets a request through to the app, with its key in `scope["state"]["key"]`, a name of its own in `["id"]`, which
    the reply has too; counts what becomes of each.

    Without `keys` everybody on this machine may come in, but only under a loopback name: a page from elsewhere whose
    name was made to point here has another.  Such a page can post to the loopback name too, though it is not let to
    read the answer; its browser says where it is from.

    `count` is told the path, the status and the seconds; a route that knows better what became of a request leaves it
    in `scope["state"]["status"]`.
    """

    app: ASGIApp
    keys: KeyFile | None
    most_bytes: int
    body_seconds: float
    count: Callable[[str, int, float], None]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status, told = message["status"], list(message["headers"])
                if not any(name == b"x-request-id" for name, _ in told):  # a gateway passes on what the upstream said
                    message = {**message, "headers": [*told, (b"x-request-id", state["id"].encode())]}
            await send(message)

        state = scope.setdefault("state", {})
        state["id"] = uuid.uuid4().hex
        try:
            await self._let_in(scope, receive, note)
        finally:
            self.count(scope["path"], state.get("status", status), time.perf_counter() - began)

    async def _let_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        try:
            scope["state"]["key"] = None if scope["path"] in OPEN else self._admit(headers)
            self._check_length(headers)
        except ApiError as error:
            await refuse(error, send)
            return
        count, whole, told = 0, False, False
        fault: ApiError | None = None
        deadline = asyncio.get_running_loop().time() + self.body_seconds

        async def read() -> Message:
            nonlocal count, whole, fault
            if whole:
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                fault = ApiError(408, f"the request did not arrive within {self.body_seconds:g} s", code="timeout",
                                 headers={"Connection": "close"})  # fmt: skip
                raise fault from None
            count += len(message.get("body", b""))
            if count > self.most_bytes:
                fault = self._too_large()
                raise fault
            whole = not message.get("more_body", False)
            return message

        async def write(message: Message) -> None:
            # The framework has its own answer to a body that cannot be read; ours says why.
            nonlocal told
            if fault is None:
                await send(message)
            elif not told:
                told = True
                await refuse(fault, send)

        await self.app(scope, read, write)

    def _admit(self, headers: Headers) -> Key | None:
        if self.keys is None:
            if (host := foreign_name(headers.get("host", ""))) is not None:
                raise ApiError(403, f"this server answers to names of this machine alone, not to {host!r}; start it "
                               "with a key to open it to others", code="host_not_allowed")  # fmt: skip
            for origin in headers.getlist("origin"):
                if is_foreign(origin):
                    raise ApiError(403, f"this server answers to pages of this machine alone, not of {origin!r}; start "
                                   "it with a key to open it to others", code="origin_not_allowed")  # fmt: skip
            return None
        scheme, _, secret = headers.get("authorization", "").partition(" ")
        key = self.keys.find(secret.strip()) if scheme.lower() == "bearer" else None
        if key is None:
            said = "this API key is not known here" if secret else "an API key is needed"
            raise ApiError(401, f"{said}; send it as: Authorization: Bearer KEY", code="invalid_api_key",
                           headers={"WWW-Authenticate": "Bearer"})  # fmt: skip
        return key

    def _check_length(self, headers: Headers) -> None:
        length = headers.get("content-length", "0")
        if not length.isdecimal():
            raise ApiError(400, "content-length is no number", code="invalid_header")
        if len(length) > 18 or int(length) > self.most_bytes:
            raise self._too_large()

    def _too_large(self) -> ApiError:
        return ApiError(413, f"the request is larger than {self.most_bytes} bytes, the limit of this server",
                        code="request_too_large", headers={"Connection": "close"})  # fmt: skip


async def refuse(error: ApiError, send: Send) -> None:
    """Answer with an error, whatever the request was."""
    body = orjson.dumps(error.body)
    headers = {"content-type": "application/json", "content-length": str(len(body))} | error.headers
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
