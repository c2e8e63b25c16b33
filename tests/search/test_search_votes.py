"""Votes with weights, votes that stop early, process rewards, and ballots that are runs of a method."""

from __future__ import annotations

import functools
import math

import attempts
import pytest
from attempts import in_any_concurrency, in_turn, problems, score
from hypothesis import given
from hypothesis import strategies as st

from trivium.errors import UnknownName, UserError
from trivium.policies import policy
from trivium.policies.scripted import Scripted
from trivium.search import method, of
from trivium.search.adaptive_vote import adaptive_vote, lead
from trivium.search.best_of_n import best_of_n
from trivium.search.driver import solve
from trivium.search.lm import LM
from trivium.search.vote import vote
from trivium.search.weighted_vote import weighted_vote, weights
from trivium.types import Answer, Budget, Question, Sampling
from trivium.verify.parse import parse_answer

PROBLEMS = problems(15)
ask = functools.partial(attempts.ask, about=PROBLEMS[0])


def worth(**scores: float) -> object:
    """A scorer by the answer's number, named `a1=0.5`."""
    return lambda question, response: scores["a" + response.split()[-1]]


def test_weights_may_overrule_the_majority() -> None:
    lines = ("Answer: 1", "Answer: 2", "hm", "Answer: 1", "Answer: 2", "Answer: 1")

    async def weighted(question: Question, lm: LM) -> Answer:
        return await weighted_vote(question, lm, n=6, by=worth(a1=0.1, a2=0.5))

    trace = ask(weighted, in_turn(*lines))
    assert (trace.answer, trace.response) == ("2", "Answer: 2")
    assert score(trace) == pytest.approx(1.0 / 1.3)


def test_equal_weights_and_a_hot_softmax_are_the_plain_vote_and_a_cold_one_is_the_best_chain() -> None:
    lines = ("Answer: 1", "- Answer: 2", "- Answer: 2", "Answer: 333")
    by = "attempts:length"
    assert ask(f"weighted-vote:n=4,by={by},softmax=1000", in_turn(*lines)).answer == "2"
    assert ask(f"weighted-vote:n=4,by={by},softmax=0.01", in_turn(*lines)).answer == "2"
    lines = ("Answer: 1", "Answer: 2", "Answer: 2", "Answer: 333")
    assert ask(f"weighted-vote:n=4,by={by},softmax=0.01", in_turn(*lines)).answer == "333"

    async def equal(question: Question, lm: LM) -> Answer:
        return await weighted_vote(question, lm, n=16, by=lambda q, r: 0.25)

    model = policy("scripted:p=0.3")
    plain, same = solve(method("vote:n=16"), PROBLEMS, model), solve(equal, PROBLEMS, model)
    assert [(t.answer, t.response) for t in plain] == [(t.answer, t.response) for t in same]


def test_the_default_weight_is_the_geometric_mean_of_token_probabilities() -> None:
    for lines in (("Answer: 1", "so: 7", "hm"), ("no 5", "so it is 5", "aaaa 7", "aaaaaaaa 7", "zzzz 5")):
        trace = ask(f"weighted-vote:n={len(lines)}", in_turn(*lines))
        total: dict[str, float] = {}
        for node in trace.nodes[1:]:
            value = parse_answer("number", node.segment.text)
            if value is not None:
                weight = math.exp(sum(node.segment.logprobs) / len(node.segment.logprobs))
                total[value] = total.get(value, 0.0) + weight
        assert len(total) == 2
        assert trace.answer == max(total, key=lambda value: total[value])
        assert score(trace) == pytest.approx(max(total.values()) / sum(total.values()))


def test_weights_of_zero_fall_back_on_counting_and_abstentions_have_none() -> None:
    async def nothing(question: Question, lm: LM) -> Answer:
        return await weighted_vote(question, lm, n=4, by=lambda q, r: 0.0)

    trace = ask(nothing, in_turn("hm", "Answer: 2", "er", "Answer: 2"))
    assert (trace.answer, score(trace)) == ("2", 1.0)
    silent = ask("weighted-vote:n=3", in_turn("hm", "er", ""))
    assert (silent.answer, silent.response) == (None, "hm")


@pytest.mark.parametrize(("value", "softmax"), [(-1.0, None), (math.inf, None), (math.inf, 1.0), (-math.inf, 1.0)])
def test_a_value_that_is_no_weight(value: float, softmax: float | None) -> None:
    with pytest.raises(UserError, match="no weight"):
        weights([0.5, value], softmax)


@given(st.lists(st.floats(-1e6, 1e6), max_size=8), st.floats(1e-3, 1e3))
def test_softmax_weights_keep_the_order(values: list[float], softmax: float) -> None:
    got = weights(values, softmax)
    assert all(0.0 <= w <= 1.0 for w in got)
    assert not values or max(got) == 1.0
    assert all(got[i] <= got[j] for i in range(len(got)) for j in range(len(got)) if values[i] <= values[j])


