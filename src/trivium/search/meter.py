"""Counts what one attempt spends, and holds it to its budget.

A call reserves the most it can cost before it is made, and gives back what it did not use; so calls made concurrently
never spend the same token twice, and no total of tokens exceeds its limit even by one.  A call that does not fit in
full while others are under way waits for them to give back; only when none is under way is it cut to what is left.

The unit `calls` is a request to the model behind the policy.  One is granted at a time; a policy that needs several to
answer it, such as an endpoint that draws one choice a request, has all it made booked when they are known, so that the
last call granted may end above the limit.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from trivium.errors import BudgetExhausted, RunError
from trivium.types import Budget, Completion, Usage

UNLIMITED = Budget()


class Grant(NamedTuple):
    """Leave to draw `n` samples of at most `max_tokens` tokens each after a prompt of `prompt` tokens."""

    n: int
    max_tokens: int
    prompt: int

    @property
    def sampled(self) -> int:
        return self.n * self.max_tokens


class Meter:
    """The running account of one attempt.  `limited` says that its budget limits more than the time."""

    __slots__ = (
        "_cached", "_calls", "_calls_limit", "_judged", "_oracle", "_oracle_limit", "_prompt", "_reserved_prompt",
        "_reserved_sampled", "_sampled", "_sampled_limit", "_start", "_tools", "_tools_limit", "_total_limit",
        "_under_way", "_waiting", "budget", "closed", "limited", "limits_tokens",
    )  # fmt: skip

    def __init__(self, budget: Budget | None) -> None:
        self.budget = budget or UNLIMITED
        self.limits_tokens = self.budget.sampled_tokens is not None or self.budget.total_tokens is not None
        self._sampled_limit = _limit(self.budget.sampled_tokens)
        self._total_limit = _limit(self.budget.total_tokens)
        self._calls_limit = _limit(self.budget.calls)
        self._oracle_limit = _limit(self.budget.oracle_calls)
        self._tools_limit = _limit(self.budget.tool_steps)
        limits = self._sampled_limit, self._total_limit, self._calls_limit, self._oracle_limit, self._tools_limit
        self.limited = min(limits) < math.inf
        self._prompt = self._cached = self._sampled = self._calls = 0
        self._tools = self._judged = self._oracle = 0
        self._reserved_sampled = self._reserved_prompt = 0
        self._under_way = 0
        self._waiting: list[asyncio.Future[None]] = []
        self._start = time.perf_counter()
        self.closed = False

    @property
    def used(self) -> Usage:
        return Usage(
            self._prompt,
            self._cached,
            self._sampled,
            self._calls,
            self._tools,
            self._judged,
            self._oracle,
            time.perf_counter() - self._start,
        )

    @property
    def left(self) -> Mapping[str, float]:
        return self.budget.left(self.used)

    @property
    def seconds_left(self) -> float | None:
        if self.budget.seconds is None:
            return None
        return self._start + self.budget.seconds - time.perf_counter()

    async def reserve(self, prompt: int, n: int | None, max_tokens: int) -> Grant | None:
        """Leave for `n` samples (`None`: as many as fit), for fewer or shorter ones, or `None` when nothing fits."""
        while True:
            if self._over or self._calls >= self._calls_limit:
                return None
            room = min(
                self._sampled_limit - self._sampled - self._reserved_sampled,
                self._total_limit
                - self._prompt
                - self._sampled
                - self._reserved_sampled
                - self._reserved_prompt
                - prompt,
            )
            if n is not None and n * max_tokens <= room:
                break
            if not self._under_way:
                if room < 1:
                    return None
                fits = int(room // max_tokens)
                n, max_tokens = (min(n or fits, fits), max_tokens) if fits else (1, int(room))
                break
            await self._landing()
        self._calls += 1
        self._under_way += 1
        self._reserved_sampled += n * max_tokens
        self._reserved_prompt += prompt
        return Grant(n, max_tokens, prompt)

    def settle(self, grant: Grant, completions: Sequence[Completion], policy: str) -> None:
        """Book what was used.  Raises RunError for a policy that gave more, or less, than it was asked for."""
        used = [c.usage for c in completions]
        sampled, prompt = sum([u.sampled_tokens for u in used]), sum([u.prompt_tokens for u in used])
        self._sampled += sampled
        self._prompt += prompt
        self._calls += max(0, sum([u.calls for u in used]) - 1)  # one was booked when it was granted
        self._cached += sum([u.cached_tokens for u in used])
        self._release(grant)
        if len(completions) != grant.n:
            raise RunError(f"{policy} gave {len(completions)} samples when asked for {grant.n}")
        if sampled > grant.sampled:
            raise RunError(f"{policy} sampled {sampled} tokens when {grant.n} x {grant.max_tokens} were allowed")
        if self._total_limit < math.inf and prompt > grant.prompt:
            raise RunError(f"{policy} counted {prompt} prompt tokens where its own encoding has {grant.prompt}")

    def book(self, grant: Grant) -> None:
        """Book all of a call: of one that was cancelled what it used is not known, and it must not be free."""
        self._sampled += grant.sampled
        self._prompt += grant.prompt
        self._release(grant)

    def waive(self, grant: Grant) -> None:
        """Book the call alone: the policy failed and gave nothing."""
        self._release(grant)

    async def reserve_score(self, tokens: int) -> Grant:
        """Leave for one scoring call over `tokens` tokens, all of them read and none sampled.

        Raises BudgetExhausted where it does not fit.
        """
        while True:
            total = self._prompt + self._sampled + self._reserved_sampled + self._reserved_prompt
            fits = total + tokens <= self._total_limit
            if self._over or self._calls >= self._calls_limit or not (fits or self._under_way):
                raise BudgetExhausted("the budget has no room for another scoring call")
            if fits:
                break
            await self._landing()
        self._calls += 1
        self._under_way += 1
        self._reserved_prompt += tokens
        return Grant(0, 0, tokens)

    def tool(self) -> None:
        """Book one step of a tool or an environment."""
        if self._over or self._tools >= self._tools_limit:
            raise BudgetExhausted(f"no tool step is left after {self._tools}")
        self._tools += 1

    def judge(self) -> None:
        """Book one judgement by a policy; its calls and tokens are booked besides."""
        self._judged += 1

    def oracle(self) -> None:
        """Book one question to the verifier."""
        if self._over or self._oracle >= self._oracle_limit:
            raise BudgetExhausted(f"no oracle call is left after {self._oracle}")
        self._oracle += 1

    @property
    def _over(self) -> bool:
        """The attempt has ended, or its time is up."""
        return self.closed or (self.budget.seconds is not None and (self.seconds_left or 0) <= 0)

    async def _landing(self) -> None:
        """Wait until a call that is under way gives back what it did not use."""
        landing = asyncio.get_running_loop().create_future()
        self._waiting.append(landing)
        await landing

    def _release(self, grant: Grant) -> None:
        self._under_way -= 1
        self._reserved_sampled -= grant.sampled
        self._reserved_prompt -= grant.prompt
        if self._waiting:
            landed, self._waiting = self._waiting, []
            for future in landed:
                if not future.done():
                    future.set_result(None)


def _limit(value: int | None) -> float:
    return math.inf if value is None else value
