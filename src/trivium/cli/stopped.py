"""Ctrl-C inside a command, which the parser would turn into an exit code without a word."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from socket import socket

    from uvicorn import Server

P = ParamSpec("P")
R = TypeVar("R")


class Stopped(Exception):
    """A person stopped the command; `str()` says what is kept, and how to go on."""


def stoppable(command: Callable[P, R]) -> Callable[P, R]:
    """`command`, raising Stopped where it was interrupted and did not say so itself."""

    @functools.wraps(command)
    def call(*arguments: P.args, **options: P.kwargs) -> R:
        try:
            return command(*arguments, **options)
        except KeyboardInterrupt:
            raise Stopped("stopped") from None

    return call


def run_until_stopped(server: Server, listening: socket) -> None:
    """Ctrl-C is how a server is meant to end: no error, and not worth a word.

    uvicorn raises it again once everything is closed.
    """
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listening])
