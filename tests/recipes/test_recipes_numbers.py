"""What a page says of an inconclusive verdict: how many seeds would decide it."""

from __future__ import annotations

from typing import Any

import pytest

from trivium.recipes.numbers import to_decide
from trivium.stats import student_interval

EFFECTS = [0.03, 0.01, 0.05, -0.02]


def line(margin: float, effects: list[float] = EFFECTS, verdict: str = "inconclusive") -> dict[str, Any]:
    low, high = student_interval(effects)
    return {
        "verdict": verdict, "margin": margin, "low": low, "high": high,
        "effect": sum(effects) / len(effects), "effects_by_seed": effects,
        "minutes": 8.0, "seeds": len(effects),
    }  # fmt: skip


def test_the_seeds_named_would_decide_it() -> None:
    said = to_decide(line(0.0))
    seeds = int(said.split()[1])
    assert said == f"about {seeds} seeds like these, {2 * seeds} minutes"
    mean = sum(EFFECTS) / 4
    deviation = (sum((e - mean) ** 2 for e in EFFECTS) / 3) ** 0.5
    assert 1.96 * deviation / seeds**0.5 < mean
    assert 4.31 * deviation / (seeds - 1) ** 0.5 > mean


def test_an_effect_at_its_margin_is_decided_by_no_number() -> None:
    assert "no number of seeds" in to_decide(line(sum(EFFECTS) / 4))


def test_questions_may_want_more_where_seeds_agree() -> None:
    """The interval is then that of the bootstrap, and shrinks with the root of the seeds: 3 times (3 / 1) squared."""
    agreed = line(0.01, [0.0201, 0.02, 0.0199]) | {"low": -0.01, "high": 0.05}
    assert to_decide(agreed).startswith("about 27 seeds")


def test_one_seed_has_no_spread_to_reckon_with() -> None:
    alone = line(0.01) | {"effects_by_seed": [0.02], "seeds": 1, "low": -0.1, "high": 0.1}
    assert "one has no spread" in to_decide(alone)


@pytest.mark.parametrize("decided", [line(0.2, verdict="refuted"), line(0.0) | {"low": 0.1, "high": 0.3}])
def test_what_is_decided_or_spoilt_by_its_null_arm_says_nothing(decided: dict[str, Any]) -> None:
    assert to_decide(decided) == ""
