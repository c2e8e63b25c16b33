"""The viewer's process: listens until Ctrl-C, and then ends at once."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import uvicorn
from starlette.concurrency import run_in_threadpool

from trivium.errors import UserError
from trivium.serve.address import is_loopback, url_of
from trivium.view.app import build
from trivium.view.library import Library

TOKEN_LENGTH = 8
"""Characters that a token must have at least."""


class Viewer(uvicorn.Server):
    """Ends what streams when it is told to stop, instead of waiting for browsers to leave."""

    def __init__(
        self, config: uvicorn.Config, library: Library, stopping: asyncio.Event, ready: Callable[[str], None]
    ) -> None:
        super().__init__(config)
        self._library, self._stopping, self._ready = library, stopping, ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            await run_in_threadpool(self._library.overview)  # so that whoever opens the address at once does not wait
            self._ready(url_of(self.servers[0].sockets[0]))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping.set()
        self._library.close()
        await super().shutdown(sockets)


def prepare(library: Library, host: str, token: str | None, ready: Callable[[str], None]) -> Viewer:
    """A viewer that listens once it is run; `ready` is told its address.

    Raises UserError for an address that others can reach, without a token, and for a token that is easily guessed.
    """
    if token is None and not is_loopback(host):
        raise UserError(
            f"--host {host} lets other machines look at everything that runs hold; choose a token for them: --token T"
        )
    if token is not None and len(token) < TOKEN_LENGTH:
        raise UserError(f"--token has {len(token)} characters; expected at least {TOKEN_LENGTH}, hard to guess")
    stopping = asyncio.Event()
    config = uvicorn.Config(
        build(library, token, stopping), host=host, log_level="warning", access_log=False, server_header=False,
        timeout_graceful_shutdown=1, timeout_keep_alive=30, ws="none", lifespan="off",
    )  # fmt: skip
    return Viewer(config, library, stopping, ready)
