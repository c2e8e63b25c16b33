"""Calls in threads: what they give, what they raise, those that hang, and threads that are used again."""

from __future__ import annotations

import asyncio
import threading

import pytest

from trivium.errors import RunError
from trivium.search import aside as module
from trivium.search.aside import aside


def test_a_call_gives_its_result_or_says_what_it_raised() -> None:
    assert asyncio.run(aside(lambda: 6 * 7, 5)) == 42

    def broken() -> None:
        raise LookupError("no such thing")

    with pytest.raises(RunError, match="LookupError: no such thing"):
        asyncio.run(aside(broken, 5))


def test_one_that_hangs_is_given_up_and_its_thread_not_used_before_it_is_through() -> None:
    go_on, threads = threading.Event(), []

    def hang() -> None:
        threads.append(threading.current_thread())
        go_on.wait(20)

    async def both() -> threading.Thread:
        with pytest.raises(TimeoutError):
            await aside(hang, 0.02)
        return await aside(threading.current_thread, 5)

    try:
        assert asyncio.run(both()) not in threads
    finally:
        go_on.set()


def test_threads_are_used_again_and_few_are_kept() -> None:
    async def many(n: int) -> set[threading.Thread]:
        return set(await asyncio.gather(*(aside(threading.current_thread, 5) for _ in range(n))))

    async def one_by_one(n: int) -> set[threading.Thread]:
        return {await aside(threading.current_thread, 5) for _ in range(n)}

    asyncio.run(many(50))
    assert len(asyncio.run(one_by_one(50))) < 10, "a thread tells its result just before it is free again"
    assert len(module._idle) <= module.IDLE


def test_a_loop_that_is_gone_does_not_hear_of_it() -> None:
    go_on, done = threading.Event(), threading.Event()

    def late() -> None:
        go_on.wait(20)
        done.set()

    with pytest.raises(TimeoutError):
        asyncio.run(aside(late, 0.01))
    go_on.set()
    assert done.wait(20)
    assert asyncio.run(aside(lambda: "still well", 5)) == "still well"
