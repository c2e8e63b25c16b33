"""The verbs of `LM`: what each does, costs and writes; that timing changes nothing; and what cannot be reached."""

from __future__ import annotations

import asyncio
import functools
import math
import sys
import time
import types
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from attempts import Jittery, Mute, Poll, in_any_concurrency
from hypothesis import given, settings
from hypothesis import strategies as st

from trivium.errors import BudgetExhausted, ContextFull, RunError, UnknownName, Unsupported, UserError
from trivium.policies import policy
from trivium.policies.scripted import Scripted, Turn, rambling, replies, sums
from trivium.sandbox import Limits, Outcome, Suspended
from trivium.search.driver import Method, solve
from trivium.search.lm import LM, Chain, turn
from trivium.search.value import DOUBT
from trivium.types import (
    Answer,
    Budget,
    Completion,
    Interactive,
    Message,
    Policy,
    Problem,
    Question,
    Request,
    Sampling,
    Segment,
    Split,
    Trace,
    Usage,
    Verdict,
)

SECRET = "the reference nobody may see"
PROMPT = "user: What is 41 + 87 - 35?\nassistant: "


def problem(i: int = 0, text: str = "What is 41 + 87 - 35?") -> Problem:
    question = Question(f"q{i}", (Message("user", text),), "number")
    return Problem(question, {"value": "93", "note": SECRET}, "Answer: 93", f"k{i}", "test", "toy")


PROBLEMS = [problem(i, f"What is {i + 11} + 87 - 35?") for i in range(20)]


@dataclass
class Corridor:
    """A world of one dimension; its place is the reference's business."""

    goal: int
    secret: str
    at: int = 0

    def reset(self) -> str:
        self.at = 0
        return "at 0"

    def step(self, action: str) -> tuple[str, bool]:
        if action == "break":
            raise ZeroDivisionError("the world is broken")
        if action == "hang":
            time.sleep(20)
        if action == "lie":
            return None, 3  # type: ignore[return-value]
        self.at += {"east": 1, "west": -1}.get(action, 0)
        return f"at {self.at}", self.at == self.goal


@dataclass
class Still:
    """A task without an environment."""

    name: str = "still"
    summary: str = ""
    max_tokens: int = 80

    def problems(self, split: Split, n: int, seed: int = 0) -> list[Problem]:
        return PROBLEMS[:n]

    def verify(self, problem: Problem, response: str) -> Verdict:
        return Verdict.right() if response.endswith(problem.reference["value"]) else Verdict.wrong()


@dataclass
class World(Still):
    """A task to act in."""

    name: str = "world"
    made: list[Corridor] = field(default_factory=list)

    def environment(self, problem: Problem) -> Corridor:
        self.made.append(Corridor(2, problem.reference["note"]))
        return self.made[-1]


def attempt(how: Method, model: Policy | None = None, budget: Budget | None = None, **options: Any) -> Trace:
    [trace] = solve(how, [problem()], model or policy("scripted"), budget=budget, **options)
    return trace


def told(how: Any) -> Method:
    """A method out of a coroutine function that returns any value, which is written as the answer."""

    async def method(question: Question, lm: LM) -> Answer:
        return Answer(repr(await how(question, lm)), "")

    return method


def result(how: Any, model: Policy | None = None, budget: Budget | None = None, **options: Any) -> str:
    trace = attempt(told(how), model, budget, **options)
    assert not trace.error, trace.error
    return trace.answer or ""


def test_a_turn_is_a_question_of_its_own() -> None:
    question = problem().question
    more = turn(question, Message("assistant", "93"), Message("user", "Sure?"))
    assert (more.id, more.answer_format) == (question.id, question.answer_format)
    assert more.messages == (*question.messages, Message("assistant", "93"), Message("user", "Sure?"))
    assert len(question.messages) == 1


# Voices


def loud(text: str, name: str = "loud") -> Scripted:
    return Scripted(lambda t: text, name)


