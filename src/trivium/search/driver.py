"""Runs a method over thousands of questions at once, with plain asyncio, and judges what it answers.

An attempt that fails fails alone.  Answers are judged after the method returned, and what a method asks of verifier or
environment is done here, in the driver's own task (see `desk`), so no method ever meets a reference.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from trivium.errors import BudgetExhausted, ContextFull, RunError, UserError
from trivium.search.aside import aside
from trivium.search.attempt import Attempt
from trivium.search.desk import Desk, Failed, Slip
from trivium.search.lm import LM
from trivium.search.meter import Meter
from trivium.types import (
    Answer,
    Budget,
    Environment,
    Interactive,
    Policy,
    Problem,
    Question,
    Sampling,
    Task,
    Trace,
    Verdict,
)

T = TypeVar("T")

GRACE = 0.25
"""Seconds that a method may go on after its time is up, to finish without the policy."""
VERIFY_TIMEOUT = 30.0
"""Seconds after which a verifier counts as broken."""


class Method(Protocol):
    """Answers one question.  Options are bound beforehand, as `trivium.search.method` does."""

    def __call__(self, question: Question, lm: LM, /) -> Coroutine[Any, Any, Answer]: ...


Listen = Callable[[Trace], None]


async def run(method: Method, problems: Sequence[Problem], policy: Policy, **options: Any) -> list[Trace]:
    """One attempt at every problem by a method: `run_each` with the same for all; its options."""
    return await run_each([(method, problem) for problem in problems], policy, **options)


async def run_each(
    asked: Sequence[tuple[Method, Problem]],
    policy: Policy,
    *,
    task: Task | None = None,
    voices: Mapping[str, Policy] = {},
    budget: Budget | None = None,
    seed: int = 0,
    sampling: Sampling | None = None,
    concurrency: int | None = None,
    listen: Listen | None = None,
    verify_timeout: float = VERIFY_TIMEOUT,
) -> list[Trace]:
    """One attempt at every problem, each by its own method; the traces are in the order of what is asked.

    `task` judges the answers (no verdicts without one), `voices` are further policies that a method may call by name,
    `budget` limits each attempt, `concurrency` the attempts at a time (`None`: all).  `sampling` defaults to
    temperature 1 and the task's own token limit.  `listen` gets every trace as soon as it is complete, so that nothing
    finished is lost when the run is cancelled.  Equal seeds give equal answers whatever the concurrency.  An exception
    is recorded in its trace and the others go on; but if every attempt ended in a `UserError`, the first is raised:
    then it is the set-up that is wrong.
    """
    if concurrency is not None and concurrency < 1:
        raise UserError(f"concurrency={concurrency}: expected 1 or more, or none for all at a time")
    sampling = sampling or (Sampling(max_tokens=task.max_tokens) if task else Sampling())
    judge = None if task is None else Judge(task, verify_timeout)
    traces: list[Trace | None] = [None] * len(asked)
    refusals: list[UserError] = []
    queue = iter(enumerate(asked))

    async def work() -> None:
        for i, (method, problem) in queue:
            trace, refusal = await _attempt(method, problem, policy, voices, judge, budget, seed, sampling)
            traces[i] = trace
            if refusal is not None:
                refusals.append(refusal)
            if listen is not None:
                listen(trace)

    workers = [asyncio.create_task(work()) for _ in range(min(concurrency or len(asked), len(asked)))]
    try:
        await asyncio.gather(*workers)
    except BaseException:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        raise
    if asked and len(refusals) == len(asked):
        raise refusals[0]
    return [trace for trace in traces if trace is not None]


def solve(method: Method, problems: Sequence[Problem], policy: Policy, **options: Any) -> list[Trace]:
    """`run` for callers that have no event loop; the same options."""
    return asyncio.run(run(method, problems, policy, **options))


def together(jobs: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of coroutines that run at a time, so that what they sample is computed in one batch."""

    async def every() -> list[T]:
        return await asyncio.gather(*jobs)

    return asyncio.run(every())


