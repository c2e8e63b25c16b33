"""Who may look: the host a request names and the token are checked before anything else, and every answer is told to
the browser as what it is, with nothing from elsewhere allowed.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trivium.serve.address import foreign_name
from trivium.store.files import json_line

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
ALWAYS = {
    "content-security-policy": POLICY, "x-content-type-options": "nosniff", "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin", "cross-origin-opener-policy": "same-origin",
    "x-frame-options": "DENY",
}  # fmt: skip


@dataclass(slots=True)
class Door:
    """Lets GET and HEAD through to the app, from who has the token.

    Without `token` everybody on this machine may look, but only under a loopback name: a page from elsewhere whose name
    was made to point here has another.  The token comes once, as `?token=`, and then as a cookie made of it.
    """

    app: ASGIApp
    token: str | None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *_raw(ALWAYS.items())]}
            await send(message)

        headers = Headers(scope=scope)
        if scope["method"] not in ("GET", "HEAD"):
            said = "nothing can be changed here: only GET and HEAD are answered"
            await _refuse(405, said, guarded, ("allow", "GET, HEAD"))
        elif self.token is None:
            host = foreign_name(headers.get("host", ""))
            said = f"this viewer answers to names of this machine alone, not to {host!r}; --token opens it to others"
            await (self.app(scope, receive, guarded) if host is None else _refuse(403, said, guarded))
        else:
            await self._with_token(self.token, scope, receive, guarded, headers)

    async def _with_token(self, token: str, scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
        name, value = _cookie(token)
        given = parse_qs(scope["query_string"].decode("ascii", "replace")).get("token")
        if given and _same(given[-1], token):
            cookie = f"{name}={value}; Path=/; HttpOnly; SameSite=Strict"
            # Without the token in its address the page can be shown around.
            await _refuse(303, "", send, ("location", "/"), ("set-cookie", cookie))
            return
        scheme, _, secret = headers.get("authorization", "").partition(" ")
        if _same(_cookies(headers).get(name, ""), value) or (scheme.lower() == "bearer" and _same(secret, token)):
            await self.app(scope, receive, send)
            return
        await _refuse(401, "a token is needed: open the address that trivium view printed", send,
                      ("www-authenticate", "Bearer"))  # fmt: skip


def _cookie(token: str) -> tuple[str, str]:
    """Name and value of the cookie of a token; servers on other ports of the same host have names of their own."""
    digest = hmac.new(token.encode(), b"trivium view", hashlib.sha256).hexdigest()
    return f"trivium-view-{digest[:8]}", digest[8:]


def _cookies(headers: Headers) -> dict[str, str]:
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(headers.get("cookie", "")).items()}
    except CookieError:
        return {}


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), wanted.encode())


def _raw(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]


async def _refuse(status: int, error: str, send: Send, *headers: tuple[str, str]) -> None:
    body = json_line({"error": error}) if error else b""
    kept = [("content-type", "application/json"), ("content-length", str(len(body))), ("cache-control", "no-store")]
    await send({"type": "http.response.start", "status": status, "headers": _raw([*kept, *headers])})
    await send({"type": "http.response.body", "body": body})