def test_voices_share_the_budget_the_trace_and_the_end_of_the_attempt() -> None:
    async def talk(question: Question, lm: LM) -> Answer:
        assert lm.voices == ("b", "a") == lm.voice("a").voices
        _ = await lm.sample(question, max_tokens=40)
        [theirs] = await lm.voice("b").sample(question, max_tokens=40)
        assert lm.left == lm.voice("b").left
        lm.voice("b").offer(theirs.answering(theirs.text))
        await lm.voice("a").sample(question, max_tokens=40)
        await lm.sample(question, max_tokens=1)
        raise AssertionError("the budget is spent")

    trace = attempt(talk, budget=Budget(calls=3), voices={"b": loud("bee"), "a": loud("ay")})
    assert (trace.answer, trace.finish, trace.usage.calls, trace.error) == ("bee", "budget", 3, "")
    said = [node.segment.text for node in trace.nodes if node.segment.source == "model"]
    assert said[1:] == ["bee", "ay"]
    assert sum(node.segment.source == "prompt" for node in trace.nodes) == 3, "each voice read a prompt of its own"


def test_an_unknown_voice_says_which_there_are() -> None:
    async def talk(question: Question, lm: LM) -> None:
        lm.voice("jugde")

    with pytest.raises(UnknownName, match=r"(?s)judge.*--voice jugde=POLICY"):
        attempt(told(talk), voices={"judge": loud("x")})


class Foreign(Scripted):
    """The same letters under other ids."""

    def encode(self, messages: Sequence[Message]) -> tuple[int, ...]:
        return tuple(i + 1 for i in Scripted.encode(self, messages))


class TextOnly(Scripted):
    """Tells no ids, as a chat endpoint."""

    encode = None  # type: ignore[assignment]
    encode_text = None  # type: ignore[assignment]
    capabilities = frozenset({"prefix"})  # type: ignore[assignment]

    async def sample(self, request: Request) -> list[Completion]:
        return [
            replace(c, prompt=replace(c.prompt, ids=()), segment=Segment("model", text=c.text))
            for c in await Scripted.sample(self, request)
        ]


@pytest.mark.parametrize(
    ("first", "second", "allowed"),
    [
        (Scripted(sums()), Scripted(sums(), "twin"), True),
        (Scripted(sums()), Foreign(sums(), "foreign"), False),
        (Foreign(sums(), "foreign"), Scripted(sums()), False),
        (TextOnly(sums(), "text"), Scripted(sums()), True),
        (Scripted(sums()), TextOnly(sums(), "text"), True),
    ],
)
def test_a_chain_goes_on_in_another_voice_only_if_both_mean_the_same_ids(
    first: Policy, second: Policy, allowed: bool
) -> None:
    async def relay(question: Question, lm: LM) -> Answer:
        [chain] = await lm.sample(question, stop=("\n",))
        [end] = await lm.voice("second").extend(chain)
        return end.answering(lm.answer(end))

    if allowed:
        assert attempt(relay, first, voices={"second": second}).response == "41 + 87 = 128\n128 - 35 = 93\nAnswer: 93"
    else:
        with pytest.raises(Unsupported, match="a question of its own"):
            attempt(relay, first, voices={"second": second})


def test_a_root_that_another_voice_begun_is_read_through_the_own_template() -> None:
    async def relay(question: Question, lm: LM) -> Answer:
        [chain] = await lm.voice("second").extend(lm.begin(question))
        return chain.answering("")

    trace = attempt(relay, voices={"second": Foreign(sums(), "foreign")})
    assert [s.source for s in trace.path(trace.answer_node or 0)] == ["prompt", "prompt", "model"]


# Told text, roots and notes


def test_told_text_is_read_but_never_charged_as_sampled() -> None:
    seen: list[str] = []

    def script(t: Turn) -> str:
        seen.append(t.said)
        return "and on"

    async def acts(question: Question, lm: LM) -> Answer:
        root = lm.begin(question)
        start = lm.tell(root, "Step 1:", source="prompt")
        [step] = await lm.extend(start)
        after = lm.tell(step, " [it rains] ", source="environment")
        [end] = await lm.extend(after)
        lm.note(end, visits=3, value=0.5, note="leaf")
        lm.note(root, score=0.25)
        lm.note(end.node, visits=4)
        assert [s.text for s in lm.path(end)] == ["Step 1:", "and on", " [it rains] ", "and on"]
        return end.answering("x")

    trace = attempt(acts, Scripted(script), Budget(total_tokens=10_000))
    assert seen == ["Step 1:", "Step 1:and on [it rains] "]
    assert trace.response == "Step 1:and on [it rains] and on"
    sources = ["prompt", "prompt", "model", "environment", "model"]
    assert [n.segment.source for n in trace.nodes] == sources
    assert trace.nodes[0].segment.ids == tuple(PROMPT.encode())
    assert trace.nodes[3].segment.ids == tuple(b" [it rains] ")
    assert trace.usage.sampled_tokens == 2 * 7
    assert trace.usage.prompt_tokens == 2 * len(PROMPT) + 7 + (7 + 7 + 12)
    leaf = trace.nodes[-1]
    assert (leaf.visits, leaf.value, leaf.score, leaf.note) == (4, 0.5, None, "leaf")
    assert trace.nodes[0].score == 0.25


