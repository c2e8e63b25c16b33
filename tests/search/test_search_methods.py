"""What each method answers, on scripts whose right behaviour is known."""

from __future__ import annotations

import pytest
from attempts import PROBLEM, Mute, ask, in_turn, problems, score
from hypothesis import given
from hypothesis import strategies as st

from trivium.errors import Unsupported, UserError
from trivium.policies import policy
from trivium.search import method
from trivium.search.driver import solve
from trivium.search.vote import majority


def test_greedy_is_one_deterministic_chain() -> None:
    model = policy("scripted:p=0.5")
    texts = {solve(method("greedy"), [PROBLEM], model, seed=seed)[0].response for seed in range(20)}
    assert len(texts) == 1


def test_the_most_common_answer_wins_and_its_share_is_kept() -> None:
    trace = ask("vote:n=5", in_turn("Answer: 1", "so 2", "Answer: 2", "it is 3", "2"))
    assert trace.answer == "2"
    assert trace.response == "so 2", "the first chain that says so"
    assert score(trace) == pytest.approx(3 / 5)


def test_abstentions_never_vote_even_in_the_majority() -> None:
    trace = ask("vote:n=5", in_turn("no idea", "", "Answer: 7", "hm", "who knows"))
    assert trace.answer == "7"
    assert score(trace) == 1.0


def test_when_everybody_abstains_so_does_the_vote() -> None:
    trace = ask("vote:n=3", in_turn("hm", "er", ""))
    assert trace.answer is None
    assert trace.response == "hm"


@given(st.lists(st.sampled_from([None, "a", "b", "c"]), max_size=12))
def test_majority(ballots: list[str | None]) -> None:
    winner, share = majority(ballots)
    cast = [b for b in ballots if b is not None]
    if not cast:
        assert (winner, share) == (None, 0.0)
        return
    most = max(cast.count(b) for b in cast)
    assert winner == next(b for b in cast if cast.count(b) == most), "ties by first seen"
    assert share == most / len(cast)


def test_voting_beats_one_sample_when_errors_disagree() -> None:
    def correct(spec: str) -> int:
        traces = solve(method(spec), problems(100), policy("scripted:p=0.5"))
        return sum(t.answer == p.reference for p, t in zip(problems(100), traces, strict=True))

    assert correct("vote:n=16") > 95 > 65 > correct("vote:n=1")


def test_best_of_n_takes_the_highest_mean_logprob() -> None:
    trace = ask("best-of-n:n=8", policy("scripted:random"))
    means = {
        i: sum(n.segment.logprobs) / len(n.segment.logprobs)
        for i, n in enumerate(trace.nodes)
        if i and any(ch.isdigit() for ch in n.segment.text)
    }
    assert trace.answer_node == max(means, key=lambda i: means[i])


def test_best_of_n_by_a_function_given_by_its_address() -> None:
    lines = ("Answer: 1", "I will not say, and at length", "So the answer: 2", "3")
    trace = ask("best-of-n:n=4,by=attempts:length", in_turn(*lines))
    assert trace.answer == "2", "the longest of those that answer at all"


@pytest.mark.parametrize("by", ["nonsense", "no.such.module:f", "math:pi"])
def test_best_of_n_by_something_else(by: str) -> None:
    with pytest.raises(UserError, match=by):
        ask(f"best-of-n:n=2,by={by}", in_turn("1", "2"))


def test_best_of_n_without_logprobs_names_policies_that_have_them() -> None:
    with pytest.raises(Unsupported, match="smollm2"):
        ask("best-of-n:n=2", Mute(in_turn("1", "2")))