def test_bad_options() -> None:
    for spec, said in (
        ("weighted-vote:softmax=0", "softmax=0"),
        ("adaptive-vote:threshold=0.3", "threshold=0.3"),
        ("adaptive-vote:wave=0", "waves of 0"),
        ("adaptive-vote:n=none", "give one of sampled_tokens or seconds"),
        ("vote:n=none,of=greedy", "give one of sampled_tokens or seconds"),
        ("vote:n=0,of=greedy", "n=0 runs"),
        ("best-of-n:over=min-step", "by=self"),
    ):
        with pytest.raises(UserError, match=said):
            ask(spec, policy("scripted"))
    with pytest.raises(UnknownName, match="refine"):
        ask("vote:of=refin", policy("scripted"))


def test_four_that_agree_are_enough_and_three_are_not() -> None:
    assert lead(3, 0) == 15 / 16
    assert lead(4, 0) == 31 / 32
    trace = ask("adaptive-vote", policy("scripted"))
    assert (trace.answer, len(trace.nodes)) == ("63", 1 + 4)
    one_by_one = ask("adaptive-vote:wave=1", policy("scripted"))
    assert len(one_by_one.nodes) == 1 + 4


@given(st.integers(0, 30), st.integers(0, 30))
def test_lead_is_the_beta_integral(first: int, second: int) -> None:
    steps = 2000
    xs = [(i + 0.5) / steps for i in range(steps)]
    density = [x**first * (1 - x) ** second for x in xs]
    above = sum(d for x, d in zip(xs, density, strict=True) if x > 0.5) / sum(density)
    assert lead(first, second) == pytest.approx(above, abs=1e-4)
    assert lead(first, second) + lead(second, first) == pytest.approx(1.0)


def test_a_doubtful_vote_draws_on_until_n_or_until_none_can_catch_up() -> None:
    split = Scripted(lambda turn: f"Answer: {turn.rng.randrange(1000)}")
    assert len(ask("adaptive-vote:n=10,wave=4,threshold=1", split).nodes) == 1 + 10, "waves of 4, 4 and 2"
    trace = ask("adaptive-vote:n=5,wave=1,threshold=1", Scripted(lambda turn: "Answer: 8"))
    assert len(trace.nodes) == 1 + 3, "three of five cannot be overtaken"
    assert score(trace) == 1.0


def test_abstentions_make_no_lead() -> None:
    assert len(ask("adaptive-vote:n=8", Scripted(lambda turn: "no idea")).nodes) == 1 + 8
    assert ask("adaptive-vote:n=8", Scripted(lambda turn: "no idea")).answer is None
    silent = ask("adaptive-vote:n=none", Scripted(lambda turn: ""), Budget(sampled_tokens=50))
    assert (silent.answer, silent.usage.sampled_tokens) == (None, 50)


def test_an_adaptive_vote_is_cheaper_and_nearly_as_good() -> None:
    model = policy("scripted:p=0.7")
    fixed, adaptive = (solve(method(s), PROBLEMS, model) for s in ("vote:n=40", "adaptive-vote"))
    right = [sum(t.answer == p.reference for t, p in zip(ts, PROBLEMS, strict=True)) for ts in (fixed, adaptive)]
    assert right == [15, 15]
    assert sum(t.usage.sampled_tokens for t in adaptive) < 0.4 * sum(t.usage.sampled_tokens for t in fixed)


def test_a_cut_adaptive_vote_says_what_leads() -> None:
    trace = ask("adaptive-vote:wave=1,threshold=1", policy("scripted"), Budget(sampled_tokens=100), max_tokens=60)
    assert (trace.answer, trace.finish) == ("63", "budget")
    assert trace.usage.sampled_tokens <= 100


def test_a_process_reward_looks_at_every_beginning() -> None:
    judged: list[str] = []

    def scorer(question: Question, response: str) -> float:
        judged.append(response)
        return {"a": 0.9, "b": 0.2, "c": 0.5}.get(response.strip()[-1], 0.8)

    async def steps(question: Question, lm: LM) -> Answer:
        return await best_of_n(question, lm, n=2, by=scorer, over=over)

    lines = ("a\nb\n\nAnswer: 1", "c\nc\nAnswer: 2")
    over = "min-step"
    assert ask(steps, in_turn(*lines)).answer == "2", "min 0.5 beats min 0.2"
    assert set(judged) == {"a\n", "a\nb\n", "a\nb\n\nAnswer: 1", "c\n", "c\nc\n", "c\nc\nAnswer: 2"}
    over = "mean-step"
    assert ask(steps, in_turn(*lines)).answer == "1", "mean 1.9 / 3 beats mean 1.8 / 3"
    over = "response"
    assert ask(steps, in_turn(*lines)).answer == "1", "equal in the end, so the first"


def test_a_process_reward_by_rollouts_goes_on_from_each_step() -> None:
    trace = ask("best-of-n:n=3,by=rollout:n=2,over=min-step", policy("scripted:p=0.6"))
    told = [n for n in trace.nodes if n.segment.source == "tool"]
    assert len(told) == 3 * 3, "two equations and an answer each"
    assert trace.usage.calls == 1 + 9


