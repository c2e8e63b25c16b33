"""Permuted pay is the same pay, moved within its group alike for all terms, and never to where nothing is known."""

from __future__ import annotations

from collections import Counter

from trivium.rewards.composite import parse_rewards
from trivium.rewards.outcome import outcome, partial
from trivium.rewards.permuted import permuted, permuted_but
from trivium.types import Trace, Verdict


def group(name: str, n: int = 8) -> list[Trace]:
    """Traces with scores 0/n, 1/n, ... of which the last is right and the third could not be judged."""
    made = [Trace(name, response=f"r{i}", verdict=Verdict.wrong("x", i / n, steps=i / n)) for i in range(n)]
    made[2].verdict = Verdict.error("timeout")
    made[-1].verdict = Verdict.right("y", steps=1.0)
    return made


def test_the_same_amounts_go_to_other_traces() -> None:
    for reward in (outcome(), partial()):
        for name in "abcdef":
            paid, moved = reward(group(name)), permuted(reward)(group(name))
            assert Counter(paid) == Counter(moved)
            assert moved[2] is None
    hands = {tuple(permuted(partial())(group(name))) for name in "abcdef"}
    assert len(hands) > 1, "every group has its own order"


def test_a_run_repeats_and_terms_move_together() -> None:
    made = group("q")
    assert permuted(partial())(made) == permuted(partial())(made)
    steps = permuted(partial("steps"))(made)
    wholes = permuted(partial())(made)
    assert steps == wholes, "they pay the same here, and moved alike"


def test_pay_says_nothing_about_who_earned_it() -> None:
    kept = sum(permuted(outcome())(group(str(i)))[-1] or 0.0 for i in range(700))
    assert 60 < kept < 140, "one of seven"


def test_kept_terms_stay() -> None:
    composite = permuted_but(parse_rewards("outcome=3,partial(part=steps)=1", max_tokens=9), "outcome")
    for name in "abcdef":
        paid = composite(group(name))
        best = max(range(8), key=lambda i: paid[i] or 0.0)
        assert best == 7
        assert (paid[7] or 0.0) >= 3
    assert [t.weight for t in composite.terms] == [3, 1]


def test_surrogates_and_empty_groups_are_no_trouble() -> None:
    odd = [Trace("q", response="\ud800", verdict=Verdict.right("y"))]
    assert permuted(outcome())(odd) == [1.0]
    assert permuted(outcome())([]) == []
