"""Statistics against hand-made numbers, brute force, and each other."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivium.stats import (
    clustered_bootstrap,
    holm,
    paired_bootstrap,
    pass_at_k,
    sign_flip,
    student_interval,
    values_to_exclude,
    wilson,
    wilson_clustered,
)


def test_wilson_agrees_with_published_numbers() -> None:
    # Newcombe 1998, table I: 81 of 263 gives 0.2553 to 0.3662, and 0 of 20 gives 0 to 0.1611.
    found = wilson(81, 263)
    assert (found.low, found.high) == (pytest.approx(0.2553, abs=5e-5), pytest.approx(0.3662, abs=5e-5))
    assert wilson(0, 20).high == pytest.approx(0.1611, abs=5e-5)
    assert wilson(0, 0).accuracy is None


def test_attempts_at_the_same_questions_do_not_narrow_the_interval() -> None:
    once, thrice = wilson(60, 100), wilson_clustered(180, 300, 100)
    assert (thrice.accuracy, thrice.low, thrice.high) == pytest.approx((once.accuracy, once.low, once.high))
    assert thrice.n == 300
    with pytest.raises(ValueError, match="cannot share"):
        wilson_clustered(1, 2, 3)


def test_the_bootstrap_of_single_values_in_one_stratum_is_the_paired_one() -> None:
    rng = random.Random(1)
    a, b = ([float(rng.random() < p) for _ in range(80)] for p in (0.7, 0.5))
    clusters = [(x - y, 1) for x, y in zip(a, b, strict=True)]
    assert clustered_bootstrap([clusters]) == paired_bootstrap(a, b)


def test_the_bootstrap_redraws_whole_questions() -> None:
    rng = random.Random(2)
    values = [rng.choice((-1.0, 0.0, 1.0)) for _ in range(60)]
    once = clustered_bootstrap([[(v, 1) for v in values]])
    same_thrice = clustered_bootstrap([[(3 * v, 3) for v in values]])
    as_if_independent = clustered_bootstrap([[(v, 1) for v in values * 3]])
    assert (same_thrice.low, same_thrice.high) == pytest.approx((once.low, once.high))
    assert as_if_independent.high - as_if_independent.low < 0.7 * (once.high - once.low)
    # A stratum whose values are all alike adds nothing to the spread.
    fixed = clustered_bootstrap([[(1.0, 1)] * 5, [(0.0, 1)] * 5])
    assert (fixed.low, fixed.mean, fixed.high, fixed.n) == (0.5, 0.5, 0.5, 10)


@settings(deadline=None)
@given(st.lists(st.integers(-3, 3), max_size=9))
def test_sign_flip_counts_all_signs(differences: list[int]) -> None:
    seen = abs(sum(differences))
    flips = list(itertools.product((-1, 1), repeat=len(differences)))
    far = sum(abs(sum(s * d for s, d in zip(signs, differences, strict=True))) >= seen for signs in flips)
    assert sign_flip(differences) == pytest.approx(far / len(flips))


def test_sign_flip_is_mcnemar_on_zeros_and_ones() -> None:
    assert sign_flip([1] * 9 + [-1] + [0] * 90) == pytest.approx(2 * (1 + 10) / 2**10)
    assert sign_flip([]) == 1.0
    assert 0 < sign_flip([1] * 900 + [-1] * 100) < 1e-100


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@settings(deadline=None)
@given(st.integers(1, 8), st.data())
def test_pass_at_k_is_the_share_of_subsets_with_a_right_one(samples: int, data: st.DataObject) -> None:
    correct, k = data.draw(st.integers(0, samples)), data.draw(st.integers(1, samples))
    subsets = list(itertools.combinations([i < correct for i in range(samples)], k))
    assert math.isclose(pass_at_k(samples, correct, k), sum(map(any, subsets)) / len(subsets), abs_tol=1e-12)


@pytest.mark.parametrize(("samples", "correct", "k"), [(3, 4, 1), (3, 1, 4), (3, 1, 0)])
def test_pass_at_k_of_too_few_samples_is_refused(samples: int, correct: int, k: int) -> None:
    with pytest.raises(ValueError, match="expected 1 <= k"):
        pass_at_k(samples, correct, k)


@pytest.mark.parametrize("n", [1, 7, 300])
def test_none_and_all_end_exactly_at_the_ends(n: int) -> None:
    assert wilson(0, n).low == 0.0
    assert wilson(n, n).high == 1.0
    assert 0 < wilson(0, n).high == pytest.approx(1 - wilson(n, n).low)


def test_a_student_interval_agrees_with_a_table() -> None:
    # Of 1, 2 and 3: mean 2, sd 1, t(2) = 4.303, so 2 +- 2.484.
    assert student_interval([1.0, 2.0, 3.0]) == (pytest.approx(-0.484, abs=1e-3), pytest.approx(4.484, abs=1e-3))
    with pytest.raises(ValueError, match="at least 2"):
        student_interval([1.0])


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=8), st.floats(-1, 1))
def test_so_many_values_exclude_a_point_and_fewer_do_not(values: list[float], point: float) -> None:
    needed, mean = values_to_exclude(values, point, most=60), sum(values) / len(values)
    deviation = math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1))

    def interval(n: int) -> tuple[float, float]:
        """That of an even number of values with their mean and spread, half of them on each side."""
        step = deviation * math.sqrt((n - 1) / n)
        return student_interval([mean - step] * (n // 2) + [mean + step] * (n // 2))

    if needed is not None and needed % 2 == 0:
        low, high = interval(needed)
        assert not low + 1e-9 < point < high - 1e-9
    if needed is None or needed > 3:
        low, high = interval(60 if needed is None else needed - 1 - (needed - 1) % 2)
        assert low - 1e-9 <= point <= high + 1e-9


def test_a_point_at_the_mean_is_never_excluded() -> None:
    assert values_to_exclude([1.0, 3.0], 2.0) is None
    assert values_to_exclude([0.1, 0.3], 10.0) == 2
