"""Debate and round table: who reads what, who votes with which weight, and what a budget or nonsense does to them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace

import pytest
from attempts import ASKED, PROBLEM, consult, in_any_concurrency, problems, reads_at_most, score
from hypothesis import given
from hypothesis import strategies as st

from trivium.errors import UserError
from trivium.policies import policy
from trivium.policies.scripted import Scripted, Turn
from trivium.search import method
from trivium.search.driver import solve
from trivium.search.round_table import round_table, weight
from trivium.search.stated import HOW_SURE, confidence
from trivium.types import Budget, Message

PAPER = (1.0, 0.8, 0.5, 0.3, 0.1)


def speaker(
    first: str, then: str | Callable[[str], str], sure: str = "0.9", heard: list[str] | None = None
) -> Scripted:
    """Says `first`, then `then` (of what it was shown) whenever it is shown other solutions."""

    def script(turn: Turn) -> str:
        if heard is not None:
            heard.append(turn.question)
        if turn.question == HOW_SURE:
            return sure
        if turn.question == ASKED:
            return first
        return then if isinstance(then, str) else then(turn.question)

    return Scripted(script)


def test_debaters_see_the_others_last_words_and_the_problem_and_the_majority_decides() -> None:
    heard: list[str] = []
    a = speaker("Answer: 1", "Answer: 93", heard=heard)
    b, c = speaker("Answer: 93", "Answer: 93"), speaker("Answer: 2", "Answer: 2")
    trace = consult("debate", a, b, c)
    assert (trace.answer, trace.response) == ("93", "Answer: 93")
    assert score(trace) == pytest.approx(2 / 3)
    assert trace.usage.calls == 6
    [advice] = heard[1:]
    assert advice.count("Another solution") == 2
    assert "Answer: 93" in advice
    assert "Answer: 2" in advice
    assert "Answer: 1" not in advice
    assert advice.endswith(ASKED)


def test_a_debater_keeps_all_of_its_own_turns_in_mind() -> None:
    question = replace(PROBLEM.question, messages=(Message("system", "Be brief."), *PROBLEM.question.messages))
    trace = consult(
        "debate:rounds=3,n=2,until_agreed=false", speaker("Answer: 1", "Answer: 3"), speaker("no", "Answer: 2"),
        about=replace(PROBLEM, question=question),
    )  # fmt: skip
    longest = max((n.segment.text for n in trace.nodes if n.segment.source == "prompt"), key=len)
    assert longest.count("user: ") == 3
    assert longest.count("assistant: ") == 3
    assert longest.startswith("system: Be brief.")


def test_a_debate_ends_when_all_agree_unless_told_otherwise() -> None:
    same = speaker("Answer: 5", "Answer: 6")
    assert consult("debate:rounds=4", same).answer == "5"
    assert consult("debate:rounds=4", same).usage.calls == 3
    assert consult("debate:rounds=4,until_agreed=false", same).answer == "6"
    assert consult("debate:rounds=4,until_agreed=false", same).usage.calls == 12


def test_one_round_is_a_vote_and_one_debater_checks_itself() -> None:
    assert consult("debate:rounds=1", speaker("Answer: 5", "Answer: 6")).usage.calls == 3
    alone = consult(
        "debate:n=1,until_agreed=false", speaker("Answer: 5", lambda shown: f"Answer: {shown.count('Check')}")
    )
    assert (alone.answer, alone.usage.calls) == ("1", 2)


@pytest.mark.parametrize("spec", ["debate", "round-table"])
def test_nonsense_leaves_a_speaker_with_its_answer_and_never_votes(spec: str) -> None:
    talks, mute = speaker("Answer: 7", "hm, who can say"), speaker("no idea", "still none")
    trace = consult(spec, mute, talks, mute)
    assert (trace.answer, trace.response, score(trace)) == ("7", "Answer: 7", 1.0)
    silent = consult(spec, speaker("", ""))
    assert (silent.answer, silent.finish) == (None, "stop")


@pytest.mark.parametrize("spec", ["debate:rounds=3", "round-table:by=logprob", "round-table:by=self", "round-table"])
@pytest.mark.parametrize("name", ["scripted:random", "scripted:endless", "scripted:p=0.3"])
def test_any_output_and_any_budget_give_an_answer_or_none(spec: str, name: str) -> None:
    for tokens in (1, 30, 100, 200, 2000):
        trace = consult(spec, policy(name), budget=Budget(sampled_tokens=tokens))
        assert trace.usage.sampled_tokens <= tokens
        if name == "scripted:p=0.3" and tokens >= 30:
            assert trace.answer is not None, "the best so far"


@pytest.mark.parametrize("spec", ["debate:until_agreed=false,rounds=3", "round-table"])
def test_a_budget_that_ends_in_a_later_round_keeps_what_was_said(spec: str) -> None:
    a, b = speaker("Answer: 1", "Answer: 8"), speaker("Answer: 2", "Answer: 8")
    sure = 4 if spec == "round-table" else 0
    spent = 2 * (10 + sure)  # the first round, and no token more
    trace = consult(spec + (",n=2" if "," in spec else ":n=2"), a, b, budget=Budget(sampled_tokens=spent))
    assert (trace.answer, trace.finish) == ("1", "budget")


def test_speakers_are_the_policy_and_the_voices_in_turn() -> None:
    trace = consult("debate:n=5,rounds=1", speaker("Answer: 1", ""), speaker("Answer: 2", ""))
    said = [n.segment.text for n in trace.nodes if n.segment.source == "model"]
    assert sorted(said) == ["Answer: 1"] * 3 + ["Answer: 2"] * 2
    assert len({n.segment.text for n in consult("debate:n=3,rounds=1", policy("scripted:p=0.1")).nodes}) > 2, "seeds"


def test_the_round_table_weighs_votes_by_stated_confidence() -> None:
    unsure, sure = speaker("Answer: 1", "Answer: 1", "0.7"), speaker("Answer: 2", "Answer: 2", "I am 95% sure")
    trace = consult("round-table", unsure, unsure, sure)
    assert trace.answer == "2"
    assert score(trace) == pytest.approx(0.8 / (0.8 + 2 * 0.3))
    assert trace.usage.judge_calls == 9, "every answer of every round"
    assert consult("round-table:weights=1 1 1 1 1", unsure, unsure, sure).answer == "1"
    assert consult("round-table:weights=0 0 0 0 0", unsure, unsure, sure).answer == "1", "a tie: the first speaker"


def test_the_round_table_shows_every_group_with_its_size_and_confidence() -> None:
    heard: list[str] = []
    a, b = speaker("Answer: 1", "Answer: 2", "0.7", heard), speaker("it is 2", "Answer: 2", "1")
    trace = consult("round-table:n=4", a, b)
    assert (trace.answer, score(trace)) == ("2", 1.0)
    shown = next(text for text in heard if "Review" in text)
    for part in ("2 of 4 say 1:", "2 of 4 say 2:", "Answer: 1\n(confidence 0.70)", "it is 2\n(confidence 1.00)"):
        assert part in shown
    assert shown.endswith(ASKED)
    assert trace.usage.calls == 16, "consensus after one round of discussion"


def test_a_function_may_word_what_each_seat_of_the_round_table_is_told() -> None:
    heard: list[str] = []
    a = speaker("Answer: 1", "Answer: 3", "0.7", heard)
    how = functools.partial(
        round_table, n=2, rounds=1, by=lambda question, response: 0.9,
        words=lambda stands, seat: f"{seat} of {[s.answer for s in stands]}, {stands[0].confidence}: ",
    )  # fmt: skip
    trace = consult(how, a, speaker("Answer: 2", "Answer: 3", "0.7", heard))
    assert (trace.answer, trace.usage.calls) == ("3", 4)
    assert sorted(heard[2:]) == [f"{seat} of ['1', '2'], 0.9: {ASKED}" for seat in (0, 1)]


def test_the_round_table_stops_at_consensus_and_discusses_no_more_than_asked() -> None:
    same = speaker("Answer: 5", "Answer: 6")
    assert consult("round-table", same).usage.calls == 6
    split = (speaker("Answer: 5", "Answer: 5"), speaker("Answer: 6", "Answer: 6"))
    assert consult("round-table:n=2,rounds=0", *split).usage.calls == 4
    assert consult("round-table:n=2,rounds=2", *split).usage.calls == 12


@pytest.mark.parametrize(
    ("p", "expected"),
    [(1, 1.0), (0.99, 0.8), (0.9, 0.8), (0.89, 0.5), (0.8, 0.5), (0.79, 0.3), (0.61, 0.3), (0.6, 0.1)],
)
def test_the_papers_bands(p: float, expected: float) -> None:
    assert weight(p, PAPER) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0.85", 0.85), ("90%", 0.9), ("about 90", 0.9), ("1", 1.0), ("1.0.", 1.0), (".5", 0.5), ("9/10", 0.9),
     ("100", 1.0), ("80/100", 0.8), ("very sure", 0.0), ("", 0.0), ("0", 0.0), ("7 %", 0.07),
     ("12/10", 0.0), ("2024", 0.0)],
)  # fmt: skip
def test_stated_confidence_is_read_forgivingly(text: str, expected: float) -> None:
    assert confidence(text) == pytest.approx(expected)


@given(st.text())
def test_stated_confidence_is_total(text: str) -> None:
    assert 0 <= confidence(text) <= 1


@pytest.mark.parametrize(
    "spec", ["debate:n=0", "debate:rounds=0", "round-table:n=0", "round-table:rounds=-1", "round-table:weights=1 2",
             "round-table:weights=a b c d e", "round-table:weights=1 1 1 1 nan"],
)  # fmt: skip
def test_bad_options_are_refused_with_what_was_expected(spec: str) -> None:
    with pytest.raises(UserError, match="expected"):
        solve(method(spec), [PROBLEM], policy("scripted"))


@pytest.mark.parametrize("spec", ["debate:n=4,rounds=3", "round-table:n=4", "round-table:by=self"])
@pytest.mark.parametrize("budget", [None, Budget(sampled_tokens=150)])
def test_same_seeds_same_answers_whatever_the_timing(spec: str, budget: Budget | None) -> None:
    a, b = policy("scripted:p=0.5,delay=0.003"), policy("scripted:p=0.2,delay=0.002")
    in_any_concurrency(spec, problems(15), a, voices={"b": b}, budget=budget, seed=3)


@pytest.mark.parametrize("spec", ["debate", "round-table"])
def test_who_cannot_read_the_others_stands_by_what_it_said(spec: str) -> None:
    a, b = (reads_at_most(120, speaker(f"{'so ' * 20}Answer: {x}", "Answer: 0").script) for x in "12")
    assert consult(spec, a, b).answer == "1"
    long = replace(PROBLEM, question=replace(PROBLEM.question, messages=(Message("user", "?" * 200),)))
    with pytest.raises(UserError, match="too long"):
        solve(method(spec), [long], reads_at_most(120, lambda turn: ""))
