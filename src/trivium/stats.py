"""Intervals for proportions and paired differences, tests for many pairs, and pass@k.  Standard library only."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

Z95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Accuracy:
    """`accuracy` = correct / n with its 95% Wilson score interval (Wilson 1927); `n=0` has no accuracy."""

    accuracy: float | None
    low: float | None
    high: float | None
    n: int

    def __str__(self) -> str:
        if self.accuracy is None:
            return "no answers"
        return f"{100 * self.accuracy:.1f}% [{100 * (self.low or 0):.1f}, {100 * (self.high or 0):.1f}]"


def wilson(correct: int, n: int, z: float = Z95) -> Accuracy:
    """Score interval of a proportion: it stays inside [0, 1] and is honest at 0 and at n."""
    if not 0 <= correct <= n:
        raise ValueError(f"{correct} correct of {n}: expected 0 <= correct <= n")
    return wilson_clustered(correct, n, n, z)


def wilson_clustered(correct: int, n: int, clusters: int, z: float = Z95) -> Accuracy:
    """`wilson` where the `n` attempts share `clusters` questions: the interval counts each question once.

    Attempts at one question need not be independent, so the interval is that of `clusters` independent attempts with
    the same share correct: wider than necessary where attempts do differ, never too narrow.
    """
    if not (clusters <= n and (clusters or not n)):
        raise ValueError(f"{clusters} questions cannot share {n} attempts")
    if n == 0:
        return Accuracy(None, None, None, 0)
    p, m = correct / n, clusters
    centre = (p + z * z / (2 * m)) / (1 + z * z / m)
    half = z / (1 + z * z / m) * math.sqrt(p * (1 - p) / m + z * z / (4 * m * m))
    # None and all are exactly at the end, where rounding would leave a trace.
    return Accuracy(p, centre - half if correct else 0.0, centre + half if correct < n else 1.0, n)


@dataclass(frozen=True, slots=True)
class Difference:
    """Mean of paired differences with a 95% percentile bootstrap interval over the pairs."""

    mean: float
    low: float
    high: float
    n: int


def paired_bootstrap(a: Sequence[float], b: Sequence[float], *, draws: int = 2000, seed: int = 0) -> Difference:
    """Interval of mean(a - b) when `a[i]` and `b[i]` belong to the same question (Efron & Tibshirani 1993, ch. 13)."""
    if len(a) != len(b) or not a:
        raise ValueError(f"paired scores need equal, non-zero lengths; got {len(a)} and {len(b)}")
    delta = [x - y for x, y in zip(a, b, strict=True)]
    rng = random.Random(seed)
    n = len(delta)
    means = sorted(sum(rng.choices(delta, k=n)) / n for _ in range(draws))
    return Difference(sum(delta) / n, means[int(0.025 * draws)], means[min(draws - 1, int(0.975 * draws))], n)


Cluster = tuple[float, int]
"""Sum and number of the values that belong to one question."""


def clustered_bootstrap(strata: Sequence[Sequence[Cluster]], *, draws: int = 2000, seed: int = 0) -> Difference:
    """Mean over all values with a 95% percentile interval; whole clusters are redrawn, within each stratum.

    sum(sums) / sum(counts), where each stratum of m clusters gives m of its own with replacement (Davison & Hinkley
    1997, section 3.8).  Strata are seeds, clusters are questions.  One stratum of single values is `paired_bootstrap`.
    """
    strata = [stratum for stratum in strata if stratum]
    if not strata:
        raise ValueError("a bootstrap needs at least one value")
    rng = random.Random(seed)
    single = all(count == 1 for stratum in strata for _, count in stratum)
    n = sum(count for stratum in strata for _, count in stratum)
    if single:
        values = [[total for total, _ in stratum] for stratum in strata]
        means = sorted(sum(sum(rng.choices(v, k=len(v))) for v in values) / n for _ in range(draws))
    else:
        means = []
        for _ in range(draws):
            drawn = [cluster for stratum in strata for cluster in rng.choices(stratum, k=len(stratum))]
            means.append(sum(total for total, _ in drawn) / sum(count for _, count in drawn))
        means.sort()
    mean = sum(total for stratum in strata for total, _ in stratum) / n
    return Difference(mean, means[int(0.025 * draws)], means[min(draws - 1, int(0.975 * draws))], n)


_T975 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
"""97.5% quantiles of Student's t with 1 to 30 degrees of freedom."""


def student_interval(values: Sequence[float]) -> tuple[float, float]:
    """95% interval of the mean of a few independent values, such as one a seed (Student 1908).

    mean +- t sd / sqrt(n); beyond 31 values the normal quantile stands in for t.
    """
    mean, deviation = _spread(values)
    half = _half_width(deviation, len(values))
    return mean - half, mean + half


def values_to_exclude(values: Sequence[float], point: float, most: int = 1000) -> int | None:
    """How many values it takes until the Student interval of their mean no longer holds a point.

    For values like these: of their mean and their spread, which with few of them are themselves uncertain.  `None`
    where even `most` would not do.
    """
    mean, deviation = _spread(values)
    return next((n for n in range(2, most + 1) if _half_width(deviation, n) < abs(mean - point)), None)


def _spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation of at least two values."""
    n = len(values)
    if n < 2:
        raise ValueError(f"{n} values have no spread; expected at least 2")
    mean = sum(values) / n
    return mean, math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1))


def _half_width(deviation: float, n: int) -> float:
    """Of the 95% Student interval of a mean of n values."""
    return (_T975[n - 2] if n <= 31 else Z95) * deviation / math.sqrt(n)


def sign_flip(differences: Sequence[int]) -> float:
    """Exact two-sided p-value that paired differences are as far from 0 by chance (Fisher 1935, section 21).

    P(|sum of +-d_i| >= |sum of d_i|) with every sign a fair coin.  On differences of -1, 0 and 1 it is McNemar's exact
    test.
    """
    sizes: dict[int, int] = {}
    for d in differences:
        if d:
            sizes[abs(d)] = sizes.get(abs(d), 0) + 1
    chances = {0: 1.0}
    for size, m in sizes.items():
        log_fair = math.lgamma(m + 1) - m * math.log(2)
        coins = [math.exp(log_fair - math.lgamma(j + 1) - math.lgamma(m - j + 1)) for j in range(m + 1)]
        wider: dict[int, float] = {}
        for at, chance in chances.items():
            for j, coin in enumerate(coins):
                place = at + size * (2 * j - m)
                wider[place] = wider.get(place, 0.0) + chance * coin
        chances = wider
    seen = abs(sum(differences))
    return min(1.0, sum(chance for at, chance in chances.items() if abs(at) >= seen))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for being several, in the given order (Holm 1979).

    The i-th smallest of m (from 0) becomes max over j <= i of min(1, (m - j) p_j): rejecting those below 0.05 errs
    anywhere with a chance of at most 5%, however the tests depend on each other.
    """
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = highest
    return adjusted


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """Chance that at least one of `k` samples is correct, from `samples` independent ones of which `correct` are.

    1 - C(samples - correct, k) / C(samples, k), unbiased; Chen et al. 2021, arXiv:2107.03374, equation 1.
    """
    if not 0 <= correct <= samples or not 1 <= k <= samples:
        raise ValueError(
            f"pass@{k} of {correct} correct in {samples}: expected 1 <= k <= samples and correct <= samples"
        )
    return 1.0 - math.comb(samples - correct, k) / math.comb(samples, k)