def test_a_root_is_the_prompt_that_samples_hang_from() -> None:
    async def both(question: Question, lm: LM) -> Answer:
        root = lm.begin(question)
        [a] = await lm.sample(question)
        [b] = await lm.extend(lm.begin(question))
        assert lm.begin(question) == root
        return b.answering(a.response)

    trace = attempt(both)
    assert [n.parent for n in trace.nodes] == [-1, 0, 0]


def test_text_without_ids_is_counted_by_whoever_reads_it() -> None:
    async def relay(question: Question, lm: LM) -> Answer:
        [chain] = await lm.voice("text").sample(question, max_tokens=20)
        [end] = await lm.extend(chain, max_tokens=20)
        return end.answering(None)

    with pytest.raises(Unsupported, match="limit sampled_tokens"):
        attempt(relay, budget=Budget(total_tokens=500), voices={"text": TextOnly(sums(), "text")})
    trace = attempt(relay, budget=Budget(sampled_tokens=30), voices={"text": TextOnly(sums(), "text")})
    assert trace.usage.sampled_tokens == 30


# Values


def test_logprob_is_the_geometric_mean_over_all_sampled_tokens() -> None:
    async def look(question: Question, lm: LM) -> tuple[float, float, float]:
        [one] = await lm.sample(question, stop=("\n",))
        [two] = await lm.extend(lm.tell(one, "told"))
        logprobs = (*one.logprobs, *two.logprobs)
        return await lm.value(two), math.exp(sum(logprobs) / len(logprobs)), await lm.value(lm.begin(question))

    value, expected, nothing = eval(result(look))
    assert value == pytest.approx(expected)
    assert 0 < value <= 1
    assert nothing == 0.0


def test_self_is_the_share_that_the_policy_gives_to_yes() -> None:
    async def doubt(question: Question, lm: LM) -> float:
        [chain] = await lm.sample(question)
        return await lm.value(chain, "self")

    trace = attempt(told(doubt))
    table = Scripted(sums())
    yes, no = asyncio.run(table.score(Request(()), [Segment("model", tuple(w)) for w in (b"yes", b"no")]))
    p = [math.exp(sum(x)) for x in (yes, no)]
    assert float(trace.answer or "") == pytest.approx(p[0] / sum(p))
    asked = len(f"user: What is 41 + 87 - 35?\nassistant: 41 + 87 = 128\n128 - 35 = 93\nAnswer: 93\nuser: {DOUBT}\n")
    used = replace(trace.usage, seconds=0.0)
    assert used == Usage(len(PROMPT) + asked + len("assistant: ") + 5, 0, 39, 2, judge_calls=1)


@pytest.mark.parametrize(("lines", "value"), [("Yes.", 1.0), ("no", 0.0), ("well", 0.5), (["yes", "No"], None)])
def test_self_of_a_policy_that_cannot_score_is_a_poll(lines: Any, value: float | None) -> None:
    async def doubt(question: Question, lm: LM) -> float:
        return await lm.value("Answer: 93", "self:n=8")

    trace = attempt(told(doubt), Mute(replies({DOUBT: lines})))
    found = float(trace.answer or "")
    assert found == value or (value is None and 0 < found < 1)
    assert (trace.usage.judge_calls, trace.usage.calls) == (1, 1)
    assert trace.usage.sampled_tokens > 0


