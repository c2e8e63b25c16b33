"""A policy that computes where it is called, moved to a thread: others are answered meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from trivium.serve.around import Around
from trivium.types import Completion, Policy, Request, Segment

T = TypeVar("T")


class Aside(Around):
    """`policy` with its calls made one after another in a thread of their own.

    A call that has begun cannot be broken off there; one that waits for its turn can.
    """

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy)
        self._thread = ThreadPoolExecutor(1, "trivium-serve-aside")

    async def sample(self, request: Request) -> list[Completion]:
        return await self._call(lambda: self._policy.sample(request))

    async def score(self, request: Request, continuations: Sequence[Segment]) -> list[tuple[float, ...]]:
        return await self._call(lambda: self._policy.score(request, continuations))

    async def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)
        await self._policy.close()

    async def _call(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: asyncio.run(make()))
