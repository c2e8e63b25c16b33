"""Budgets hold to the token, whatever the method does, alone or concurrently; what is cut off still answers."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence

import pytest
from attempts import PROBLEM
from hypothesis import given, settings
from hypothesis import strategies as st

from trivium.errors import RunError, Unsupported, UserError
from trivium.policies import policy
from trivium.policies.scripted import Scripted
from trivium.search import driver, method
from trivium.search.driver import Method, solve
from trivium.search.lm import LM
from trivium.types import (
    Answer,
    Budget,
    Completion,
    Policy,
    Problem,
    Question,
    Request,
    Sampling,
    Segment,
    Trace,
    Usage,
)


def attempt(
    how: Method | str, model: Policy | str, budget: Budget | None, sampling: Sampling | None = None, **options: object
) -> Trace:
    how = method(how) if isinstance(how, str) else how
    model = policy(model) if isinstance(model, str) else model
    sampling = sampling or Sampling()
    [trace] = solve(how, [PROBLEM], model, budget=budget, sampling=sampling, **options)
    return trace


def within(budget: Budget, used: Usage) -> bool:
    return all(
        limit is None or getattr(used, name) <= limit
        for name, limit in (
            ("sampled_tokens", budget.sampled_tokens), ("total_tokens", budget.total_tokens), ("calls", budget.calls),
            ("oracle_calls", budget.oracle_calls),
        )
    )  # fmt: skip


async def restless(question: Question, lm: LM) -> Answer:
    """Samples and extends concurrently, until nothing is left."""
    first, _ = await asyncio.gather(lm.sample(question, n=3), lm.sample(question, n=2, max_tokens=7))
    lm.offer(first[0].answering(lm.answer(first[0])))
    while True:
        await asyncio.gather(*(lm.extend(chain, n=2, stop="\n") for chain in first))


limits = st.one_of(st.none(), st.integers(1, 3000))


@settings(max_examples=80, deadline=None)
@given(
    sampled=limits,
    total=limits,
    calls=st.one_of(st.none(), st.integers(1, 20)),
    max_tokens=st.integers(1, 80),
    how=st.sampled_from(["greedy", "vote:n=5", "vote:n=none", "best-of-n:n=7", "restless"]),
    script=st.sampled_from(["sums", "random", "endless"]),
    seed=st.integers(0, 9),
    delay=st.sampled_from([0.0, 1e-5]),
)
def test_no_budget_is_ever_exceeded(
    sampled: int | None,
    total: int | None,
    calls: int | None,
    max_tokens: int,
    how: str,
    script: str,
    seed: int,
    delay: float,
) -> None:
    if sampled is None and total is None and how in ("vote:n=none", "restless"):
        sampled = 500
    budget = Budget(sampled_tokens=sampled, total_tokens=total, calls=calls)
    booked: list[Usage] = []
    inner = policy(f"scripted:{script},delay={delay}")

    class Booking(Scripted):
        async def sample(self, request: Request) -> list[Completion]:
            done = await inner.sample(request)
            booked.extend(c.usage for c in done)
            return done

    model = Booking(lambda turn: "")
    trace = attempt(restless if how == "restless" else how, model, budget, Sampling(max_tokens=max_tokens), seed=seed)
    assert not trace.error
    assert within(budget, trace.usage)
    sampled_in_all, prompts_in_all = sum(u.sampled_tokens for u in booked), sum(u.prompt_tokens for u in booked)
    if how == "restless":
        assert trace.finish == "budget"
        assert sampled_in_all <= trace.usage.sampled_tokens, "calls cut off on the way are booked in full"
    else:
        assert sampled_in_all == trace.usage.sampled_tokens, "every token is metered"
        assert prompts_in_all == trace.usage.prompt_tokens


@settings(max_examples=30, deadline=None)
@given(
    tokens=st.integers(1, 1500), max_tokens=st.integers(1, 80), script=st.sampled_from(["sums", "random", "endless"])
)
def test_a_vote_without_a_number_spends_the_whole_budget_and_no_more(tokens: int, max_tokens: int, script: str) -> None:
    trace = attempt("vote:n=none", f"scripted:{script}", Budget(sampled_tokens=tokens), Sampling(max_tokens=max_tokens))
    assert trace.usage.sampled_tokens == tokens


def test_unused_tokens_are_given_back() -> None:
    # Each answer is 39 tokens of the 100 reserved, so 16 of them need several waves within 640.
    trace = attempt("vote:n=16", "scripted", Budget(sampled_tokens=16 * 39), Sampling(max_tokens=100))
    assert len(trace.nodes) == 1 + 16
    assert trace.usage.sampled_tokens == 16 * 39
    assert trace.finish == "stop"


def test_without_pressure_a_budget_changes_nothing() -> None:
    free = attempt("vote:n=8", "scripted:random", None, Sampling(max_tokens=60))
    ample = attempt(
        "vote:n=8", "scripted:random", Budget(sampled_tokens=8 * 60, total_tokens=10**6), Sampling(max_tokens=60)
    )
    assert free.nodes == ample.nodes


def test_a_cut_off_vote_answers_with_what_it_has_and_says_so() -> None:
    trace = attempt("vote:n=16", "scripted", Budget(sampled_tokens=100), Sampling(max_tokens=50))
    assert trace.answer == "93"
    assert trace.finish == "budget"


def test_chains_cut_by_the_budget_do_not_vote_against_finished_ones() -> None:
    # 41 + 87 = 128 is scratch work: two finished chains say 93, the cut one would say 128.
    trace = attempt("vote:n=3", "scripted", Budget(sampled_tokens=39 * 2 + 14), Sampling(max_tokens=39))
    assert trace.answer == "93"
    assert trace.nodes[1].score == 1.0, "the cut chain is no vote against"


def test_an_offer_survives_the_end_of_the_budget() -> None:
    async def careful(question: Question, lm: LM) -> Answer:
        [first] = await lm.sample(question)
        lm.offer(first.answering("so far"))
        while True:
            await lm.sample(question)

    trace = attempt(careful, "scripted", Budget(calls=3))
    assert (trace.answer, trace.finish, trace.usage.calls) == ("so far", "budget", 3)
    assert trace.response.endswith("Answer: 93")


def test_nothing_fits_and_nothing_was_offered() -> None:
    trace = attempt("greedy", "scripted", Budget(total_tokens=5))
    assert (trace.answer, trace.response, trace.finish, trace.error) == (None, "", "budget", "")
    assert trace.usage.total_tokens == 0


def test_seconds_cut_a_slow_policy_and_a_method_that_hangs() -> None:
    async def hangs(question: Question, lm: LM) -> Answer:
        lm.offer(Answer("early", ""))
        await asyncio.sleep(60)
        raise AssertionError("unreachable")

    start = time.monotonic()
    slow = attempt("greedy", "scripted:delay=60", Budget(seconds=0.05))
    assert (slow.answer, slow.finish) == (None, "budget")
    assert slow.usage.sampled_tokens == 256, "an unfinished call is not free: all that it may have used is booked"
    hung = attempt(hangs, "scripted", Budget(seconds=0.05))
    assert (hung.answer, hung.finish) == ("early", "budget")
    assert time.monotonic() - start < 30


def test_racing_and_cancelling_calls_does_not_make_them_free() -> None:
    async def racer(question: Question, lm: LM) -> Answer:
        task = asyncio.create_task(lm.sample(question, n=2, max_tokens=50))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        return Answer(str(lm.left["sampled_tokens"]), "")

    trace = attempt(racer, "scripted:delay=60", Budget(sampled_tokens=500))
    assert trace.answer == "400"


def test_a_call_that_does_not_fit_waits_for_the_others_to_give_back() -> None:
    async def crowd(question: Question, lm: LM) -> Answer:
        waves = await asyncio.gather(*(lm.sample(question, max_tokens=100) for _ in range(5)))
        return waves[0][0].answering(str([c.finish for [c] in waves]))

    trace = attempt(crowd, "scripted:delay=0.001", Budget(sampled_tokens=250))
    assert trace.answer == str(["stop"] * 5), "5 x 39 tokens fit although 5 x 100 do not"


def test_oracle_calls_are_a_unit_of_their_own() -> None:
    class Toy:
        name, summary, max_tokens = "toy", "", 100

        def problems(self, split: str, n: int, seed: int = 0) -> list[Problem]:
            return []

        def verify(self, problem: Problem, response: str) -> object:
            from trivium.types import Verdict

            return Verdict.right() if response.endswith("93") else Verdict.wrong()

    trace = attempt("best-of-n:n=8,by=oracle", "scripted:p=0.3", Budget(oracle_calls=2), task=Toy())
    assert trace.usage.oracle_calls == 2
    assert trace.finish == "budget"
    assert trace.answer is not None


def test_a_policy_that_breaks_its_promise_is_caught() -> None:
    class Greedy(Scripted):
        async def sample(self, request: Request) -> list[Completion]:
            return [
                Completion(c.prompt, c.segment, c.finish, Usage(1, 0, request.sampling.max_tokens + 1, 1))
                for c in await Scripted.sample(self, request)
            ]

    trace = attempt("greedy", Greedy(lambda turn: "x"), Budget(sampled_tokens=10))
    assert RunError.__name__ in trace.error
    assert "allowed" in trace.error


def test_a_policy_that_cannot_count_prompts_cannot_limit_them() -> None:
    class Blind:
        name, version, capabilities = "blind", "1", frozenset[str]()

        async def sample(self, request: Request) -> list[Completion]:
            raise AssertionError("must not be asked")

        async def score(self, request: Request, continuations: Sequence[Segment]) -> list[tuple[float, ...]]:
            raise AssertionError("must not be asked")

        async def close(self) -> None: ...

    with pytest.raises(Unsupported, match="limit sampled_tokens"):
        attempt("greedy", Blind(), Budget(total_tokens=100))


def test_scoring_is_metered_by_the_tokens_it_reads() -> None:
    async def scores(question: Question, lm: LM) -> Answer:
        [chain] = await lm.sample(question)
        segment = Segment("model", tuple(b"93"), text="93")
        [told] = await lm.score(question, [segment])
        return chain.answering(str(len(told)))

    prompt = len("user: What is 41 + 87 - 35?\nassistant: ")
    trace = attempt(scores, "scripted", Budget(total_tokens=prompt + 39 + prompt + 2), Sampling(max_tokens=39))
    assert (trace.answer, trace.usage.prompt_tokens, trace.usage.calls) == ("2", 2 * prompt + 2, 2)
    short = attempt(scores, "scripted", Budget(total_tokens=prompt + 39 + prompt + 1), Sampling(max_tokens=39))
    assert short.finish == "budget"


def test_left_is_infinite_without_a_budget_and_an_open_vote_is_refused() -> None:
    async def look(question: Question, lm: LM) -> Answer:
        return Answer(str(lm.left["sampled_tokens"] == math.inf), "")

    assert attempt(look, "scripted", None).answer == "True"
    with pytest.raises(UserError, match="give one of sampled_tokens or seconds"):
        attempt("vote:n=none", "scripted", None)


@pytest.mark.parametrize(
    "spec", ["vote:n=none", "best-of-n:n=none", "vote:n=none,of=greedy", "adaptive-vote:n=none,threshold=1.0"]
)
def test_where_only_the_time_is_limited_samples_are_drawn_until_it_is_over(
    spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "GRACE", 30.0)  # a machine that is busy with other things may stop for a while
    began = time.perf_counter()
    trace = attempt(spec, "scripted:sums,p=0.6,delay=0.02", Budget(seconds=0.4))
    assert trace.answer is not None
    assert len(trace.nodes) > 8
    assert time.perf_counter() - began < 20


@pytest.mark.parametrize(
    ("spec", "budget"),
    [
        ("best-of-n:by=stated,n=none", Budget(sampled_tokens=1024)),
        ("best-of-n:by=rollout:n=2,n=none,over=min-step", Budget(sampled_tokens=2048)),
        ("best-of-n:by=self,n=none", Budget(total_tokens=4096)),
        ("best-of-n:by=self:n=2,n=none,of=greedy", Budget(total_tokens=4096)),
    ],
)
def test_a_value_that_asks_the_policy_is_paid_before_the_next_candidate_is_drawn(spec: str, budget: Budget) -> None:
    trace = attempt(spec, "scripted:sums,p=0.5", budget)
    assert within(budget, trace.usage)
    named = spec.partition("by=")[2].partition(",")[0].partition(":")[0]
    if named == "rollout":
        ends = [node for node in trace.nodes if node.parent >= 0 and trace.nodes[node.parent].segment.source == "tool"]
        assert len(ends) >= 8
    else:
        assert trace.usage.judge_calls >= 3


def test_where_no_candidate_could_be_judged_the_answer_is_that_of_the_vote() -> None:
    firsts, spent = set(), Budget(sampled_tokens=300)
    for seed in range(8):
        vote = attempt("vote:n=64", "scripted:sums,p=0.5", spent, seed=seed)
        unjudged = attempt("best-of-n:n=64,by=stated", "scripted:sums,p=0.5", spent, seed=seed)
        assert (unjudged.answer, unjudged.usage.judge_calls) == (vote.answer, 1)
        firsts.add(vote.answer == attempt("vote:n=1", "scripted:sums,p=0.5", spent, seed=seed).answer)
    assert firsts == {True, False}, "the vote is not always the first sample"
