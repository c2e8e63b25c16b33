"""The desk between an attempt and the driver: the one way in which a method is answered from the problem's side.

A method's side leaves a slip; the driver's task, which alone knows problem, task and environment, takes it and writes
the reply.  Everything that hangs on `LM` ends at the slip: no closure, no coroutine and no traceback of the method's
side holds a problem.  The driver waits on a bell that the desk knows by a weak reference alone, because a future leads
to whoever waits for it.  Not covered, since nothing inside one process could: `gc`, `sys.modules`, the frames of
whoever started the event loop, and asyncio's own books of all tasks.
"""

from __future__ import annotations

import asyncio
import weakref
from dataclasses import dataclass
from typing import Any, Literal

from trivium.errors import RunError

Verb = Literal["oracle", "reset", "act"]

_BELLS: set[asyncio.Future[None]] = set()
"""What drivers wait on; kept here because desks do not."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A reply that is none, and why."""

    reason: str


@dataclass(slots=True)
class Slip:
    """One request to the driver; `reply` gets the answer as plain data, or `Failed`."""

    verb: Verb
    text: str
    reply: asyncio.Future[Any]


class Desk:
    """The slips of one attempt.  `task` names the task, if the run has one; `acting` says if it has environments."""

    __slots__ = ("_bell", "_slips", "acting", "task")

    def __init__(self, task: str | None, acting: bool) -> None:
        self.task, self.acting = task, acting
        self._slips: list[Slip] = []
        self._bell: weakref.ref[asyncio.Future[None]] | None = None

    async def ask(self, verb: Verb, text: str = "") -> Any:
        """The driver's reply.  Raises RunError where there is none, because a tool or the environment failed."""
        slip = Slip(verb, text, asyncio.get_running_loop().create_future())
        self._slips.append(slip)
        self.ring()
        reply = await slip.reply
        if isinstance(reply, Failed):
            raise RunError(reply.reason)
        return reply

    def ring(self, *_: object) -> None:
        """Call the driver."""
        bell = None if self._bell is None else self._bell()
        if bell is not None and not bell.done():
            bell.set_result(None)

    async def wait(self) -> None:
        """The driver's side: wait for the bell."""
        bell: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._bell = weakref.ref(bell)
        _BELLS.add(bell)
        try:
            await bell
        finally:
            _BELLS.discard(bell)

    def take(self) -> list[Slip]:
        """The driver's side: all that was asked since the last time."""
        slips, self._slips = self._slips, []
        return slips
