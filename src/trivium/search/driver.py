"""Runs a method over thousands of questions at once, with plain asyncio, and judges what it answers.

An attempt that fails fails alone.  Answers are judged after the method returned, so no method ever meets a reference.
"""

from __future__ import annotations

import asyncio
import threading
import traceback
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from trivium.errors import BudgetExhausted, UserError
from trivium.search.lm import LM
from trivium.search.meter import Meter
from trivium.types import Answer, Budget, Policy, Problem, Question, Sampling, Task, Trace, Verdict

GRACE = 0.25
"""Seconds that a method may go on after its time is up, to finish without the policy."""
VERIFY_TIMEOUT = 30.0
"""Seconds after which a verifier counts as broken."""


class Method(Protocol):
    """Answers one question.  Options are bound beforehand, as `trivium.search.method` does."""

    def __call__(self, question: Question, lm: LM, /) -> Coroutine[Any, Any, Answer]: ...


Listen = Callable[[Trace], None]


async def run(
    method: Method,
    problems: Sequence[Problem],
    policy: Policy,
    *,
    task: Task | None = None,
    budget: Budget | None = None,
    seed: int = 0,
    sampling: Sampling | None = None,
    concurrency: int | None = None,
    listen: Listen | None = None,
    verify_timeout: float = VERIFY_TIMEOUT,
) -> list[Trace]:
    """One attempt at every problem; the traces are in the problems' order.

    `task` judges the answers (no verdicts without one), `budget` limits each attempt, `concurrency` the attempts at a
    time (`None`: all).  `sampling` defaults to temperature 1 and the task's own token limit.  `listen` gets every trace
    as soon as it is complete, so that nothing finished is lost when the run is cancelled.  Equal seeds give equal
    answers whatever the concurrency.  An exception is recorded in its trace and the others go on; but if every attempt
    ended in a `UserError`, the first is raised: then it is the set-up that is wrong.
    """
    if concurrency is not None and concurrency < 1:
        raise UserError(f"concurrency={concurrency}: expected 1 or more, or none for all at a time")
    sampling = sampling or (Sampling(max_tokens=task.max_tokens) if task else Sampling())
    judge = None if task is None else Judge(task, verify_timeout)
    traces: list[Trace | None] = [None] * len(problems)
    refusals: list[UserError] = []
    queue = iter(enumerate(problems))

    async def work() -> None:
        for i, problem in queue:
            trace, refusal = await _attempt(method, problem, policy, judge, budget, seed, sampling)
            traces[i] = trace
            if refusal is not None:
                refusals.append(refusal)
            if listen is not None:
                listen(trace)

    workers = [asyncio.create_task(work()) for _ in range(min(concurrency or len(problems), len(problems)))]
    try:
        await asyncio.gather(*workers)
    except BaseException:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        raise
    if problems and len(refusals) == len(problems):
        raise refusals[0]
    return [trace for trace in traces if trace is not None]


def solve(method: Method, problems: Sequence[Problem], policy: Policy, **options: Any) -> list[Trace]:
    """`run` for callers that have no event loop; the same options."""
    return asyncio.run(run(method, problems, policy, **options))


@dataclass(slots=True)
class Judge:
    """Asks a task's verifier in a thread that can be given up: a verifier that raises or hangs is `Verdict.error`.

    One question at a time, because a verifier need not be safe to call from two threads.
    """

    task: Task
    timeout: float = VERIFY_TIMEOUT
    _turn: asyncio.Lock = field(init=False, default_factory=asyncio.Lock)
    _loop: asyncio.AbstractEventLoop | None = field(init=False, default=None)

    async def __call__(self, problem: Problem, response: str) -> Verdict:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._turn = loop, asyncio.Lock()
        async with self._turn:
            verdict: asyncio.Future[Verdict] = loop.create_future()

            def tell(result: Verdict) -> None:
                if not verdict.done():
                    verdict.set_result(result)

            def judge() -> None:
                try:
                    result = self.task.verify(problem, response)
                    if not isinstance(result, Verdict):
                        result = Verdict.error(f"the verifier returned {type(result).__name__}, not a Verdict")
                except BaseException as error:
                    result = Verdict.error(f"{type(error).__name__}: {error}")
                with suppress(RuntimeError):  # the loop may have ended while the verifier hung
                    loop.call_soon_threadsafe(tell, result)

            threading.Thread(target=judge, daemon=True).start()
            try:
                return await asyncio.wait_for(verdict, self.timeout)
            except TimeoutError:
                return Verdict.error(f"the verifier gave no verdict within {self.timeout:g} s")


async def _attempt(
    method: Method,
    problem: Problem,
    policy: Policy,
    judge: Judge | None,
    budget: Budget | None,
    seed: int,
    sampling: Sampling,
) -> tuple[Trace, UserError | None]:
    """One attempt, which never raises but for cancellation; and the `UserError` it ended in, if it did."""
    trace, meter, refusal = Trace(problem.question.id), Meter(budget), None
    oracle = None if judge is None else lambda response: judge(problem, response)
    lm = LM(problem.question, policy, trace, meter, seed=seed, sampling=sampling, oracle=oracle)
    clock = asyncio.timeout(None if meter.seconds_left is None else meter.seconds_left + GRACE)
    try:
        try:
            async with clock:
                answer = await method(problem.question, lm)
        finally:
            await lm.close()
        if not isinstance(answer, Answer):
            raise TypeError(f"the method returned {type(answer).__name__}; expected an Answer")
        _conclude(trace, answer)
        trace.finish = "budget" if lm.cut else lm.finish_of(answer.node)
    except BudgetExhausted:
        _cut_off(trace, lm)
    except Exception as error:
        if isinstance(error, TimeoutError) and clock.expired():
            _cut_off(trace, lm)
        else:
            trace.finish, trace.error = "error", _describe(error)
            refusal = error if isinstance(error, UserError) else None
    trace.usage = meter.used
    if judge is not None and not trace.error:
        trace.verdict = await judge(problem, trace.response)
    return trace, refusal


def _cut_off(trace: Trace, lm: LM) -> None:
    trace.finish = "budget"
    if lm.best is not None:
        _conclude(trace, lm.best)


def _conclude(trace: Trace, answer: Answer) -> None:
    trace.answer, trace.response, trace.answer_node = answer.value, answer.response, answer.node
    if answer.node is not None and answer.confidence is not None:
        trace.nodes[answer.node].score = answer.confidence


def _describe(error: Exception) -> str:
    """Type, message and the place it came from."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({place.filename.rpartition('/')[2]}:{place.lineno})"
