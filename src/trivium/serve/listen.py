"""The server process: listens, and stops without breaking what is under way."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

from trivium.errors import UserError
from trivium.serve.address import is_loopback, url_of
from trivium.serve.app import Server, build
from trivium.serve.keys import KeyFile
from trivium.serve.turns import Turns

AFTERWARDS = 5
"""Seconds that requests which were told to end may take for their last bytes."""


class GracefulServer(uvicorn.Server):
    """Before connections are closed, requests under way get `grace` seconds to finish, and then an error."""

    def __init__(self, config: uvicorn.Config, turns: Turns, grace: float, ready: Callable[[str], None]) -> None:
        super().__init__(config)
        self._turns, self._grace, self._ready = turns, grace, ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready(f"{url_of(self.servers[0].sockets[0])}/v1")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listening in self.servers:
            listening.close()
        await self._turns.finish(self._grace, lambda: self.force_exit)  # which a second Ctrl-C sets
        await super().shutdown(sockets)


def check_reach(host: str, keys: KeyFile | None) -> None:
    """Raises UserError for an address that others can reach, without keys."""
    if keys is None and not is_loopback(host):
        raise UserError(
            f"--host {host} lets other machines ask, and there is no API key; make one first: trivium key create NAME"
        )


def prepare(server: Server, host: str, port: int, grace: float, ready: Callable[[str], None]) -> GracefulServer:
    """A server that listens once it is run; `ready` is told its address.

    Raises UserError for an address that others can reach, without keys.
    """
    check_reach(host, server.keys)
    return listener(build(server), server.turns, host, port, grace, ready)


def listener(
    app: ASGIApp, turns: Turns, host: str, port: int, grace: float, ready: Callable[[str], None]
) -> GracefulServer:
    """Any application behind such a server."""
    config = uvicorn.Config(
        app, host=host, port=port, log_level="warning", access_log=False, server_header=False,
        timeout_graceful_shutdown=AFTERWARDS, timeout_keep_alive=30,
    )  # fmt: skip
    return GracefulServer(config, turns, grace, ready)