async def halving(question: Question, lm: LM) -> Answer:
    """An inner method with an offer of its own, in two calls."""
    [chain] = await lm.sample(question)
    lm.offer(chain.answering("offered"))
    [again] = await lm.sample(question)
    return again.answering(lm.answer(again))


def test_ballots_may_be_runs_of_a_method_by_name_or_by_function() -> None:
    model = policy("scripted:p=0.6")
    traces = solve(method("vote:n=9,of=vote:n=3;temperature=1"), PROBLEMS, model)
    assert all(len(t.nodes) == 1 + 9 * 3 for t in traces)
    assert sum(t.answer == p.reference for t, p in zip(traces, PROBLEMS, strict=True)) == 15

    async def by_function(question: Question, lm: LM) -> Answer:
        return await vote(question, lm, n=5, of=halving)

    for trace in solve(by_function, PROBLEMS, model):
        assert len(trace.nodes) == 1 + 10
        assert score(trace) in {k / 5 for k in range(1, 6)}
    assert of(halving) is halving
    for spec in ("weighted-vote:n=3,of=greedy", "best-of-n:n=3,of=greedy", "adaptive-vote:of=greedy"):
        assert ask(spec, policy("scripted")).answer == "63"


def test_ballots_that_the_budget_does_not_finish_are_not_counted() -> None:
    async def inner(question: Question, lm: LM) -> Answer:
        return await vote(question, lm, n=None, of=halving)

    # A reply is 36 tokens with its end; a run is two of them.
    for tokens, runs in ((72, 1), (150, 2), (216, 3)):
        trace = ask(inner, policy("scripted"), Budget(sampled_tokens=tokens), max_tokens=36)
        assert trace.answer == "63"
        assert trace.usage.sampled_tokens <= tokens
        assert sum(n.segment.text.endswith("Answer: 63") for n in trace.nodes) >= 2 * runs
    none = ask(inner, policy("scripted"), Budget(sampled_tokens=36), max_tokens=36)
    assert (none.answer, none.finish) == ("offered", "budget")


def test_an_adaptive_vote_of_runs_keeps_its_leader_when_a_run_is_cut_off() -> None:
    async def inner(question: Question, lm: LM) -> Answer:
        return await adaptive_vote(question, lm, wave=1, threshold=1, of=halving)

    trace = ask(inner, policy("scripted"), Budget(sampled_tokens=36 * 3), max_tokens=36)
    assert trace.answer == "63", "not what the run that was cut off had offered"


SPECS = (
    "weighted-vote:n=5", "weighted-vote:n=4,by=self:n=1,softmax=0.2", "adaptive-vote:n=9,wave=2", "vote:n=3,of=refine",
    "weighted-vote:n=3,of=greedy", "best-of-n:n=2,by=rollout:n=2,over=min-step", "adaptive-vote:n=4,of=self-rethinking",
)  # fmt: skip


@pytest.mark.parametrize("tokens", [None, 260])
@pytest.mark.parametrize("spec", SPECS)
def test_equal_seeds_give_equal_answers_one_at_a_time_in_sevens_and_all_at_once(spec: str, tokens: int | None) -> None:
    model, sampling = policy("scripted:p=0.5,delay=0.002"), Sampling(max_tokens=60)
    budget = Budget(sampled_tokens=tokens) if tokens else None
    traces = in_any_concurrency(spec, PROBLEMS, model, seed=3, budget=budget, sampling=sampling)
    assert not any(trace.error for trace in traces)


@pytest.mark.parametrize("script", ["random", "endless", "sums"])
@pytest.mark.parametrize("spec", [*SPECS, "weighted-vote:n=none", "adaptive-vote:n=none", "vote:n=none,of=refine"])
def test_budgets_hold_to_the_token_on_any_output(spec: str, script: str) -> None:
    for budget in (Budget(sampled_tokens=1), Budget(sampled_tokens=97), Budget(total_tokens=1500), Budget(calls=3)):
        if budget.calls and "none" in spec:
            continue
        trace = ask(spec, policy(f"scripted:{script},delay=0.0001"), budget, max_tokens=40)
        assert trace.usage.sampled_tokens <= (budget.sampled_tokens or math.inf)
        assert trace.usage.total_tokens <= (budget.total_tokens or math.inf)
        assert trace.usage.calls <= (budget.calls or math.inf)


def test_an_open_vote_ends_with_the_first_run_that_finds_no_room() -> None:
    runs: list[int] = []

    async def inner(question: Question, lm: LM) -> Answer:
        runs.append(len(runs))
        [chain] = await lm.sample(question)
        return chain.answering("1")

    async def votes(question: Question, lm: LM) -> Answer:
        return await vote(question, lm, n=None, of=inner)

    trace = ask(votes, lambda turn: "Answer: 1", Budget(calls=2, seconds=2))
    assert (trace.answer, trace.usage.calls, len(runs)) == ("1", 2, 3)
