"""Where a server listens, and by what names it may be called; shared by `trivium serve` and `trivium view`."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from trivium.errors import UserError


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def foreign_name(header: str) -> str | None:
    """The name in a request's Host header where it is none of this machine's own, else `None`.

    A page from elsewhere whose name was made to point here comes with such a name.
    """
    host = header.rsplit(":", 1)[0] if "]" not in header else header[1 : header.index("]")]
    return host if host and not is_loopback(host) else None


def is_foreign(origin: str) -> bool:
    """Whether a request's Origin header names another place than this machine.

    A browser sends it with whatever a page posts, `null` where it does not say which page.
    """
    try:
        return not is_loopback(urlsplit(origin).hostname or "")
    except ValueError:
        return True


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens at an address: from now on nobody else can, and who connects waits.

    Raises UserError where there can be none.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Of a socket that does not say it is TCP, asyncio does not switch off Nagle's algorithm: 40 ms an answer.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        made.listen()  # of two sockets that only bind, with that option both may
    except OSError as error:
        made.close()
        raise UserError(
            f"cannot listen at {host} port {port}: {error.strerror or error}; choose another with --host and --port"
            " (port 0 takes a free one)"
        ) from error
    return made


def url_of(listening: socket.socket) -> str:
    """`http://127.0.0.1:8000` of a bound socket."""
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
