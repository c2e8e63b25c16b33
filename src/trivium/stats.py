"""Intervals for proportions and for paired differences.  Standard library only."""

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
    if n == 0:
        return Accuracy(None, None, None, 0)
    p = correct / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return Accuracy(p, max(0.0, centre - half), min(1.0, centre + half), n)


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
