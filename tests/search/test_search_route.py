"""The cascade: who is asked, when it stops, and what the trace says of it."""

from __future__ import annotations

import functools

import pytest
from attempts import consult, notes, score

from trivium.errors import UserError
from trivium.policies import policy
from trivium.policies.scripted import Scripted, Turn
from trivium.search.lm import LM
from trivium.search.route import route
from trivium.types import Answer, Budget, Question


def says(text: str) -> Scripted:
    return Scripted(lambda turn: text)


def sure_of_93(question: Question, response: str) -> float:
    """Imported by the specs below."""
    return 1.0 if "93" in response else 0.2


BY = "by=test_search_route:sure_of_93"


def test_a_sure_cheap_policy_answers_alone() -> None:
    trace = consult(f"route:{BY}", says("Answer: 93"), says("Answer: 1"))
    assert (trace.answer, trace.usage.calls, notes(trace)) == ("93", 1, ["answered by the policy"])
    assert score(trace) == 1.0


def test_an_unsure_one_passes_on_through_all_voices_and_the_last_is_not_judged() -> None:
    trace = consult(f"route:{BY}", says("Answer: 1"), says("Answer: 2"), says("Answer: 3"))
    assert (trace.answer, trace.usage.calls) == ("3", 3)
    assert notes(trace) == ["the policy: unsure", "v0: unsure", "answered by v1"]
    values = [node.value for node in trace.nodes if node.segment.source == "model"]
    assert values == [0.2, 0.2, None]
    middle = consult(f"route:{BY}", says("Answer: 1"), says("Answer: 93"), says("Answer: 3"))
    assert (middle.answer, middle.usage.calls) == ("93", 2)


def test_the_threshold_decides() -> None:
    for threshold, expected in ((0.2, "1"), (0.21, "2")):
        assert consult(f"route:{BY},threshold={threshold}", says("Answer: 1"), says("Answer: 2")).answer == expected


def test_no_answer_is_passed_on_unjudged_and_an_earlier_answer_stands_if_the_last_has_none() -> None:
    trace = consult(f"route:{BY}", says("hm"), says("Answer: 2"))
    assert (trace.answer, notes(trace)) == ("2", ["the policy: no answer", "answered by v0"])
    kept = consult(f"route:{BY}", says("Answer: 1"), says("no idea"))
    assert (kept.answer, kept.response) == ("1", "Answer: 1")
    nobody = consult(f"route:{BY}", says("hm"), says("er"))
    assert (nobody.answer, nobody.response) == (None, "er")


def test_without_voices_the_policy_votes_where_its_greedy_chain_is_unsure() -> None:
    def script(turn: Turn) -> str:
        return "Answer: 5" if turn.rng.random() < 0.8 else "Answer: 6"

    trace = consult(f"route:{BY}", Scripted(script))
    assert sum(node.segment.source == "model" for node in trace.nodes) == 17
    assert trace.answer == "5"
    assert notes(trace) == ["the policy: unsure", "answered by the policy's vote"]
    sure = consult(f"route:{BY},threshold=0.1", Scripted(script))
    assert sure.usage.calls == 1


def test_the_last_may_use_any_method() -> None:
    async def fixed(question: Question, lm: LM) -> Answer:
        [chain] = await lm.sample(question)
        return chain.answering("77")

    how = functools.partial(route, by=sure_of_93, last=fixed)
    trace = consult(how, says("Answer: 1"), says("x"))
    assert (trace.answer, notes(trace)) == ("77", ["the policy: unsure", "answered by v0"])
    assert consult(f"route:{BY},last=vote:n=3", says("Answer: 1"), says("Answer: 2")).usage.sampled_tokens == 40


def test_its_own_values_and_a_policy_that_doubts_itself() -> None:
    cheap = Scripted(lambda turn: "Answer: 1")
    assert consult("route:threshold=0.1", cheap, says("Answer: 2")).answer == "1", "log-probs by default"
    assert consult("route:threshold=1", cheap, says("Answer: 2")).answer == "2"
    trace = consult("route:by=self,threshold=0.999999", cheap, says("Answer: 2"))
    assert (trace.answer, trace.usage.judge_calls) == ("2", 1)
    assert trace.usage.calls == 3, "the judgement is a call"
    with pytest.raises(UserError, match="nonsense"):
        consult("route:by=nonsense", cheap)


def test_a_budget_keeps_the_cheap_answer() -> None:
    trace = consult(f"route:{BY}", says("Answer: 1"), says("Answer: 2"), budget=Budget(sampled_tokens=10))
    assert (trace.answer, trace.finish, trace.usage.sampled_tokens) == ("1", "budget", 10)
    for tokens in (1, 40, 300):
        for name in ("scripted:random", "scripted:endless"):
            assert consult("route", policy(name), budget=Budget(sampled_tokens=tokens)).usage.sampled_tokens <= tokens
