"""What all voices of one attempt share: the trace, the account, the seed tree and the way to the driver."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from trivium.search.desk import Desk
from trivium.search.meter import Meter
from trivium.types import Answer, Finish, Message, Policy, Question, Sampling, Trace

CLOSE_TIMEOUT = 1.0
"""Seconds that a cancelled task may take to end."""


class Scope:
    """A place in the method: `path` names it, and counts the calls made directly in it."""

    __slots__ = ("attempt", "count", "path", "task")

    def __init__(self, attempt: Attempt, path: tuple[int, ...]) -> None:
        self.attempt, self.path, self.count = attempt, path, 0
        self.task = asyncio.current_task()

    def next(self) -> tuple[int, ...]:
        self.count += 1
        return (*self.path, self.count - 1)


SCOPE: ContextVar[Scope] = ContextVar("trivium_search_scope")


@dataclass(slots=True, eq=False)
class Attempt:
    """One attempt at one question.

    `prompts` has the messages of each prompt's node, and the policy that read them; `unfinished` why a sample's node
    ended, if not by itself; `best` the answer offered so far; `cut` says that the budget refused samples.
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
    prompts: dict[int, tuple[tuple[Message, ...], Policy]] = field(default_factory=dict)
    unfinished: dict[int, Finish] = field(default_factory=dict)
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    root: Scope = field(init=False)

    def begin(self) -> None:
        """From here on this task is the method's: calls are numbered from the root."""
        self.root = Scope(self, ())
        SCOPE.set(self.root)

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
        if scope.attempt is not self:
            scope = self.root
        task = asyncio.current_task()
        if scope.task is not task:
            scope = Scope(self, scope.next())
            SCOPE.set(scope)
        return scope.next()

    def join(self) -> None:
        """Remember the current task, so that `close` can end it."""
        task = asyncio.current_task()
        if task is not None and task is not self.root.task:
            self.tasks.add(task)

    def finish_of(self, node: int | None) -> Finish:
        """Why the sample at a node of the trace ended."""
        return self.unfinished.get(-1 if node is None else node, "stop")


def call_seed(seed: int, question_id: str, path: tuple[int, ...], wave: int = 0) -> int:
    """63 bits that depend on the run's seed, the question and the place of the call alone."""
    digest = hashlib.blake2b(f"{seed}\x1f{question_id}\x1f{path}\x1f{wave}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
