"""A claim is decided by its intervals, and refused where budgets, questions or hygiene forbid a decision."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.claims import ArmResult, Claim, check, effect
from trivium.errors import RunError
from trivium.stats import student_interval

CLAIM = Claim("a beats b", better="a", worse="b", margin=0.05, matched=("sampled_tokens",), null="n", rivals=("r",))


def arm(name: str, seed: int, rate: float, *, n: int = 400, tokens: float = 100.0, overlap: int = 0) -> ArmResult:
    """Scores of `n` questions, of which a share `rate` is right; which ones depends on the question alone."""
    luck = random.Random(seed)
    scores = [float(luck.random() < rate) for _ in range(n)]
    questions = tuple(f"q{seed}-{i}" for i in range(n))
    return ArmResult(name, seed, questions, {"accuracy": scores}, {"sampled_tokens": tokens}, overlap)


def results(**rates: float) -> dict[tuple[str, int], ArmResult]:
    """Arms by their rates, with three seeds; the rival is at 0.5 unless told."""
    return {(name, seed): arm(name, seed, rate) for name, rate in ({"r": 0.5} | rates).items() for seed in range(3)}


def test_a_clear_gain_is_confirmed_and_its_rivals_are_told() -> None:
    found = check(CLAIM, results(a=0.7, b=0.5, n=0.5, r=0.6))
    assert found.verdict == "confirmed"
    assert found.effect.mean == pytest.approx(0.2, abs=0.05)
    assert found.effect.low < found.effect.mean < found.effect.high
    assert set(found.rivals) == {"r"}
    assert found.rivals["r"].mean == pytest.approx(0.1, abs=0.05)


def test_no_gain_is_refuted_by_enough_questions() -> None:
    found = check(CLAIM, results(a=0.5, b=0.5, n=0.5))
    assert (found.verdict, found.why) == ("refuted", "any gain is smaller than the margin")
    assert check(CLAIM, results(a=0.4, b=0.6, n=0.5)).why == "the opposite is true"


def test_a_gain_within_the_interval_of_the_margin_decides_nothing() -> None:
    few = {
        (name, s): arm(name, s, rate, n=30)
        for name, rate in {"a": 0.55, "b": 0.5, "n": 0.5, "r": 0.5}.items()
        for s in (0, 1)
    }
    assert check(CLAIM, few).verdict == "inconclusive"


def test_a_null_arm_that_gains_takes_the_confirmation_away() -> None:
    found = check(CLAIM, results(a=0.7, b=0.5, n=0.7))
    assert found.verdict == "inconclusive"
    assert "n, which should do nothing" in found.why


def test_what_is_not_surely_better_than_the_null_arm_is_not_confirmed() -> None:
    noisy = {("n", seed): arm("n", seed, rate) for seed, rate in enumerate((0.3, 0.75, 0.95))}
    found = check(CLAIM, results(a=0.7, b=0.5, r=0.5) | noisy)
    assert found.null is not None
    assert found.null.low < CLAIM.margin < found.effect.low
    assert (found.verdict, found.why) == (
        "inconclusive", "a is not surely better than n, which should do nothing",
    )  # fmt: skip


def test_one_seed_decides_nothing_however_large_its_effect() -> None:
    for rate in (0.95, 0.05):
        alone = {(name, 0): arm(name, 0, r) for name, r in {"a": rate, "b": 0.5, "n": 0.5, "r": 0.5}.items()}
        assert check(CLAIM, alone).why == "one seed says nothing of the luck of a run"


def test_budgets_must_match() -> None:
    dear = results(a=0.7, b=0.5, n=0.5) | {("a", s): arm("a", s, 0.7, tokens=103) for s in range(3)}
    with pytest.raises(RunError, match=r"a spent 103 sampled_tokens and b 100"):
        check(CLAIM, dear)
    assert check(replace(CLAIM, matched=()), dear).verdict == "confirmed"
    with pytest.raises(RunError, match="neither a nor b counts sampled_token,"):
        check(replace(CLAIM, matched=("sampled_token",)), dear)


def test_an_arm_that_saw_test_questions_decides_nothing() -> None:
    with pytest.raises(RunError, match="2 of its own test questions"):
        check(CLAIM, results(a=0.7, b=0.5, n=0.5) | {("b", 1): arm("b", 1, 0.5, overlap=2)})


def test_arms_must_have_been_asked_the_same() -> None:
    other = replace(arm("a", 0, 0.7), questions=tuple(f"other{i}" for i in range(400)))
    with pytest.raises(RunError, match="different questions with seed 0"):
        check(CLAIM, results(a=0.7, b=0.5, n=0.5) | {("a", 0): other})


def test_a_metric_nobody_has_is_named() -> None:
    with pytest.raises(RunError, match="no scores of f1; it has: accuracy"):
        check(replace(CLAIM, metric="f1"), results(a=0.7, b=0.5, n=0.5))


def test_lower_is_better_where_the_claim_says_so() -> None:
    found = check(replace(CLAIM, lower=True), results(a=0.4, b=0.6, n=0.6))
    assert found.verdict == "confirmed"
    assert found.effect.mean > 0


def test_the_luck_of_training_runs_widens_the_interval() -> None:
    """Two seeds that disagree wildly: questions alone would be sure."""
    swing = {("a", 0): arm("a", 0, 0.95, n=2000), ("a", 1): arm("a", 1, 0.5, n=2000)}
    swing |= {("b", s): arm("b", s, 0.5, n=2000) for s in (0, 1)}
    found = effect(swing, "a", "b", "accuracy")
    assert found.low < 0 < found.high
    assert found.by_seed[0] > 0.4


def test_questions_that_every_seed_is_asked_are_counted_once() -> None:
    """Ten seeds that answer the same twenty questions in the same way know no more than one of them."""
    asked = {("a", s): replace(arm("a", 0, 0.7, n=20), seed=s) for s in range(10)}
    asked |= {("b", s): replace(arm("b", 5, 0.5, n=20), seed=s, questions=asked["a", s].questions) for s in range(10)}
    own = {
        (name, s): replace(one, questions=tuple(f"{s}-{q}" for q in one.questions)) for (name, s), one in asked.items()
    }
    shared, apart = effect(asked, "a", "b", "accuracy"), effect(own, "a", "b", "accuracy")
    alone = effect({key: one for key, one in asked.items() if key[1] == 0}, "a", "b", "accuracy")
    assert (shared.pairs, shared.questions, apart.questions) == (200, 20, 200)
    assert shared.high - shared.low > 2 * (apart.high - apart.low)
    assert shared.high - shared.low == pytest.approx(alone.high - alone.low, rel=0.2)


def test_questions_whose_verifier_failed_are_left_out_on_both_sides() -> None:
    a, b = arm("a", 0, 0.5, n=4), arm("b", 0, 0.5, n=4)
    a = replace(a, scores={"accuracy": [1.0, None, 1.0, 1.0]})
    b = replace(b, scores={"accuracy": [0.0, 0.0, None, 1.0]})
    found = effect({("a", 0): a, ("b", 0): b}, "a", "b", "accuracy")
    assert (found.mean, found.pairs) == (0.5, 2)


def test_results_come_back_from_json_as_they_were() -> None:
    made = replace(arm("a", 1, 0.5, n=3), curves={"loss": ((1, 0.5), (2, 0.25))}, notes={"x": 1.5})
    assert ArmResult.from_json(made.as_json()) == made


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=40))
def test_students_interval_is_centred_and_shrinks_with_equal_values(values: list[float]) -> None:
    low, high = student_interval(values)
    assert low <= sum(values) / len(values) + 1e-12
    assert math.isclose(low + high, 2 * sum(values) / len(values), abs_tol=1e-9)
    assert student_interval([values[0]] * len(values)) == pytest.approx((values[0], values[0]))


def test_students_interval_of_the_textbook() -> None:
    """Values 1 to 5: mean 3, sd 1.5811, t 2.776 with 4 degrees: 3 +- 1.963."""
    assert student_interval([1, 2, 3, 4, 5]) == pytest.approx((1.0370, 4.9630), abs=1e-3)
