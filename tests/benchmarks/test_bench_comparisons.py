"""What a set of comparisons says about when search pays."""

from __future__ import annotations

from typing import Any

import pytest
from benchmarks.comparisons import best, over_vote, page, pays


def row(method: str, accuracy: float | None, oracle: int = 0) -> dict[str, Any]:
    share = accuracy or 0.0
    return {
        "method": method, "accuracy": accuracy, "low": share, "high": share, "oracle_calls": oracle,
        "sampled_per_problem": 10.0, "prompt_per_problem": 5.0,
    }  # fmt: skip


def pair(better: str, worse: str, real: bool) -> dict[str, Any]:
    return {"better": better, "worse": worse, "difference": 0.1, "low": 0.05, "high": 0.2, "real": real}


ROWS = [row("greedy", 0.4), row("vote", 0.4), row("mcts", 0.5), row("beam:by=arithmetic", 0.6), row("x", 0.9, oracle=3)]


@pytest.mark.parametrize(
    ("won", "said"),
    [
        ([], "nothing over greedy"),
        ([("mcts", "vote")], "nothing over greedy"),  # not over greedy
        ([("mcts", "vote"), ("mcts", "greedy")], "search: mcts"),
        ([("beam:by=arithmetic", "vote"), ("beam:by=arithmetic", "greedy")], "checked search: beam:by=arithmetic"),
        ([("x", "vote"), ("x", "greedy")], "nothing over greedy"),  # a bound is no method
        ([("vote", "greedy")], "vote"),
        ([("greedy", "vote")], "greedy"),
    ],
)
def test_only_real_differences_over_greedy_and_vote_count(won: list[tuple[str, str]], said: str) -> None:
    at = {"rows": ROWS, "pairs": [pair(*names, real=True) for names in won] + [pair("mcts", "vote", real=False)]}
    assert pays(at) == said


def test_the_best_is_no_bound_and_its_difference_has_the_sign_of_the_method() -> None:
    at = {"rows": [*ROWS, row("debate", None)], "pairs": [pair("vote", "mcts", real=True)]}
    found = best(at, checked=False), best(at, checked=True)
    assert [r and r["method"] for r in found] == ["mcts", "beam:by=arithmetic"]
    assert over_vote(at, "mcts") == "**\N{MINUS SIGN}10.0 [\N{MINUS SIGN}20.0, \N{MINUS SIGN}5.0]**"
    assert over_vote(at, "beam:by=arithmetic") == "-"


def test_the_page_has_every_budget_and_method_and_how_it_was_made() -> None:
    curve = [{"budget": b, "rows": ROWS, "pairs": [pair("mcts", "vote", real=False)]} for b in (64, 512)]
    about = {
        "curve": curve, "rows": ROWS, "command": ["trivium", "compare"], "commit": "abc",
        "settings": {"n": 200, "split": "test"}, "machine": {"cpu": "a machine", "cores": 2},
    }  # fmt: skip
    how = {
        "command": ["trivium", "learn"], "minutes": 4.56, "before": row("greedy", 0.01), "after_warmup": None,
        "after": row("greedy", 0.3), "commit": "def",
    }  # fmt: skip
    text = page({"sums-tiny": about, "countdown-tiny": {**about, "rows": ROWS[:2]}}, {"sums-tiny": how})
    assert "`trivium learn`, 4.6 minutes, greedy accuracy on unseen problems 1.0% -> 30.0%, commit def" in text
    assert text.count("(sums-tiny/comparison.html)") == 2
    assert "| mcts | 50.0% (+10.0 [+5.0, +20.0]), 10+5 | - |" in text
    assert "`trivium compare`, 200 test problems, commit abc, a machine, 2 cores" in text
