"""`LM`: a policy as seen by one attempt at one question, and the only thing a method can act with.

It meters and limits what is spent, gives every call a seed that follows from the run's seed, the question and the
place of the call in the method (never from timing), and writes everything that is sampled into the `Trace`.  Task,
problem and reference are not reachable from it; `oracle` asks the verifier through a closure, and is counted.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

from trivium.errors import BudgetExhausted, Unsupported, UserError
from trivium.search.meter import Grant, Meter
from trivium.types import (
    Answer,
    Completion,
    Finish,
    Message,
    Node,
    Policy,
    Question,
    Request,
    Sampling,
    Segment,
    Trace,
    Verdict,
)
from trivium.verify.parse import parse_answer

A = TypeVar("A")
B = TypeVar("B")
Oracle = Callable[[str], Awaitable[Verdict]]
CLOSE_TIMEOUT = 1.0
"""Seconds that a cancelled task may take to end."""


@dataclass(frozen=True, slots=True)
class Chain:
    """One sampled continuation.  `text` is what this call added, `response` all that follows the prompt up to its end;
    `logprobs` belong to `text`'s tokens and are empty where the policy gives none.
    """

    node: int
    text: str
    response: str
    finish: Finish
    logprobs: tuple[float, ...]

    def answering(self, value: str | None, confidence: float | None = None) -> Answer:
        """The answer `value`, read from this chain."""
        return Answer(value, self.response, self.node, confidence)


class _Scope:
    """A place in the method: `path` names it, and counts the calls made directly in it."""

    __slots__ = ("count", "lm", "path", "task")

    def __init__(self, lm: LM, path: tuple[int, ...]) -> None:
        self.lm, self.path, self.count = lm, path, 0
        self.task = asyncio.current_task()

    def next(self) -> tuple[int, ...]:
        self.count += 1
        return (*self.path, self.count - 1)


_SCOPE: ContextVar[_Scope] = ContextVar("trivium_search_scope")


class LM:
    """What a method gets beside its question.

    The seed of a call depends on the calls before it in the same `asyncio` task, and a task is numbered when it first
    calls; `map` numbers its branches itself, so use it where branches wait for other things first.
    """

    def __init__(
        self,
        question: Question,
        policy: Policy,
        trace: Trace,
        meter: Meter,
        *,
        seed: int,
        sampling: Sampling,
        oracle: Oracle | None = None,
    ) -> None:
        self.sampling = sampling
        self.best: Answer | None = None
        self.cut = False
        self._question, self._policy, self._trace, self._meter, self._oracle = question, policy, trace, meter, oracle
        self._seed = seed
        self._prompts: dict[tuple[Message, ...], int] = {}
        self._messages: dict[int, tuple[Message, ...]] = {}
        self._unfinished: dict[int, Finish] = {}
        self._lengths: dict[tuple[Message, ...], int] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._root = _Scope(self, ())
        _SCOPE.set(self._root)

    @property
    def left(self) -> Mapping[str, float]:
        """What remains of the budget in each unit; `inf` where there is no limit."""
        return self._meter.left

    def sample(
        self, source: Question | Chain, *, n: int | None = 1, **changes: Any
    ) -> Coroutine[Any, Any, list[Chain]]:
        """Draw `n` continuations of a question, or of a chain; `n=None` draws until the budget is spent.

        `changes` are fields of `Sampling` that differ from the run's, such as `temperature=0`.  Where the budget does
        not allow all, fewer or shorter ones come back (a chain cut short has finish `budget`).  Raises BudgetExhausted
        when there is none at all, and Unsupported for a setting the policy cannot honour.
        """
        if n is not None and n < 1:
            raise UserError(f"n={n} samples were asked for; expected 1 or more")
        if n is None and not self._meter.limits_tokens:
            raise UserError(
                "n=none draws samples until the tokens are spent; give a budget of sampled_tokens, or a number"
            )
        # The place of the call is fixed here, when it is written, and not when it is awaited.
        return self._draw(self._next_path(), source, n, self.sampling.but(**changes) if changes else self.sampling)

    def extend(
        self, chain: Chain, *, n: int = 1, stop: str | tuple[str, ...] = (), **changes: Any
    ) -> Coroutine[Any, Any, list[Chain]]:
        """Draw `n` next steps of a chain, each ending at one of `stop` (besides the run's own stop strings)."""
        stops = (stop,) if isinstance(stop, str) else stop
        return self.sample(chain, n=n, stop=(*self.sampling.stop, *stops), **changes)

    async def score(self, source: Question | Chain, continuations: Sequence[Segment]) -> list[tuple[float, ...]]:
        """Log-probabilities of the ids of each continuation after `source`.

        Every token read is charged, as prompt.  Raises BudgetExhausted, and Unsupported for a policy that cannot score.
        """
        if "score" not in self._policy.capabilities:
            raise Unsupported(f"{self._policy.name} cannot score given tokens; use --policy tiny, smollm2 or hf:FOLDER")
        messages, _, prefix = self._context(source)
        self._meter.score(self._prompt_tokens(messages, prefix) + sum(len(c.ids) for c in continuations))
        request = Request(messages, self.sampling, len(continuations), prefix=prefix)
        return await self._in_time(self._policy.score(request, continuations))

    async def map(self, function: Callable[[A], Awaitable[B]], items: Iterable[A]) -> list[B]:
        """`function` of every item, concurrently, in order.  The first failure is raised when all have ended."""
        place = self._next_path()

        async def branch(i: int, item: A) -> B:
            _SCOPE.set(_Scope(self, (*place, i)))
            return await function(item)

        results = await asyncio.gather(*(branch(i, x) for i, x in enumerate(items)), return_exceptions=True)
        done: list[B] = []
        for result in results:
            if isinstance(result, BaseException):
                raise result
            done.append(result)
        return done

    def answer(self, source: str | Chain) -> str | None:
        """The answer in a response, in the question's own answer format; `None` where there is none."""
        return parse_answer(self._question.answer_format, source if isinstance(source, str) else source.response)

    def offer(self, answer: Answer) -> None:
        """Remember the best answer so far: it is returned if the budget ends before the method does."""
        self.best = answer

    async def oracle(self, response: str) -> Verdict:
        """Ask the task's verifier.  No honest method can do that at test time: it is counted, and reports flag it.

        Raises BudgetExhausted, and UserError in a run without a task.
        """
        if self._oracle is None:
            raise UserError("this method asks the oracle, but the run has no task to ask; choose one with --task")
        self._meter.oracle()
        return await self._oracle(response)

    async def close(self) -> None:
        """End the attempt: tasks that the method left behind are cancelled, so that nothing is spent unseen."""
        self._meter.closed = True
        left_behind = [task for task in self._tasks if not task.done()]
        for task in left_behind:
            task.cancel()
        if left_behind:
            await asyncio.wait(left_behind, timeout=CLOSE_TIMEOUT)

    def finish_of(self, node: int | None) -> Finish:
        """Why the sample at a node of the trace ended."""
        return self._unfinished.get(-1 if node is None else node, "stop")

    async def _draw(
        self, path: tuple[int, ...], source: Question | Chain, n: int | None, sampling: Sampling
    ) -> list[Chain]:
        task = asyncio.current_task()
        if task is not None and task is not self._root.task:
            self._tasks.add(task)
        messages, parent, prefix = self._context(source)
        said = "" if isinstance(source, Question) else source.response
        prompt = self._prompt_tokens(messages, prefix) if self._meter.budget.total_tokens is not None else 0
        chains: list[Chain] = []
        wave = 0
        while n is None or len(chains) < n:
            grant = await self._meter.reserve(prompt, None if n is None else n - len(chains), sampling.max_tokens)
            if grant is None:
                break
            clipped = grant.max_tokens < sampling.max_tokens
            settings = sampling.but(max_tokens=grant.max_tokens) if clipped else sampling
            seed = call_seed(self._seed, self._question.id, path, wave)
            completions = await self._call(grant, Request(messages, settings, grant.n, seed, prefix))
            if completions is None:
                break
            parent = self._prompt_node(messages, completions[0].prompt) if parent is None else parent
            chains += self._keep(parent, completions, said, clipped)
            wave += 1
            if n is None and not any(c.usage.sampled_tokens for c in completions):
                break  # a policy that samples nothing never spends the budget
        if n is not None and len(chains) < n:
            self.cut = True
        if not chains:
            raise BudgetExhausted("the budget has no room for another sample")
        return chains

    async def _call(self, grant: Grant, request: Request) -> list[Completion] | None:
        """The policy's samples, or `None` if the time was up first."""
        try:
            completions = await self._in_time(self._policy.sample(request))
        except BudgetExhausted:
            self._meter.write_off(grant)
            return None
        except asyncio.CancelledError:
            self._meter.write_off(grant)
            raise
        except BaseException:
            self._meter.waive(grant)
            raise
        self._meter.settle(grant, completions, self._policy.name)
        return completions

    async def _in_time(self, call: Awaitable[B]) -> B:
        seconds = self._meter.seconds_left
        if seconds is None:
            return await call
        clock = asyncio.timeout(seconds)
        try:
            async with clock:
                return await call
        except TimeoutError:
            if not clock.expired():
                raise
            raise BudgetExhausted(f"the {self._meter.budget.seconds:g} s of the budget are over") from None

    def _keep(self, parent: int, completions: list[Completion], said: str, clipped: bool) -> list[Chain]:
        """Hang samples below a node.  Written into the list of nodes at once, because this is the driver's hot path."""
        nodes, chains = self._trace.nodes, []
        for node, completion in enumerate(completions, start=len(nodes)):
            segment, finish = completion.segment, completion.finish
            if clipped and finish == "length":
                finish = "budget"
            if finish != "stop":
                self._unfinished[node] = finish
            nodes.append(Node(parent, segment))
            chains.append(Chain(node, segment.text, said + segment.text, finish, segment.logprobs))
        return chains

    def _prompt_node(self, messages: tuple[Message, ...], prompt: Segment) -> int:
        """The node of a prompt.  The first is the root; another hangs below it and begins a context of its own."""
        node = self._prompts.get(messages)
        if node is None:
            node = self._trace.add(0 if self._trace.nodes else -1, prompt)
            self._prompts[messages], self._messages[node] = node, messages
        return node

    def _context(self, source: Question | Chain) -> tuple[tuple[Message, ...], int | None, tuple[Segment, ...]]:
        """Messages, node to hang from (unknown before the first call) and what was said since the last prompt."""
        if isinstance(source, Question):
            return source.messages, self._prompts.get(source.messages), ()
        node, said = source.node, []
        while node not in self._messages:
            said.append(self._trace.nodes[node].segment)
            node = self._trace.nodes[node].parent
        return self._messages[node], source.node, tuple(reversed(said))

    def _prompt_tokens(self, messages: tuple[Message, ...], prefix: tuple[Segment, ...]) -> int:
        if messages not in self._lengths:
            encode = getattr(self._policy, "encode", None)
            if encode is None:
                raise Unsupported(
                    f"{self._policy.name} cannot count a prompt before it is sent, so total_tokens cannot be limited; "
                    "limit sampled_tokens, or use --policy tiny, smollm2 or hf:FOLDER"
                )
            self._lengths[messages] = len(encode(messages))
        return self._lengths[messages] + sum(len(s.ids) for s in prefix)

    def _next_path(self) -> tuple[int, ...]:
        scope = _SCOPE.get(self._root)
        if scope.lm is not self:
            scope = self._root
        if scope.task is not asyncio.current_task():
            scope = _Scope(self, scope.next())
            _SCOPE.set(scope)
        return scope.next()


def call_seed(seed: int, question_id: str, path: tuple[int, ...], wave: int = 0) -> int:
    """63 bits that depend on the run's seed, the question and the place of the call alone."""
    digest = hashlib.blake2b(f"{seed}\x1f{question_id}\x1f{path}\x1f{wave}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