def test_self_of_a_response_that_fills_the_context_is_undecided() -> None:
    class Short(Scripted):
        async def score(self, request: Request, continuations: Sequence[Segment]) -> list[tuple[float, ...]]:
            raise ContextFull("the prompt has 70 tokens but it reads at most 64")

    async def doubt(question: Question, lm: LM) -> float:
        return await lm.value("Answer: 93", "self")

    assert result(doubt, Short(sums())) == "0.5"


def test_rollout_is_the_share_of_the_most_common_answer() -> None:
    lines = iter(["start\n", "Answer: 3", "no idea", "Answer: 4", "Answer: 3"])

    async def finish(question: Question, lm: LM) -> float:
        [chain] = await lm.sample(question, stop=("\n",))
        return await lm.value(chain, "rollout:n=4")

    assert result(finish, Scripted(lambda t: next(lines))) == "0.5"


def test_values_by_the_oracle_by_a_function_and_by_its_address() -> None:
    async def judge(question: Question, lm: LM) -> list[object]:
        async def later(q: Question, response: str) -> float:
            await asyncio.sleep(0)
            return float(q.messages[0].content.count("+"))

        other = replace(question, messages=(Message("user", "1 + 2 + 3"),))
        texts = ["long text 93", "9"]
        return [
            await lm.values(texts, "oracle"),
            await lm.values(texts, lambda q, r: len(r)),
            await lm.values(texts, "attempts:length"),
            await lm.value("", later, question=other),
        ]

    trace = attempt(told(judge), task=Still())
    assert trace.answer == "[[1.0, 0.0], [12.0, 1.0], [12.0, 1.0], 2.0]"
    assert trace.usage.oracle_calls == 2


def test_arithmetic_is_the_share_of_true_equations_and_neither_asks_nor_costs() -> None:
    async def judge(question: Question, lm: LM) -> list[float]:
        return await lm.values(["41+52=93\nso 93", "41+52=93\n93-1=91", "4+5=8", "93"], "arithmetic")

    trace = attempt(told(judge), task=Still())
    assert trace.answer == "[1.0, 0.5, 0.0, 0.5]"
    assert (trace.usage.oracle_calls, trace.usage.calls, trace.usage.sampled_tokens) == (0, 0, 0)


