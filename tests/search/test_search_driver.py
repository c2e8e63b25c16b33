"""The driver: determinism whatever the concurrency, isolation of failures, and verdicts."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from attempts import Jittery, Poll, content, in_any_concurrency

from trivium.errors import UnknownName, UserError
from trivium.policies import policy
from trivium.policies.scripted import rambling, sums
from trivium.search import METHODS, method
from trivium.search.driver import Judge, Method, run, solve
from trivium.search.evaluate import evaluate
from trivium.search.lm import LM, Chain
from trivium.types import (
    Answer,
    Budget,
    Message,
    Problem,
    Question,
    Sampling,
    Split,
    Trace,
    Usage,
    Verdict,
)
from trivium.verify.parse import parse_answer


@dataclass
class Toy:
    """Sums of three numbers; `sabotage` replaces the verifier."""

    name: str = "toy"
    summary: str = "sums"
    max_tokens: int = 80
    sabotage: Callable[[Problem], Verdict] | None = None
    asked: list[str] = field(default_factory=list)

    def problems(self, split: Split, n: int, seed: int = 0) -> list[Problem]:
        rng, out = random.Random(f"{split} {seed}"), []
        for i in range(n):
            a, b, c = (rng.randrange(10, 99) for _ in range(3))
            question = Question(f"toy-{split}-{i}", (Message("user", f"What is {a} + {b} - {c}?"),), "number")
            out.append(Problem(question, str(a + b - c), "", question.id, split, "toy"))
        return out

    def verify(self, problem: Problem, response: str) -> Verdict:
        self.asked.append(problem.key)
        if self.sabotage is not None:
            return self.sabotage(problem)
        answer = parse_answer("number", response)
        if answer is None:
            return Verdict.unparseable()
        return Verdict.right(answer) if answer == problem.reference else Verdict.wrong(answer)


PROBLEMS = Toy().problems("test", 40)


async def branching(question: Question, lm: LM) -> Answer:
    """Concurrency of every kind inside one method."""

    async def deepen(chain: Chain) -> list[Chain]:
        [next_one] = await lm.extend(chain, stop="\n")
        return await lm.extend(next_one, n=2, stop="\n")

    async def side() -> list[Chain]:
        await lm.sample(question, n=2)
        return await lm.sample(question)

    firsts = await lm.sample(question, n=3, stop=("\n",))
    kids = await lm.map(deepen, firsts)
    one, two, more = await asyncio.gather(side(), side(), lm.sample(question))
    ends = [c for group in [*kids, one, two, more] for c in group]
    return ends[-1].answering(" | ".join(c.response for c in ends))


@pytest.mark.parametrize("how", [method("greedy"), method("vote:n=5"), method("best-of-n:n=4"), branching])
def test_equal_seeds_give_equal_answers_one_at_a_time_in_sevens_and_all_at_once(how: Method) -> None:
    model = policy("scripted:p=0.5,delay=0.003")
    traces = in_any_concurrency(how, PROBLEMS, model, task=Toy(), seed=3)
    # And neither which other questions there are, nor their order, changes an answer.
    [again] = solve(how, [PROBLEMS[17]], model, task=Toy(), seed=3)
    assert content(again) == content(traces[17])


def test_no_timing_ever_changes_a_seed() -> None:
    async def late(question: Question, lm: LM) -> Answer:
        async def branch(i: int) -> str:
            await asyncio.sleep(0.004 * Jittery.waits.random())
            return "".join([c.text for _ in range(2) for c in await lm.sample(question)])

        async def helper() -> str:
            return "".join([c.text for _ in range(3) for c in await lm.sample(question)])

        mapped = await lm.map(branch, range(4))
        gathered = await asyncio.gather(helper(), helper(), helper())
        return Answer("; ".join([*mapped, *gathered]), "")

    [trace] = solve(late, PROBLEMS[:1], Jittery(rambling))
    assert not trace.error
    for _ in range(5):
        assert solve(late, PROBLEMS[:1], Jittery(rambling))[0].answer == trace.answer
    texts = [node.segment.text for node in trace.nodes[1:]]
    assert len(set(texts)) == len(texts) == 4 * 2 + 3 * 3, "and no two calls share one"


@pytest.mark.parametrize(
    ("spec", "budget"),
    [
        ("vote:n=4,of=refine", Budget(calls=5)),
        ("round-table:by=rollout", Budget(calls=5)),
        ("best-of-n:n=4,by=rollout:n=2,over=min-step", Budget(total_tokens=1200)),
    ],
)
def test_no_timing_decides_what_a_budget_cuts(spec: str, budget: Budget) -> None:
    def drawn() -> list[tuple[object, ...]]:
        traces = solve(method(spec), PROBLEMS[:6], Poll(sums(0.5)), budget=budget, sampling=Sampling(max_tokens=60))
        return [content(trace) for trace in traces]

    first = drawn()
    assert all(drawn() == first for _ in range(3))


def test_other_seeds_give_other_samples() -> None:
    answers = [[t.response for t in solve(method("vote"), PROBLEMS, policy("scripted:random"), seed=s)] for s in (0, 1)]
    assert answers[0] != answers[1]


def test_an_exception_fails_its_own_question_and_is_recorded() -> None:
    async def fragile(question: Question, lm: LM) -> Answer:
        [chain] = await lm.sample(question)
        if question.id.endswith(("3", "5")):
            raise ZeroDivisionError("my own bug")
        return chain.answering(lm.answer(chain))

    traces = solve(fragile, PROBLEMS, policy("scripted"), task=Toy())
    failed = [t for t in traces if t.error]
    assert [t.question_id for t in failed] == [p.question.id for p in PROBLEMS if p.question.id[-1] in "35"]
    assert all(t.error.startswith("ZeroDivisionError: my own bug (test_search_driver.py:") for t in failed)
    assert all(t.verdict is None and t.finish == "error" and t.usage.sampled_tokens for t in failed)
    assert all(t.verdict is not None and t.verdict.correct for t in traces if not t.error)


def test_a_policy_that_fails_now_and_then() -> None:
    traces = solve(method("greedy"), PROBLEMS, policy("scripted:fail_every=4"), task=Toy())
    failed = sum("ConnectionError" in t.error for t in traces)
    assert 0 < failed < 30
    assert sum(bool(t.verdict and t.verdict.correct) for t in traces) == 40 - failed


def test_a_mistake_in_the_set_up_is_raised_not_recorded_forty_times() -> None:
    with pytest.raises(UserError, match="top_k"):
        solve(method("vote"), PROBLEMS, policy("scripted"), sampling=Sampling(top_k=3))


def test_a_method_that_returns_nonsense() -> None:
    async def wrong(question: Question, lm: LM) -> Answer:
        return "93"  # type: ignore[return-value]

    [trace] = solve(wrong, PROBLEMS[:1], policy("scripted"))
    assert "expected an Answer" in trace.error


def test_verifiers_that_raise_or_hang_are_errors_not_wrong_answers() -> None:
    def broken(problem: Problem) -> Verdict:
        if problem.key.endswith("1"):
            raise RuntimeError("verifier bug")
        if problem.key.endswith("2"):
            time.sleep(60)
        return Verdict.right("93")

    start = time.monotonic()
    traces = solve(method("greedy"), PROBLEMS[:10], policy("scripted"), task=Toy(sabotage=broken), verify_timeout=1.0)
    assert time.monotonic() - start < 30
    said = [t.verdict.status if t.verdict else None for t in traces]
    assert said == ["correct", "error", "error", *["correct"] * 7]
    assert "verifier bug" in traces[1].verdict.detail  # type: ignore[union-attr]
    assert "no verdict within 1 s" in traces[2].verdict.detail  # type: ignore[union-attr]


def test_cancellation_stops_everything_and_listen_keeps_what_was_finished() -> None:
    kept: list[Trace] = []
    stopped: list[str] = []

    async def some_wait(question: Question, lm: LM) -> Answer:
        [chain] = await lm.sample(question)
        if int(question.id.rpartition("-")[2]) >= 10:
            try:
                await asyncio.sleep(60)
            finally:
                stopped.append(question.id)
        return chain.answering(lm.answer(chain))

    async def interrupted() -> None:
        running = asyncio.create_task(run(some_wait, PROBLEMS, policy("scripted"), task=Toy(), listen=kept.append))
        while len(kept) < 10:
            await asyncio.sleep(0.001)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert len(asyncio.all_tasks()) == 1, "nothing is left running"

    asyncio.run(interrupted())
    assert {t.question_id for t in kept} == {p.question.id for p in PROBLEMS[:10]}
    assert len(stopped) == 30


def test_ctrl_c_keeps_what_was_finished() -> None:
    kept: list[Trace] = []

    def listen(trace: Trace) -> None:
        kept.append(trace)
        if len(kept) == 5:
            signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background jobs without it
    try:
        with pytest.raises(KeyboardInterrupt):
            solve(method("vote:n=2"), PROBLEMS, policy("scripted:delay=0.02"), task=Toy(), listen=listen)
    finally:
        signal.signal(signal.SIGINT, before)
    assert 5 <= len(kept) < 40
    assert all(t.verdict for t in kept)


def test_one_judge_serves_several_event_loops() -> None:
    judge = Judge(Toy())

    async def both() -> list[Verdict]:
        return await asyncio.gather(*(judge(p, f"Answer: {p.reference}") for p in PROBLEMS[:4]))

    assert [v.correct for _ in range(3) for v in asyncio.run(both())] == [True] * 12


def test_a_listener_that_fails_ends_the_run() -> None:
    def full(trace: Trace) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        solve(method("greedy"), PROBLEMS, policy("scripted:delay=0.01"), listen=full)


@pytest.mark.parametrize("how", [method("greedy"), method("vote:n=5"), method("best-of-n:n=4"), branching])
def test_traces_are_well_formed(how: Method) -> None:
    for trace in solve(how, PROBLEMS[:5], policy("scripted:p=0.5,delay=0.001"), task=Toy()):
        assert trace.nodes[0].parent == -1
        assert trace.nodes[0].segment.source == "prompt"
        assert all(0 <= node.parent < i for i, node in enumerate(trace.nodes) if i)
        assert trace.answer_node is not None
        prompt, *said = trace.path(trace.answer_node)
        assert prompt is trace.nodes[0].segment
        assert "".join(s.text for s in said) == trace.response
        sampled = sum(len(n.segment.ids) for n in trace.nodes if n.segment.source == "model")
        assert sampled == trace.usage.sampled_tokens, "the trace holds every token that was paid"


def test_a_second_prompt_begins_a_context_of_its_own() -> None:
    async def asks_back(question: Question, lm: LM) -> Answer:
        await lm.sample(question)
        [chain] = await lm.sample(replace(question, messages=(Message("user", "What is 2 + 2?"),)), stop=("\n",))
        [end] = await lm.extend(chain)
        return end.answering(lm.answer(end))

    [trace] = solve(asks_back, PROBLEMS[:1], policy("scripted"))
    assert trace.response == "2 + 2 = 4\nAnswer: 4"
    assert trace.answer_node is not None
    assert [s.source for s in trace.path(trace.answer_node)] == ["prompt", "prompt", "model", "model"]


def test_the_oracle_is_a_separate_counted_verb() -> None:
    task = Toy()
    [honest] = solve(method("best-of-n:n=4"), PROBLEMS[:1], policy("scripted"), task=task)
    assert (honest.usage.oracle_calls, len(task.asked)) == (0, 1), "judged once, after the method returned"
    [cheat] = solve(method("best-of-n:n=4,by=oracle"), PROBLEMS[:1], policy("scripted"), task=task)
    assert (cheat.usage.oracle_calls, len(task.asked)) == (4, 6)
    with pytest.raises(UserError, match="--task"):
        solve(method("best-of-n:by=oracle"), PROBLEMS[:1], policy("scripted"))


def test_evaluation_excludes_what_has_no_verdict_and_says_how_much() -> None:
    def sometimes(problem: Problem) -> Verdict:
        if problem.key.endswith("7"):
            raise RuntimeError("verifier bug")
        return Verdict.right("1") if problem.key.endswith("0") else Verdict.wrong("2")

    result = evaluate(method("vote:n=3"), Toy(sabotage=sometimes), policy("scripted"), n=40, split="dev", seed=1)
    assert (result.accuracy.n, result.errors) == (36, 4)
    assert result.accuracy.accuracy == pytest.approx(4 / 36)
    assert result.abstained == 0
    total = Usage()
    for trace in result.traces:
        total += trace.usage
    assert result.usage == total


def test_evaluation_counts_abstentions_as_not_correct() -> None:
    result = evaluate(method("vote:n=3"), Toy(max_tokens=10), policy("scripted:endless"), n=12)
    assert (result.accuracy.accuracy, result.abstained, result.accuracy.n) == (0.0, 12, 12)
    nothing = evaluate(method("greedy"), Toy(), policy("scripted"), n=0)
    assert nothing.accuracy.accuracy is None


def test_methods_by_name() -> None:
    assert {"best-of-n", "greedy", "vote"} <= set(METHODS.names())
    assert all(METHODS.summary(name).endswith(".") for name in METHODS.names())
    with pytest.raises(UnknownName, match="vote"):
        method("votes")
    with pytest.raises(UnknownName, match="temperature"):
        method("vote:temprature=1")
    with pytest.raises(UserError, match="not a valid int"):
        method("vote:n=many")
    with pytest.raises(UnknownName):
        method("vote:question=1")
    with pytest.raises(UserError, match="expected 1 or more"):
        solve(method("vote:n=0"), PROBLEMS[:1], policy("scripted"))
