"""Ctrl-C inside a command, which the parser would turn into an exit code without a word."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

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