@pytest.mark.parametrize(
    ("by", "message"),
    [
        ("logprop", "Did you mean logprob"),
        ("self:m=3", "option of value self"),
        ("logprob", "judges a chain"),
        ("rollout", "judges a chain"),
        ("math:pi", "no function"),
        (lambda q, r: None, "expected a number"),
        (lambda q, r: math.nan, "expected a number"),
        ("oracle", "--task"),
    ],
)
def test_values_that_cannot_be(by: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        attempt(told(lambda question, lm: lm.value("text", by)))


# Programs


def test_a_program_is_one_tool_step_and_its_failures_are_outcomes() -> None:
    async def compute(question: Question, lm: LM) -> list[object]:
        good = await lm.run("x * 2", inputs={"x": 21})
        bad = await lm.run("1 / 0")
        odd = await lm.run("x", inputs={"x": object()})
        return [good.value, bad.error, odd.status]

    trace = attempt(told(compute))
    assert trace.answer == "[42, 'ZeroDivisionError', 'error']"
    assert trace.usage.tool_steps == 3


def test_a_program_asks_for_names_and_goes_on() -> None:
    async def emulate(question: Question, lm: LM) -> list[object]:
        state = await lm.start("tone('great') + ' ' + shade", inputs={})
        assert isinstance(state, Suspended)
        assert (state.name, state.args, state.is_call) == ("tone", ("great",), True)
        state = await lm.resume(state, "positive")
        assert isinstance(state, Suspended)
        assert (state.name, state.is_call) == ("shade", False)
        end, fault = await lm.resume(state, "blue"), await lm.resume(state)
        assert isinstance(end, Outcome)
        assert isinstance(fault, Outcome)
        return [end.value, fault.error]

    trace = attempt(told(emulate))
    assert trace.answer == "['positive blue', 'NameError']"
    assert trace.usage.tool_steps == 4


def test_tool_steps_are_never_exceeded_even_concurrently() -> None:
    async def greedy(question: Question, lm: LM) -> Answer:
        lm.offer(Answer("so far", ""))
        await asyncio.gather(*(lm.run(f"{i}") for i in range(5)))
        raise AssertionError("unreachable")

    trace = attempt(greedy, budget=Budget(tool_steps=3))
    assert (trace.answer, trace.finish, trace.usage.tool_steps) == ("so far", "budget", 3)


def test_a_program_that_runs_for_ever_ends_with_the_time() -> None:
    async def spin(question: Question, lm: LM) -> Answer:
        lm.offer(Answer("early", ""))
        await lm.run("while True: pass", limits=Limits(seconds=0.3))
        raise AssertionError("unreachable")

    assert attempt(spin, budget=Budget(seconds=0.1)).answer == "early"
    assert "timeout" in result(lambda q, lm: lm.run("while True: pass", limits=Limits(seconds=0.1)))


def test_an_unknown_back_end_is_a_mistake_in_the_set_up() -> None:
    with pytest.raises(UnknownName, match="monty"):
        attempt(told(lambda q, lm: lm.run("1", backend="montty")))


# Environments


def test_acting_in_a_world_until_it_is_over() -> None:
    async def walk(question: Question, lm: LM) -> list[object]:
        return [await lm.reset(), await lm.act("east"), await lm.act("east"), await lm.reset(), await lm.act("west")]

    task = World()
    assert isinstance(task, Interactive)
    traces = solve(told(walk), PROBLEMS, policy("scripted"), task=task)
    expected = "['at 0', ('at 1', False), ('at 2', True), 'at 0', ('at -1', False)]"
    assert [t.answer for t in traces] == [expected] * len(PROBLEMS)
    assert all(t.usage.tool_steps == 3 for t in traces)
    assert len(task.made) == len(PROBLEMS), "each attempt has a world of its own"


def test_a_world_that_hangs_is_left_to_itself() -> None:
    async def walk(question: Question, lm: LM) -> list[object]:
        seen: list[object] = [await lm.reset(), await lm.act("east")]
        for action in ("hang", "east"):
            with pytest.raises(RunError):
                await lm.act(action)
        return [*seen, await lm.reset(), await lm.act("east")]

    task = World()
    [trace] = solve(told(walk), PROBLEMS[:1], policy("scripted"), task=task, verify_timeout=0.2)
    assert trace.answer == "['at 0', ('at 1', False), 'at 0', ('at 1', False)]"
    assert [world.at for world in task.made] == [1, 1], "the step that hangs still has the first one as it was"


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (["east"], "reset"),
        (["reset", "east", "east", "east"], "reset"),
        (["reset", "break"], "ZeroDivisionError: the world is broken"),
        (["reset", "lie"], "observation, done"),
        (["reset", "hang"], "did not answer within 0.2 s"),
    ],
)
def test_a_world_that_fails_fails_its_own_question(actions: list[str], message: str) -> None:
    async def walk(question: Question, lm: LM) -> Answer:
        if question.id == "q3":
            for action in actions:
                await (lm.reset() if action == "reset" else lm.act(action))
        return Answer("93", "93")

    traces = solve(walk, PROBLEMS[:6], policy("scripted"), task=World(), verify_timeout=0.2)
    assert [bool(t.error) for t in traces] == [False, False, False, True, False, False]
    assert traces[3].error.startswith(RunError.__name__)
    assert message in traces[3].error


def test_no_world_to_act_in() -> None:
    for task, said in [(Still(), "still has none"), (None, "no task")]:
        for verb in ("reset", "act"):
            with pytest.raises(UserError, match=said):
                attempt(told(lambda q, lm, v=verb: lm.reset() if v == "reset" else lm.act("x")), task=task)


def test_steps_in_a_world_are_limited() -> None:
    async def walk(question: Question, lm: LM) -> Answer:
        await lm.reset()
        while True:
            lm.offer(Answer((await lm.act("west"))[0], ""))

    trace = attempt(walk, budget=Budget(tool_steps=4), task=World())
    assert (trace.answer, trace.usage.tool_steps, trace.finish) == ("at -4", 4, "budget")


# Budgets and seeds


