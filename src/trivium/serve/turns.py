"""Requests under way: how many, how long, and how they end when the client leaves or the server stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Literal

from starlette.types import Receive

from trivium.serve.errors import ApiError

Reason = Literal["time", "stopping", "gone"]


class Stopped(Exception):
    """A request was ended before it had its answer."""

    def __init__(self, reason: Reason, seconds: float) -> None:
        super().__init__(reason)
        self.reason, self.seconds = reason, seconds

    @property
    def error(self) -> ApiError:
        """What the client is told, if it is still there."""
        if self.reason == "time":
            return ApiError(504, f"no answer within {self.seconds:g} s, the limit of this server", code="timeout",
                            kind="timeout")  # fmt: skip
        return stopping()


def stopping() -> ApiError:
    return ApiError(503, "the server is stopping; try again later", code="server_stopping", kind="server_error",
                    headers={"Retry-After": "5"})  # fmt: skip


@dataclass(eq=False, slots=True)
class Turn:
    """One request, from its admission to its last byte."""

    deadline: float
    seconds: float
    _reason: Reason | None = field(init=False, default=None)
    _clock: asyncio.Timeout | None = field(init=False, default=None)

    def stop(self, reason: Reason) -> None:
        """End what runs under the clock now, and whatever is put under it later."""
        self._reason = self._reason or reason
        if self._clock is not None:
            self._clock.reschedule(asyncio.get_running_loop().time())

    @asynccontextmanager
    async def clock(self) -> AsyncIterator[None]:
        """Raises Stopped in place of what is going on when the time is up or `stop` was called."""
        if self._reason is not None:
            raise Stopped(self._reason, self.seconds)
        clock = self._clock = asyncio.timeout_at(self.deadline)
        try:
            async with clock:
                yield
        except TimeoutError:
            if not clock.expired():
                raise
            raise Stopped(self._reason or "time", self.seconds) from None
        finally:
            self._clock = None


@dataclass(eq=False, slots=True)
class Turns:
    """All requests under way: at most `most`, and each at most `seconds` long."""

    most: int
    seconds: float
    stopping: bool = field(init=False, default=False)
    _running: set[Turn] = field(init=False, default_factory=set)

    def __len__(self) -> int:
        return len(self._running)

    @contextmanager
    def turn(self) -> Iterator[Turn]:
        """A turn for one request.  Raises ApiError 503 when there are too many, or the server is stopping."""
        if self.stopping:
            raise stopping()
        if len(self._running) >= self.most:
            raise ApiError(503, f"{self.most} requests are under way, the most of this server; try again soon",
                           code="overloaded", kind="server_error", headers={"Retry-After": "1"})  # fmt: skip
        turn = Turn(asyncio.get_running_loop().time() + self.seconds, self.seconds)
        self._running.add(turn)
        try:
            yield turn
        finally:
            self._running.discard(turn)

    async def finish(self, grace: float, hurry: Callable[[], bool] = lambda: False) -> None:
        """Take no more requests, give those under way `grace` seconds (none after a `hurry`), then end them with an
        error.
        """
        self.stopping = True
        loop = asyncio.get_running_loop()
        end = loop.time() + grace
        while self._running and loop.time() < end and not hurry():
            await asyncio.sleep(0.02)
        for turn in list(self._running):
            turn.stop("stopping")


@asynccontextmanager
async def attending(receive: Receive, turn: Turn) -> AsyncIterator[None]:
    """Ends the turn when the client, whose request has been read, leaves."""

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        turn.stop("gone")

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