@dataclass(slots=True)
class Judge:
    """Asks a task's verifier in a thread that can be given up: a verifier that raises or hangs is `Verdict.error`.

    One question at a time, because a verifier need not be safe to call from two threads.  A call that is given up is
    the exception: no thread can be ended from outside, so it may still be under way when the next question comes.
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
            try:
                verdict = await aside(lambda: self.task.verify(problem, response), self.timeout)
            except TimeoutError:
                return Verdict.error(f"the verifier gave no verdict within {self.timeout:g} s")
            except RunError as error:
                return Verdict.error(str(error))
        if not isinstance(verdict, Verdict):
            return Verdict.error(f"the verifier returned {type(verdict).__name__}, not a Verdict")
        return verdict


@dataclass(slots=True)
class _Counter:
    """The driver's side of a desk: answers the slips of one attempt at `problem`, in plain data."""

    problem: Problem
    judge: Judge
    _world: Environment | None = field(init=False, default=None)
    _over: bool = field(init=False, default=True)
    _turn: asyncio.Lock = field(init=False, default_factory=asyncio.Lock)

    async def answer(self, slip: Slip) -> None:
        try:
            if slip.verb == "oracle":
                reply: Any = await self.judge(self.problem, slip.text)
            else:
                async with self._turn:
                    reply = await self._reset() if slip.verb == "reset" else await self._act(slip.text)
        except TimeoutError:
            # The call that hangs still has this world in its hands: the next episode gets another.
            self._world, self._over = None, True
            reply = Failed(f"the environment did not answer within {self.judge.timeout:g} s")
        except Exception as error:
            reply = Failed(f"the environment failed: {error}")
        if not slip.reply.done():
            slip.reply.set_result(reply)

    async def _reset(self) -> str | Failed:
        if self._world is None:
            task = self.judge.task
            assert isinstance(task, Interactive)
            self._world = await aside(lambda: task.environment(self.problem), self.judge.timeout)
        seen = await aside(self._world.reset, self.judge.timeout)
        self._over = False
        return seen if isinstance(seen, str) else Failed(f"reset() gave {type(seen).__name__}, not an observation")

    async def _act(self, action: str) -> tuple[str, bool] | Failed:
        world = self._world
        if world is None or self._over:
            return Failed("there is no episode to act in: call lm.reset() first, and again when one is over")
        match await aside(lambda: world.step(action), self.judge.timeout):
            case (str() as seen, bool() as over):
                self._over = over
                return seen, over
        return Failed("step() gave something else than (observation, done)")


async def _attempt(
    method: Method,
    problem: Problem,
    policy: Policy,
    voices: Mapping[str, Policy],
    judge: Judge | None,
    budget: Budget | None,
    seed: int,
    sampling: Sampling,
) -> tuple[Trace, UserError | None]:
    """One attempt, which never raises but for cancellation; and the `UserError` it ended in, if it did."""
    trace, meter, refusal = Trace(problem.question.id), Meter(budget), None
    desk = Desk(None if judge is None else judge.task.name, judge is not None and isinstance(judge.task, Interactive))
    attempt = Attempt(problem.question, trace, meter, seed, sampling, desk, voices)
    life = asyncio.create_task(_live(method, attempt, policy))
    life.add_done_callback(desk.ring)
    await _serve(desk, life, None if judge is None else _Counter(problem, judge))
    # The exception is looked at and never raised, which would hang the driver's frames on it.
    error = asyncio.CancelledError("the method was cancelled by itself") if life.cancelled() else life.exception()
    if error is not None:
        trace.finish, trace.error = "error", _describe(error)
        refusal = error if isinstance(error, UserError) else None
    trace.usage = meter.used
    if judge is not None and not trace.error:
        trace.verdict = await judge(problem, trace.response)
    return trace, refusal


async def _live(method: Method, attempt: Attempt, policy: Policy) -> None:
    """The method's side of an attempt, in a task of its own: no frame of it knows the problem."""
    attempt.begin()
    trace, left = attempt.trace, attempt.meter.seconds_left
    clock = asyncio.timeout(None if left is None else left + GRACE)
    try:
        try:
            async with clock:
                answer = await method(attempt.question, LM(attempt, policy))
        finally:
            await attempt.close()
        if not isinstance(answer, Answer):
            raise TypeError(f"the method returned {type(answer).__name__}; expected an Answer")
        _conclude(trace, answer)
        trace.finish = "budget" if attempt.cut else attempt.finish_of(answer.node)
    except ContextFull:
        # A search or an episode that outgrew the context is over, and counts for what it had; a prompt that is too
        # long from the start is a mistake in the set-up.
        if attempt.best is None:
            raise
        trace.finish = "length"
        _conclude(trace, attempt.best)
    except (BudgetExhausted, TimeoutError) as error:
        if isinstance(error, TimeoutError) and not clock.expired():
            raise
        trace.finish = "budget"
        if attempt.best is not None:
            _conclude(trace, attempt.best)


async def _serve(desk: Desk, life: asyncio.Task[None], counter: _Counter | None) -> None:
    """Answer what the method's side asks for, until it ends; ends it when cancelled."""
    serving: set[asyncio.Task[None]] = set()
    cancelled: asyncio.CancelledError | None = None
    while not life.done():
        for slip in desk.take():
            assert counter is not None, "without a task nothing is asked"
            task = asyncio.create_task(counter.answer(slip))
            serving.add(task)
            task.add_done_callback(serving.discard)
        try:
            await desk.wait()
        except asyncio.CancelledError as error:
            cancelled = error
            life.cancel()
    for task in list(serving):
        task.cancel()
    if cancelled is not None:
        raise cancelled


def _conclude(trace: Trace, answer: Answer) -> None:
    trace.answer, trace.response, trace.answer_node = answer.value, answer.response, answer.node
    if answer.node is not None and answer.confidence is not None:
        trace.nodes[answer.node].score = answer.confidence


def _describe(error: BaseException) -> str:
    """Type, message and the place it came from."""
    places = traceback.extract_tb(error.__traceback__)
    if not places:
        return f"{type(error).__name__}: {error}"
    place = places[-1]
    return f"{type(error).__name__}: {error} ({place.filename.rpartition('/')[2]}:{place.lineno})"