def test_branches_go_side_by_side_unless_the_budget_could_refuse_one_of_them() -> None:
    async def overlap(question: Question, lm: LM) -> Answer:
        running, most, texts = 0, 0, []

        async def work(i: int) -> None:
            nonlocal running, most
            running, most = running + 1, max(most, running + 1)
            texts.extend([c.text for _ in range(2) for c in await lm.sample(question, max_tokens=10)])
            running -= 1

        await lm.map(work, range(4))
        return Answer(f"{most} at a time", " | ".join(sorted(texts)))

    def seen(budget: Budget | None) -> tuple[str | None, str]:
        trace = attempt(overlap, policy("scripted:random,delay=0.001"), budget)
        return trace.answer, trace.response

    free, said = seen(None)
    assert (free, len(set(said.split(" | ")))) == ("4 at a time", 8)
    assert seen(Budget(seconds=60)) == (free, said)
    for unit in ("sampled_tokens", "total_tokens", "calls", "tool_steps", "oracle_calls"):
        assert seen(Budget(**{unit: 10_000})) == ("1 at a time", said), "a budget that nobody feels changes no seed"


async def everything(question: Question, lm: LM) -> Answer:
    """Every verb, concurrently."""
    lm.offer(Answer("nothing", ""))

    async def branch(i: int) -> str:
        await asyncio.sleep(0.002 * Jittery.waits.random())
        voice = lm.voice("other") if i % 2 else lm
        start = voice.tell(voice.begin(question), f"{i}. ", source="prompt")
        steps = await voice.extend(start, n=2, stop=" ", max_tokens=30)
        worth = await voice.values(steps, "rollout:n=2")
        best = steps[worth.index(max(worth))]
        ran = await lm.run(f"{i} + 1")
        seen = await lm.act("west") if i == 0 else ""
        after = voice.tell(best, f"[{ran.value}] ")
        doubt, _ = await asyncio.gather(voice.value(after, "self:n=2"), voice.value(best, "logprob"))
        ends = await voice.extend(after, n=2)
        [again] = await voice.sample(turn(question, Message("assistant", ends[-1].response), Message("user", "Again")))
        lm.note(after, value=doubt)
        lm.offer(again.answering(again.response))
        return f"{worth} {doubt} {seen} {again.response}"

    for voice in (lm, lm.voice("other")):
        voice.begin(question)  # or the first to arrive would be the root
    await lm.reset()
    said = await lm.map(branch, range(4))
    verdict = await lm.oracle(said[0])
    return Answer(" | ".join([*said, verdict.status]), said[0])


def test_equal_seeds_give_equal_answers_in_every_verb_whatever_the_concurrency() -> None:
    voices = {"other": Poll(rambling, "other")}
    traces = in_any_concurrency(everything, PROBLEMS, Jittery(rambling), task=World(), voices=voices)
    assert not any(trace.error for trace in traces)
    assert len({trace.answer for trace in traces}) == len(PROBLEMS)


@settings(max_examples=40, deadline=None)
@given(
    sampled=st.none() | st.integers(1, 1500),
    total=st.none() | st.integers(1, 6000),
    calls=st.none() | st.integers(1, 40),
    tools=st.none() | st.integers(1, 6),
    oracles=st.none() | st.integers(1, 2),
    script=st.sampled_from(["sums", "random", "endless"]),
    seed=st.integers(0, 9),
)
def test_no_verb_exceeds_a_budget(
    sampled: int | None, total: int | None, calls: int | None, tools: int | None, oracles: int | None, script: str,
    seed: int,
) -> None:  # fmt: skip
    budget = Budget(sampled, total, calls, tools, oracles)
    model = policy(f"scripted:{script}")
    voices = {"other": Poll(rambling, "other")}
    trace = attempt(everything, model, budget, task=World(), voices=voices, seed=seed, sampling=Sampling(max_tokens=60))
    assert not trace.error
    assert trace.answer is not None
    assert all(left >= 0 for left in budget.left(trace.usage).values())
    for name in ("sampled_tokens", "total_tokens", "calls", "tool_steps", "oracle_calls"):
        limit = getattr(budget, name)
        assert limit is None or getattr(trace.usage, name) <= limit
    written = sum(len(n.segment.ids) for n in trace.nodes if n.segment.source == "model")
    assert written == trace.usage.sampled_tokens


