"""A paper's claim as an executable check: what the arms of an experiment scored, and what follows from it.

An arm is one way of doing something (a method, a way to train), run once for every seed on the same test questions.
A claim says that one arm beats another by more than a margin, the budgets it names being equal.  Standard library only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from trivium.errors import RunError
from trivium.stats import clustered_bootstrap, student_interval

MATCHED = 0.02
"""Largest relative difference between two budgets that count as equal."""

POINTS = "points"
"""The unit of a metric that is a share, written as percent, and of differences of shares."""

Decision = Literal["confirmed", "refuted", "inconclusive"]
Results = Mapping[tuple[str, int], "ArmResult"]
"""By arm and seed."""


@dataclass(frozen=True, slots=True)
class ArmResult:
    """What one arm did with one seed.

    `scores` holds, by metric, a number for every one of `questions` (test ids), `None` where the verifier failed.
    `spent` counts what choosing and learning cost, by unit (`sampled_tokens`, `trained_tokens`, `labels`, ...) and
    `test_tokens` what answering the test did.  `overlap` is how many of the questions it learned from or was chosen
    by are test questions.  `seconds` are of processor time.  `notes` are further numbers, `curves` lists of (x, y).
    `commit` is what the arm ran at, if known.
    """

    arm: str
    seed: int
    questions: tuple[str, ...]
    scores: Mapping[str, Sequence[float | None]]
    spent: Mapping[str, float]
    overlap: int = 0
    seconds: float = 0.0
    notes: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    commit: str | None = None

    def __post_init__(self) -> None:
        for metric, values in self.scores.items():
            if len(values) != len(self.questions):
                raise ValueError(
                    f"arm {self.arm}: {len(values)} scores of {metric} for {len(self.questions)} questions"
                )

    def mean(self, metric: str) -> float:
        """Mean score over the questions that have one; NaN where none has."""
        known = [value for value in self.scores[metric] if value is not None]
        return sum(known) / len(known) if known else math.nan

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ArmResult:
        curves = {k: tuple((x, y) for x, y in points) for k, points in data["curves"].items()}
        return cls(**{**data, "questions": tuple(data["questions"]), "curves": curves})


@dataclass(frozen=True, slots=True)
class Claim:
    """`better` beats `worse` on `metric` by more than `margin`, the units in `matched` being equal.

    `null` is an arm in which the mechanism is destroyed (shuffled labels, random rewards): if it beats `worse` too, or
    `better` does not beat it, the gain has another cause.  `rivals` are trivial ways to the same end, reported beside
    it.  `paper` says in our words what the paper reports.  With `lower` a smaller score is better.  `unit` is what the
    metric is counted in: `points`, hundredths of it, for shares and what they differ by; else a word of its own, such
    as `tokens`.
    """

    says: str
    better: str
    worse: str
    margin: float
    metric: str = "accuracy"
    matched: tuple[str, ...] = ()
    null: str | None = None
    rivals: tuple[str, ...] = ()
    paper: str = ""
    lower: bool = False
    unit: str = POINTS

    @property
    def arms(self) -> tuple[str, ...]:
        """Every arm it needs, each once."""
        return tuple(dict.fromkeys((self.better, self.worse, *([self.null] if self.null else []), *self.rivals)))


@dataclass(frozen=True, slots=True)
class Effect:
    """Mean difference between two arms with a 95% interval, and each seed's own difference.

    The interval is the widest, at each end, of three: questions redrawn within seeds (paired bootstrap), Student's t
    over the seeds, and, where seeds share questions, questions redrawn with all their seeds.  The first knows nothing
    of the luck of a training run, the second little with so few seeds, and both nothing of questions that all seeds
    were asked.  `pairs` of answers were given to `questions` different ones.
    """

    mean: float
    low: float
    high: float
    by_seed: tuple[float, ...]
    pairs: int
    questions: int


@dataclass(frozen=True, slots=True)
class Checked:
    """A claim held against results: the verdict, why, and the effects it rests on."""

    verdict: Decision
    why: str
    effect: Effect
    null: Effect | None
    rivals: Mapping[str, Effect]


def effect(results: Results, better: str, worse: str, metric: str, *, lower: bool = False) -> Effect:
    """How much `better` scores over `worse`, over all seeds that both have.

    Raises RunError where they share no seed, or were asked different questions.
    """
    seeds = sorted({s for arm, s in results if arm == better} & {s for arm, s in results if arm == worse})
    strata, asked = [], dict[str, list[float]]()
    for seed in seeds:
        a, b = results[better, seed], results[worse, seed]
        if a.questions != b.questions:
            raise RunError(f"arms {better} and {worse} were asked different questions with seed {seed}")
        stratum, sign = [], -1.0 if lower else 1.0
        for question, x, y in zip(a.questions, _scores(a, metric), _scores(b, metric), strict=True):
            if x is not None and y is not None:
                stratum.append(sign * (x - y))
                asked.setdefault(question, []).append(stratum[-1])
        strata.append(stratum)
    if not any(strata):
        raise RunError(f"arms {better} and {worse} have no scores of {metric} in common")
    drawn = clustered_bootstrap([[(d, 1) for d in stratum] for stratum in strata])
    by_seed = tuple(sum(stratum) / len(stratum) for stratum in strata if stratum)
    mean = sum(by_seed) / len(by_seed)
    intervals = [(drawn.low, drawn.high)]
    if len(asked) < drawn.n:
        shared = clustered_bootstrap([[(sum(found), len(found)) for found in asked.values()]])
        intervals.append((shared.low, shared.high))
    if len(by_seed) > 1:
        intervals.append(student_interval(by_seed))
    lows, highs = zip(*intervals, strict=True)
    return Effect(mean, min(lows), max(highs), by_seed, drawn.n, len(asked))


def check(claim: Claim, results: Results) -> Checked:
    """The verdict: `confirmed` if the whole interval lies above the margin, `refuted` if it lies below it.

    A confirmation stays inconclusive where the null arm gains as much, or `better` is not surely better than it; so
    does everything with a single seed, whose luck no interval knows.  Raises RunError where budgets that must match do
    not, or where an arm has seen test questions.
    """
    for arm in claim.arms:
        seen = sum(result.overlap for (name, _), result in results.items() if name == arm)
        if seen:
            raise RunError(f"arm {arm} learned from, or was chosen by, {seen} of its own test questions")
    for unit in claim.matched:
        _match(results, claim.better, claim.worse, unit)

    def over(arm: str) -> Effect:
        return effect(results, arm, claim.worse, claim.metric, lower=claim.lower)

    def beyond(arm: str) -> Effect:
        return effect(results, claim.better, arm, claim.metric, lower=claim.lower)

    found = over(claim.better)
    null, beyond_null = (over(claim.null), beyond(claim.null)) if claim.null else (None, None)
    verdict, why = _decide(claim, found, null, beyond_null)
    return Checked(verdict, why, found, null, {rival: beyond(rival) for rival in claim.rivals})


def _decide(claim: Claim, found: Effect, null: Effect | None, beyond_null: Effect | None) -> tuple[Decision, str]:
    if len(found.by_seed) < 2:
        return "inconclusive", "one seed says nothing of the luck of a run"
    if found.low > claim.margin:
        if null is not None and null.low > claim.margin:
            return "inconclusive", f"{claim.null}, which should do nothing, gains as well"
        if beyond_null is not None and beyond_null.low <= 0:
            return "inconclusive", f"{claim.better} is not surely better than {claim.null}, which should do nothing"
        return "confirmed", "the whole interval lies above the margin"
    if found.high < claim.margin:
        if found.low > 0:
            return "refuted", "a real gain, but smaller than the margin"
        if found.high < 0:
            return "refuted", "the opposite is true"
        return "refuted", "any gain is smaller than the margin"
    return "inconclusive", "the interval holds the margin"


def _match(results: Results, better: str, worse: str, unit: str) -> None:
    """Raise RunError unless the two arms spent the same, on average over their seeds, and one of them counts it."""
    if not any(unit in result.spent for (name, _), result in results.items() if name in (better, worse)):
        raise RunError(f"neither {better} nor {worse} counts {unit}, at which the claim holds them equal")
    means = []
    for arm in (better, worse):
        spent = [result.spent.get(unit, 0.0) for (name, _), result in results.items() if name == arm]
        means.append(sum(spent) / len(spent) if spent else 0.0)
    if abs(means[0] - means[1]) > MATCHED * max(means):
        raise RunError(
            f"{better} spent {means[0]:,.0f} {unit} and {worse} {means[1]:,.0f}; the claim holds them at equal budgets"
            f" (within {MATCHED:.0%}), so nothing is concluded"
        )


def _scores(result: ArmResult, metric: str) -> Sequence[float | None]:
    if metric not in result.scores:
        raise RunError(f"arm {result.arm} has no scores of {metric}; it has: {', '.join(result.scores) or 'none'}")
    return result.scores[metric]
