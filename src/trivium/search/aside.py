"""Calls made in a thread that can be given up: whoever waits for one that hangs goes on without it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import TypeVar

from trivium.errors import RunError

T = TypeVar("T")

IDLE = 4
"""Threads that are kept for the next call: to start one takes longer than most verifiers."""


async def aside(call: Callable[[], T], seconds: float) -> T:
    """The result of a call in another thread, which is given up after a time.

    Raises TimeoutError, and RunError saying what the call raised.
    """
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()

    def tell(value: T | None, fault: str | None) -> None:
        if result.done():
            return
        if fault is None:
            result.set_result(value)  # type: ignore[arg-type]
        else:
            result.set_exception(RunError(fault))

    def work() -> None:
        value, fault = None, None
        try:
            value = call()
        except BaseException as error:
            fault = f"{type(error).__name__}: {error}"
        with suppress(RuntimeError):  # the loop may have ended while the call hung
            loop.call_soon_threadsafe(tell, value, fault)

    _thread().tasks.put(work)
    return await asyncio.wait_for(result, seconds)


class _Thread(threading.Thread):
    """Carries out one task after another; the process does not wait for it to end."""

    def __init__(self) -> None:
        super().__init__(name="trivium-aside", daemon=True)
        self.tasks: SimpleQueue[Callable[[], None]] = SimpleQueue()

    def run(self) -> None:
        while True:
            self.tasks.get()()
            with _turn:
                if len(_idle) >= IDLE:
                    return
                _idle.append(self)


_turn = threading.Lock()
_idle: list[_Thread] = []
"""Threads that have nothing to do; one whose call hangs is not among them until it is through."""


def _thread() -> _Thread:
    with _turn:
        if _idle:
            return _idle.pop()
    thread = _Thread()
    thread.start()
    return thread