def test_scoring_waits_for_what_others_give_back() -> None:
    async def both(question: Question, lm: LM) -> str:
        sampled, scored = await asyncio.gather(
            lm.sample(question, max_tokens=100), lm.score(question, [Segment("model", (1,))])
        )
        return sampled[0].finish + str(len(scored))

    room = 2 * len(PROMPT) + 39 + 70
    assert result(both, policy("scripted:delay=0.001"), Budget(total_tokens=room)) == "'stop1'"


@pytest.mark.parametrize("error", [ContextFull("too long"), None])
def test_scoring_that_is_refused_is_a_call_and_no_tokens(error: ContextFull | None) -> None:
    class Picky(Scripted):
        async def score(self, request: Request, continuations: Sequence[Segment]) -> list[tuple[float, ...]]:
            if error is not None:
                raise error
            await asyncio.sleep(60)
            raise AssertionError("unreachable")

    async def refused(question: Question, lm: LM) -> str:
        call = lm.score(question, [Segment("model", (1,))])
        with pytest.raises(ContextFull if error is not None else TimeoutError):
            await asyncio.wait_for(call, 0.05)
        return str([lm.left["calls"], lm.left["total_tokens"]])

    room = len(PROMPT) + 1
    left = [1, room if error is not None else 0]
    budget = Budget(calls=2, total_tokens=room)
    assert result(refused, Picky(sums()), budget) == repr(str(left)), "of one that is cut off all is booked"


# What cannot be reached


class Walk:
    """Everything that attributes, items, closure cells and frames lead to from some things.

    Left out, because no object in one process could hide from them: modules, classes and the globals of functions, the
    event loop's own books, weak references (which must be called), and the frames that started the event loop.
    """

    frame = ("f_locals", "f_back", "f_trace")
    coroutine = ("cr_frame", "cr_await", "gi_frame", "gi_yieldfrom", "ag_frame", "ag_await")
    function = ("__closure__", "__defaults__", "__kwdefaults__", "__wrapped__", "__self__", "__func__", "__dict__")
    error = ("__traceback__", "__context__", "__cause__", "args", "__dict__")
    task = ("_coro", "_callbacks", "_fut_waiter", "_exception", "_result", "_context", "_children")

    def __init__(self) -> None:
        self.seen: dict[int, object] = {}
        self.found: list[str] = []

    def __call__(self, thing: object, path: str) -> None:
        todo = [(thing, path)]
        while todo:
            thing, path = todo.pop()
            if id(thing) in self.seen or isinstance(thing, type | int | float | types.ModuleType | type(None)):
                continue
            if isinstance(thing, asyncio.AbstractEventLoop | weakref.ref | Walk):
                continue
            if isinstance(thing, types.FrameType) and thing.f_code.co_filename.endswith("asyncio/events.py"):
                continue  # below this frame is the event loop
            self.seen[id(thing)] = thing
            if isinstance(thing, Problem | World | Corridor) or (isinstance(thing, str) and SECRET in thing):
                self.found.append(path)
                continue
            todo += [(value, path + step) for step, value in self.steps(thing)]

    def steps(self, thing: object) -> list[tuple[str, object]]:
        if isinstance(thing, str | bytes):
            return []
        if isinstance(thing, Mapping):
            return [(f"[{k!r}]", v) for k, v in list(thing.items())] + [(" key", k) for k in list(thing)]
        if isinstance(thing, list | tuple | set | frozenset):
            return [(f"[{i}]", v) for i, v in enumerate(thing)]
        if isinstance(thing, types.CellType):
            try:
                return [(".cell_contents", thing.cell_contents)]
            except ValueError:
                return []
        names: Sequence[str] = [n for n in dir(thing) if not n.startswith("__")]
        if isinstance(thing, types.FrameType):
            names = self.frame
        elif isinstance(thing, types.FunctionType | types.MethodType | types.BuiltinMethodType):
            names = self.function
        elif isinstance(thing, BaseException):
            names = [*self.error, *names]
        elif isinstance(thing, types.TracebackType):
            names = ("tb_frame", "tb_next")
        elif isinstance(thing, asyncio.Future):
            names = [*self.task, *names]
        elif hasattr(thing, "cr_frame") or hasattr(thing, "gi_frame"):
            names = self.coroutine
        if hasattr(thing, "__dict__") or hasattr(thing, "__self__"):
            names = [*names, "__dict__", "__self__"]
        out = []
        for name in names:
            try:
                out.append((f".{name}", getattr(thing, name)))
            except AttributeError:
                continue
            except Exception as error:
                out.append((f".{name} raised", error))
        return out


