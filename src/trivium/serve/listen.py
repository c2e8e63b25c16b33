"""The server process: listens, and stops without breaking what is under way."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn

from trivium.errors import UserError
from trivium.serve.app import Server, build
from trivium.serve.door import is_loopback

AFTERWARDS = 5
"""Seconds that requests which were told to end may take for their last bytes."""


class GracefulServer(uvicorn.Server):
    """Before connections are closed, requests under way get `grace` seconds to finish, and then an error."""

    def __init__(self, config: uvicorn.Config, server: Server, grace: float, ready: Callable[[str], None]) -> None:
        super().__init__(config)
        self._server, self._grace, self._ready = server, grace, ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            self._ready(f"http://{f'[{host}]' if ':' in host else host}:{port}/v1")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listening in self.servers:
            listening.close()
        await self._server.turns.finish(self._grace, lambda: self.force_exit)  # which a second Ctrl-C sets
        await super().shutdown(sockets)


def bound(host: str, port: int) -> socket.socket:
    """A socket at an address.  Raises UserError where there can be none."""
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
    except OSError as error:
        made.close()
        raise UserError(
            f"cannot listen at {host} port {port}: {error.strerror or error}; choose another with --host and --port"
            " (port 0 takes a free one)"
        ) from error
    return made


def prepare(server: Server, host: str, port: int, grace: float, ready: Callable[[str], None]) -> GracefulServer:
    """A server that listens once it is run; `ready` is told its address.

    Raises UserError for an address that others can reach, without keys.
    """
    if server.keys is None and not is_loopback(host):
        raise UserError(
            f"--host {host} lets other machines ask, and there is no API key; make one first: trivium key create NAME"
        )
    config = uvicorn.Config(
        build(server), host=host, port=port, log_level="warning", access_log=False, server_header=False,
        timeout_graceful_shutdown=AFTERWARDS, timeout_keep_alive=30,
    )  # fmt: skip
    return GracefulServer(config, server, grace, ready)
