"""`LM`: a policy as seen by one attempt at one question, and the only thing a method can act with.

It meters and limits what is spent, gives every call a seed that follows from the run's seed, the question and the
place of the call in the method (never from timing), and writes everything that is sampled into the `Trace`.  Task,
problem and reference are not reachable from it (see `desk`); `oracle` asks the verifier, and is counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from trivium.errors import BudgetExhausted, UnknownName, Unsupported, UserError
from trivium.sandbox import Backend, Limits, Outcome, Suspended, run_program, start_program
from trivium.sandbox.outcome import DEFAULT_LIMITS
from trivium.search.attempt import SCOPE, Attempt, Scope, call_seed
from trivium.search.desk import Verb
from trivium.search.meter import Grant
from trivium.search.reading import Place
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
    Source,
    Verdict,
)
from trivium.verify.parse import parse_answer

A = TypeVar("A")
B = TypeVar("B")
WAVE = 8
"""Samples drawn at a time until the time is up: few enough that the wave which is lost then is small."""
Scorer = Callable[[Question, str], float | Awaitable[float]]
"""A judgement of a response that needs no reference: higher is better."""
_NAME_ERROR: Any = object()


class Chain(NamedTuple):  # and no dataclass, which takes three times as long to make: there is one for every sample
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


def turn(question: Question, *messages: Message) -> Question:
    """The question with more messages after it, to be asked as a context of its own."""
    return replace(question, messages=(*question.messages, *messages))


def reworded(question: Question, before: str, after: str) -> Question:
    """The question with text around its last message: not as a second turn of the user, which some templates refuse."""
    *earlier, last = question.messages
    return replace(question, messages=(*earlier, Message(last.role, f"{before}{last.content}{after}")))


class LM:
    """What a method gets beside its question.

    The seed of a call depends on the calls before it in the same `asyncio` task, and a task is numbered when it first
    calls; `map` numbers its branches itself, so use it where branches wait for other things first.
    """

    __slots__ = ("_attempt", "_meter", "_policy", "_reading", "_trace", "sampling")

    def __init__(self, attempt: Attempt, policy: Policy) -> None:
        self.sampling = attempt.sampling
        self._attempt, self._policy = attempt, policy
        self._trace, self._meter, self._reading = attempt.trace, attempt.meter, attempt.reading(policy)

    def voice(self, name: str) -> LM:
        """The same attempt, with the same budget, trace and seeds, through another policy of the run.

        Raises UnknownName for a voice that the run does not have.
        """
        voices = self._attempt.voices
        if name not in voices:
            raise UnknownName("voice", name, voices, f"Give it a policy: --voice {name}=POLICY")
        return LM(self._attempt, voices[name])

    @property
    def voices(self) -> tuple[str, ...]:
        """The names that `voice` knows, in the run's order."""
        return tuple(self._attempt.voices)

    @property
    def left(self) -> Mapping[str, float]:
        """What remains of the budget in each unit; `inf` where there is no limit."""
        return self._meter.left

    @property
    def limited(self) -> bool:
        """Whether calls may be refused or cut for anything but the time, so that their order matters."""
        return self._meter.limited

    def need_limit(self) -> None:
        """Raise UserError where going on until the budget is spent would never end."""
        if not self._meter.limits_tokens and self._meter.seconds_left is None:
            raise UserError(
                "n=none goes on until the budget is spent; give one of sampled_tokens or seconds, or a number"
            )

    def sample(
        self, source: Question | Chain, *, n: int | None = 1, **changes: Any
    ) -> Coroutine[Any, Any, list[Chain]]:
        """Draw `n` continuations of a question, or of a chain; `n=None` draws until the budget is spent: all that the
        tokens allow at once, or `WAVE` at a time where only the time is limited.

        `changes` are fields of `Sampling` that differ from the run's, such as `temperature=0`.  Where the budget does
        not allow all, fewer or shorter ones come back (a chain cut short has finish `budget`).  Raises BudgetExhausted
        when there is none at all, and Unsupported for a setting the policy cannot honour.
        """
        if n is not None and n < 1:
            raise UserError(f"n={n} samples were asked for; expected 1 or more")
        if n is None:
            self.need_limit()
        # The place of the call is fixed here, when it is written, and not when it is awaited.
        return self._draw(
            self._attempt.next_path(), source, n, self.sampling.but(**changes) if changes else self.sampling
        )

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
        if not self.scores:
            raise Unsupported(f"{self._policy.name} cannot score given tokens; use --policy tiny, smollm2 or hf:FOLDER")
        self._attempt.join()
        messages, _, prefix = self._context(source)
        tokens = self._reading.tokens(messages, prefix) + sum(len(c.ids) for c in continuations)
        request = Request(messages, self.sampling, len(continuations), prefix=prefix)
        grant = await self._meter.reserve_score(tokens)
        scores = await self._charged(grant, self._policy.score(request, continuations))
        self._meter.book(grant)
        return scores

    def value(
        self, source: Chain | str, by: str | Scorer = "logprob", *, question: Question | None = None
    ) -> Coroutine[Any, Any, float]:
        """A judgement of a chain, or of a response, as an answer to `question` (`None`: the attempt's own).

        `by` is a spec of `trivium.search.value.VALUES`, such as `logprob`, `self:n=4` or `rollout`, all of them in
        [0, 1]; or a function of (question, response), or its address `package.module:function`, with a range of its
        own.  Higher is better.  Raises UnknownName for another name, and UserError for a judgement that is no number.
        """
        return self._value(self._attempt.next_path(), source, by, question or self._attempt.question)

    async def values(
        self, sources: Sequence[Chain | str], by: str | Scorer = "logprob", *, question: Question | None = None
    ) -> list[float]:
        """`value` of each, in order, by `map`."""
        return await self.map(lambda source: self.value(source, by, question=question), sources)

    async def map(self, function: Callable[[A], Awaitable[B]], items: Iterable[A]) -> list[B]:
        """`function` of every item, in order: concurrently, and the first failure is raised when all have ended.

        Where the budget is `limited` one after the other up to the first failure, so that no timing decides who gets
        the last of it.
        """
        place = self._attempt.next_path()

        async def branch(i: int, item: A) -> B:
            with self._at((*place, i)):
                return await function(item)

        if self.limited:
            return [await branch(i, x) for i, x in enumerate(items)]
        results = await asyncio.gather(*(branch(i, x) for i, x in enumerate(items)), return_exceptions=True)
        done: list[B] = []
        for result in results:
            if isinstance(result, BaseException):
                raise result
            done.append(result)
        return done

    def answer(self, source: str | Chain) -> str | None:
        """The answer in a response, in the question's own answer format; `None` where there is none."""
        return parse_answer(
            self._attempt.question.answer_format, source if isinstance(source, str) else source.response
        )

    def offer(self, answer: Answer) -> None:
        """Remember the best answer so far: it is returned if the budget ends before the method does."""
        self._attempt.best = answer

    async def oracle(self, response: str) -> Verdict:
        """Ask the task's verifier.  No honest method can do that at test time: it is counted, and reports flag it.

        Raises BudgetExhausted, and UserError in a run without a task.
        """
        if self._attempt.desk.task is None:
            raise UserError("this method asks the oracle, but the run has no task to ask; choose one with --task")
        self._meter.oracle()
        verdict: Verdict = await self._ask("oracle", response)
        return verdict

    async def reset(self) -> str:
        """Begin an episode in the problem's environment, and see what is seen first.  Costs nothing.

        Raises UserError in a run whose task has no environment, and RunError when the environment fails.
        """
        self._need_environment()
        seen: str = await self._ask("reset", "")
        return seen

    async def act(self, action: str) -> tuple[str, bool]:
        """Do an action in the environment: what is seen then, and whether the episode is over.  One tool step.

        Raises BudgetExhausted, UserError and RunError as `reset` does; RunError too before the first `reset` and after
        the end of an episode.
        """
        self._need_environment()
        self._meter.tool()
        seen: tuple[str, bool] = await self._ask("act", action)
        return seen

    @property
    def episode(self) -> asyncio.Lock:
        """An attempt has one environment, so episodes take turns: `async with lm.episode:` around `reset` and `act`."""
        return self._attempt.world

    async def run(
        self,
        code: str,
        *,
        inputs: Mapping[str, Any] = {},
        backend: Backend = "monty",
        limits: Limits = DEFAULT_LIMITS,
    ) -> Outcome:
        """Run a program in the sandbox, with `inputs` as its globals.  One tool step.

        What goes wrong in the program or the sandbox is in the outcome.  Raises BudgetExhausted, and UserError where
        the back end does not exist or cannot isolate on this machine.
        """
        return await self._tool(lambda: run_program(code, inputs=inputs, limits=limits, backend=backend))

    async def start(
        self, code: str, *, inputs: Mapping[str, Any] = {}, limits: Limits = DEFAULT_LIMITS
    ) -> Outcome | Suspended:
        """`run` up to the end or to the first name that nobody defined, which `resume` answers.  One tool step."""
        return await self._tool(lambda: start_program(code, inputs=inputs, limits=limits))

    async def resume(self, state: Suspended, value: Any = _NAME_ERROR) -> Outcome | Suspended:
        """Go on as if the undefined name had that value; without a value, with Python's NameError.  One tool step."""
        return await self._tool(state.undefined if value is _NAME_ERROR else lambda: state.resume(value))

    def begin(self, question: Question) -> Chain:
        """The empty chain at a question's prompt: the root of a tree, or what `tell` puts a forced prefix after."""
        return Chain(self._reading.begin(question.messages), "", "", "stop", ())

    def tell(self, chain: Chain, text: str, source: Source = "tool") -> Chain:
        """The chain with text after it that nobody sampled: what a tool returned, an observation, a forced prefix.

        `extend` goes on from there on the same token ids; the text is paid as prompt when it is next read.
        """
        encode = getattr(self._policy, "encode_text", None)
        ids = () if encode is None else tuple(encode(text))
        node = self._trace.add(chain.node, Segment(source, ids, (), text))
        return Chain(node, text, chain.response + text, "stop", ())

    def note(
        self,
        node: Chain | int,
        *,
        visits: int | None = None,
        value: float | None = None,
        score: float | None = None,
        note: str | None = None,
    ) -> None:
        """Write statistics into a node of the trace; what is not given stays as it is."""
        at = self._trace.nodes[node.node if isinstance(node, Chain) else node]
        at.visits = at.visits if visits is None else visits
        at.value = at.value if value is None else value
        at.score = at.score if score is None else score
        at.note = at.note if note is None else note

    def path(self, chain: Chain) -> tuple[Segment, ...]:
        """All segments of a chain since its prompt, in order."""
        return self._reading.since_prompt(chain.node)[1]

    def sampled(self, chain: Chain) -> int:
        """The tokens on a chain that its policy sampled: those it shows, or else those it charged, and one at least."""
        charged, node, tokens = self._attempt.charged, chain.node, 0
        while node >= 0:
            at, said = node, self._trace.nodes[node].segment
            node = self._trace.nodes[node].parent
            if said.source == "model":
                tokens += len(said.ids) or len(said.logprobs) or max(1, charged.get(at, 1))
        return tokens

    def count_judgement(self) -> None:
        """Count one judgement by a policy; its calls and tokens are charged as any."""
        self._meter.judge()

    @property
    def scores(self) -> bool:
        """Whether the policy can `score`."""
        return "score" in self._policy.capabilities

    def encode(self, text: str) -> tuple[int, ...]:
        """The policy's token ids of a text within a response, such as a continuation to `score`."""
        return tuple(self._reading.encode_text(text))

    async def _value(self, place: tuple[int, ...], source: Chain | str, by: str | Scorer, question: Question) -> float:
        from trivium.search.value import judgement  # which imports this module

        with self._at(place):
            return await judgement(by)(question, self, source)

    @contextmanager
    def _at(self, place: tuple[int, ...]) -> Iterator[None]:
        """Number the calls made within from a place."""
        token = SCOPE.set(Scope(self._attempt.key, place))
        try:
            yield
        finally:
            SCOPE.reset(token)

    async def _tool(self, call: Callable[[], B]) -> B | Outcome:
        self._attempt.join()
        self._meter.tool()
        try:
            return await self._in_time(asyncio.to_thread(call))
        except (UserError, BudgetExhausted):
            raise
        except Exception as error:
            return Outcome("error", None, "", type(error).__name__, str(error))

    async def _ask(self, verb: Verb, text: str) -> Any:
        self._attempt.join()
        return await self._in_time(self._attempt.desk.ask(verb, text))

    def _need_environment(self) -> None:
        desk = self._attempt.desk
        if not desk.acting:
            raise UserError(
                f"this method acts in an environment, but {'the run has no task' if desk.task is None else desk.task}"
                f"{'' if desk.task is None else ' has none'}; choose a task with an environment: trivium list tasks"
            )

    async def _draw(
        self, path: tuple[int, ...], source: Question | Chain, n: int | None, sampling: Sampling
    ) -> list[Chain]:
        self._attempt.join()
        messages, parent, prefix = self._context(source)
        said = "" if isinstance(source, Question) else source.response
        prompt = self._reading.tokens(messages, prefix) if self._meter.budget.total_tokens is not None else 0
        chains: list[Chain] = []
        wave = 0
        while n is None or len(chains) < n:
            asked = n - len(chains) if n is not None else None if self._meter.limits_tokens else WAVE
            grant = await self._meter.reserve(prompt, asked, sampling.max_tokens)
            if grant is None:
                break
            clipped = grant.max_tokens < sampling.max_tokens
            settings = sampling.but(max_tokens=grant.max_tokens) if clipped else sampling
            seed = call_seed(self._attempt.seed, self._attempt.question.id, path, wave)
            completions = await self._call(grant, Request(messages, settings, grant.n, seed, prefix))
            if completions is None:
                break
            parent = self._reading.node_of(messages, completions[0].prompt) if parent is None else parent
            chains += self._keep(parent, completions, said, clipped)
            wave += 1
            if n is None and not any(c.usage.sampled_tokens for c in completions):
                break  # a policy that samples nothing never spends the budget
        if n is not None and len(chains) < n:
            self._attempt.cut = True
        if not chains:
            raise BudgetExhausted("the budget has no room for another sample")
        return chains

    async def _call(self, grant: Grant, request: Request) -> list[Completion] | None:
        """The policy's samples, or `None` if the time was up first."""
        try:
            completions = await self._charged(grant, self._policy.sample(request))
        except BudgetExhausted:
            return None
        self._meter.settle(grant, completions, self._policy.name)
        return completions

    async def _charged(self, grant: Grant, call: Awaitable[B]) -> B:
        """What a call to the policy gives; one that is broken off is booked in full, one that is refused is free."""
        try:
            return await self._in_time(call)
        except (BudgetExhausted, asyncio.CancelledError):
            self._meter.book(grant)
            raise
        except BaseException:
            self._meter.waive(grant)
            raise

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
                self._attempt.unfinished[node] = finish
            if not segment.ids and not segment.logprobs:
                self._attempt.charged[node] = completion.usage.sampled_tokens
            nodes.append(Node(parent, segment))
            chains.append(Chain(node, segment.text, said + segment.text, finish, segment.logprobs))
        return chains

    def _context(self, source: Question | Chain) -> Place:
        if isinstance(source, Question):
            return self._reading.of_question(source.messages)
        return self._reading.of_chain(source.node, source.response)
