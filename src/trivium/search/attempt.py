"""What all voices of one attempt share: the trace, the account, the seed tree and the way to the driver."""

from __future__ import annotations

import asyncio
import hashlib
import weakref
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from trivium.search.desk import Desk
from trivium.search.meter import Meter
from trivium.search.reading import Prompts, Reading
from trivium.types import Answer, Finish, Policy, Question, Sampling, Trace

CLOSE_TIMEOUT = 1.0
"""Seconds that a cancelled task may take to end."""


class Scope:
    """A place in the method: `path` names it, and counts the calls made directly in it.

    It refers to its attempt and its task without holding them: a cycle an attempt is work for the garbage collector.
    """

    __slots__ = ("_task", "count", "key", "path")

    def __init__(self, key: object, path: tuple[int, ...]) -> None:
        self.key, self.path, self.count = key, path, 0
        task = asyncio.current_task()
        self._task = None if task is None else weakref.ref(task)

    def within(self, task: asyncio.Task[Any] | None) -> bool:
        return task is not None and self._task is not None and self._task() is task

    def next(self) -> tuple[int, ...]:
        self.count += 1
        return (*self.path, self.count - 1)


SCOPE: ContextVar[Scope] = ContextVar("trivium_search_scope")


@dataclass(slots=True, eq=False)
class Attempt:
    """One attempt at one question.

    `unfinished` tells why a sample's node ended, if not by itself; `charged` the tokens of one that shows none of them;
    `best` is the answer offered so far; `cut` says that the budget refused samples.  Whoever holds `world` may act in
    the environment.
    """

    question: Question
    trace: Trace
    meter: Meter
    seed: int
    sampling: Sampling
    desk: Desk
    voices: Mapping[str, Policy] = field(default_factory=dict)
    best: Answer | None = None
    cut: bool = False
    unfinished: dict[int, Finish] = field(default_factory=dict)
    charged: dict[int, int] = field(default_factory=dict)
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    key: object = field(default_factory=object)
    world: asyncio.Lock = field(default_factory=asyncio.Lock)
    root: Scope = field(init=False)
    _prompts: Prompts = field(default_factory=dict)
    _readings: dict[int, Reading] = field(default_factory=dict)

    def begin(self) -> None:
        """From here on this task is the method's: calls are numbered from the root."""
        self.root = Scope(self.key, ())
        SCOPE.set(self.root)

    def reading(self, policy: Policy) -> Reading:
        """What the policy has read in this attempt so far."""
        found = self._readings.get(id(policy))
        if found is None:
            found = self._readings[id(policy)] = Reading(policy, self.trace, self._prompts)
        return found

    async def close(self) -> None:
        """End the attempt: tasks that the method left behind are cancelled, so that nothing is spent unseen."""
        self.meter.closed = True
        left_behind = [task for task in self.tasks if not task.done()]
        for task in left_behind:
            task.cancel()
        if left_behind:
            await asyncio.wait(left_behind, timeout=CLOSE_TIMEOUT)

    def next_path(self) -> tuple[int, ...]:
        """The place of a call made now.  A task is numbered when it first calls."""
        scope = SCOPE.get(self.root)
        if scope.key is not self.key:
            scope = self.root
        if not scope.within(asyncio.current_task()):
            scope = Scope(self.key, scope.next())
            SCOPE.set(scope)
        return scope.next()

    def join(self) -> None:
        """Remember the current task, so that `close` can end it."""
        task = asyncio.current_task()
        if task is not None and not self.root.within(task):
            self.tasks.add(task)

    def finish_of(self, node: int | None) -> Finish:
        """Why the sample at a node of the trace ended."""
        return self.unfinished.get(-1 if node is None else node, "stop")


def call_seed(seed: int, question_id: str, path: tuple[int, ...], wave: int = 0) -> int:
    """63 bits that depend on the run's seed, the question and the place of the call alone."""
    digest = hashlib.blake2b(f"{seed}\x1f{question_id}\x1f{path}\x1f{wave}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