def test_no_attribute_cell_or_frame_leads_a_method_to_the_reference() -> None:
    walk = Walk()
    kept: list[BaseException] = []

    async def caught(coroutine: Any) -> BaseException:
        try:
            await coroutine
        except Exception as error:
            return error
        raise AssertionError("it should have failed")

    async def spy(question: Question, lm: LM) -> Answer:
        [chain] = await lm.sample(question)
        await lm.reset()
        # While another branch waits for the verifier, the world and the policy, look at the frames of all of it.
        pending = [asyncio.create_task(c) for c in (lm.oracle("slow"), lm.act("hang"), lm.value(chain, "self"))]
        pending.append(asyncio.gather(*pending, return_exceptions=True))  # type: ignore[arg-type]
        await asyncio.sleep(0.02)
        for i, task in enumerate(pending):
            walk(task, f"pending[{i}]")
        walk([lm, question], "now")
        walk(sys._getframe(), "frame")
        walk(asyncio.current_task(), "task")
        await lm.reset()  # the world that hangs is out of reach
        errors = [
            await caught(lm.act("break")),
            await caught(lm.voice("other").sample(question, top_k=3)),
            await caught(lm.value("x", "nonsense")),
            await caught(lm.value("x", lambda q, r: 1 / 0)),
        ]
        kept.extend(errors)
        walk(errors, "errors")
        await pending[-1]
        walk([lm, question, lm.voice("other")], "later")
        if len(kept) > 4:  # the second attempt sees what the driver did with an exception of the first
            walk(kept, "kept")
        raise kept[0]

    class Slow(World):
        def verify(self, problem: Problem, response: str) -> Verdict:
            if response == "slow":
                time.sleep(0.1)
            return World.verify(self, problem, response)

    voices = {"other": Scripted(sums(), "other")}
    model = policy("scripted:delay=0.005")
    traces = solve(spy, PROBLEMS[:2], model, task=Slow(), voices=voices, concurrency=1, verify_timeout=0.3)
    assert ["ZeroDivision" in t.error or "did not answer" in t.error for t in traces] == [True, True], traces[0].error
    assert walk.found == []
    kinds = {type(thing).__name__ for thing in walk.seen.values()}
    assert {"frame", "traceback", "coroutine", "cell", "Task", "Desk", "Slip", "Attempt", "LM", "Meter"} <= kinds


def test_the_walk_would_find_a_reference() -> None:
    secret = problem()

    def holds() -> Problem:
        return secret

    async def waits(local: Problem) -> None:
        await asyncio.sleep(1)

    def fails(local: Problem) -> BaseException:
        try:
            raise RuntimeError
        except RuntimeError as error:
            return error

    async def look() -> list[bool]:
        task = asyncio.create_task(waits(secret))
        waiter = asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(0)
        found = []
        for thing in (holds, {"x": [secret]}, fails(secret), task, waiter, functools.partial(waits, secret)):
            walk = Walk()
            walk(thing, "")
            found.append(bool(walk.found))
        task.cancel()
        await asyncio.wait([task, waiter])
        return found

    found = asyncio.run(look())
    assert found == [True] * 6


def test_an_attempt_that_is_cancelled_by_its_own_method_fails_alone() -> None:
    async def quits(question: Question, lm: LM) -> Answer:
        [chain] = await lm.sample(question)
        if question.id == "q1":
            raise asyncio.CancelledError
        if question.id == "q2":
            return Answer("x", "x", 99, 0.5)
        return chain.answering("93")

    traces = solve(quits, PROBLEMS[:4], policy("scripted"))
    assert [t.error.partition(":")[0] for t in traces] == ["", "CancelledError", "IndexError", ""]


def test_exhaustion_inside_a_verb_can_be_caught_and_answered() -> None:
    async def careful(question: Question, lm: LM) -> Answer:
        chains: list[Chain] = []
        try:
            while True:
                chains += await lm.sample(question)
                await lm.run("1")
        except BudgetExhausted:
            return chains[-1].answering(str(len(chains)))

    assert attempt(careful, budget=Budget(tool_steps=2)).answer == "3"
