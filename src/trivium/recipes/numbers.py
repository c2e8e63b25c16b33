"""How the numbers of a ledger line are written: shares as percent and points, everything else as it was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trivium.claims import POINTS
from trivium.stats import student_interval, values_to_exclude
from trivium.store import ledger

Line = ledger.Line
MINUS = "\N{MINUS SIGN}"
MOST = 6  # decimals


@dataclass(frozen=True, slots=True)
class Unit:
    """What the numbers of a metric are written in.

    They are multiplied by `factor` and rounded to `digits` decimals; `sign` follows a score, `word` a difference.
    """

    factor: float
    digits: int
    sign: str
    word: str

    def score(self, value: float | None) -> str:
        """`71.3%`, or `-` where there is none."""
        return "-" if value is None else f"{self._rounded(value):,.{self.digits}f}{self.sign}".replace("-", MINUS)

    def mean(self, by_seed: Mapping[str, float | None]) -> str:
        """The mean of an arm's scores, or `-` where none of its seeds has one."""
        known = [score for score in by_seed.values() if score is not None]
        return self.score(sum(known) / len(known) if known else None)

    def difference(self, value: float) -> str:
        """`+4.2`, without its word."""
        return f"{self._rounded(value):+,.{self.digits}f}".replace("-", MINUS)

    def span(self, effect: Line, *, word: bool = True) -> str:
        """`+4.2 points [+1.0, +7.4]`."""
        mean, low, high = (self.difference(effect[key]) for key in ("mean", "low", "high"))
        return f"{mean}{f' {self.word}' if word else ''} [{low}, {high}]"

    def _rounded(self, value: float) -> float:
        return round(self.factor * value, self.digits) + 0.0  # there is no negative zero


@dataclass(frozen=True, slots=True)
class Compared:
    """One arm over another: what a claim says (`role` is empty), its null arm, or a rival."""

    role: str
    arm: str
    over: str
    effect: Line


def unit(line: Line) -> Unit:
    """What a line's numbers are written in: as points, or with three digits of the effect."""
    said = ledger.unit(line)
    if said == POINTS:
        return Unit(100.0, 1, "%", POINTS)
    largest = max(abs(line[key]) for key in ("effect", "low", "high"))
    digits = 2 - math.floor(math.log10(largest)) if largest else 2
    return Unit(1.0, min(MOST, max(0, digits)), "", said)


def compared(line: Line) -> list[Compared]:
    """Every difference that a line holds, the claim's own first."""
    own = {"mean": line["effect"], "low": line["low"], "high": line["high"], "by_seed": line["effects_by_seed"]}
    better, worse = line["better"], line["worse"]
    return [
        Compared("", better, worse, own),
        *(Compared("null arm", arm, worse, effect) for arm, effect in line["null"].items()),
        *(Compared("rival", better, arm, effect) for arm, effect in line["rivals"].items()),
    ]


def headline(line: Line) -> str:
    """A line's own effect, with its unit and interval."""
    return unit(line).span(compared(line)[0].effect)


def margin(line: Line) -> str:
    """What an effect has to exceed, with its unit; of a claim as much as of a line."""
    points = line["unit"] == POINTS
    value = f"{100 * line['margin'] if points else line['margin']:g}"
    return f"{value} {'point' if points and value == '1' else line['unit']}"


def by_metric(lines: Sequence[Line]) -> dict[str, Line]:
    """A line for every metric; all lines of one run hold the same scores of it."""
    return {line["metric"]: line for line in lines}


def amount(value: float) -> str:
    """A cost: whole from 100 on, three digits below."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def words(name: str) -> str:
    """`sampled_tokens` as `sampled tokens`."""
    return name.replace("_", " ")


def to_decide(line: Line) -> str:
    """What it would take to decide an inconclusive claim, or nothing to say.

    Reckoned from how much the effects of the seeds differ; with so few of them that is a rough number.
    """
    effects, minutes = line["effects_by_seed"], line["minutes"] / line["seeds"]
    if len(effects) < 2:
        return "more seeds: one has no spread to reckon with"
    if line["verdict"] != "inconclusive" or not line["low"] <= line["margin"] <= line["high"]:
        return ""
    needed, apart = values_to_exclude(effects, line["margin"]), abs(line["effect"] - line["margin"])
    if needed is None:
        return "no number of seeds like these would do: the effect lies at its margin"
    # Where questions differ more than seeds do, theirs is the wider interval; it too shrinks with the root of n.
    half = max(line["high"] - line["effect"], line["effect"] - line["low"])
    low, high = student_interval(effects)
    by_question = len(effects) * (half / apart) ** 2 if half > 1.001 * (high - low) / 2 else 0.0
    seeds = max(needed, math.ceil(by_question), len(effects) + 1)
    return f"about {seeds} seeds like these, {minutes * seeds:,.0f} minutes"
