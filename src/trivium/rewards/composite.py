"""The weighted sum of named terms, from a spec such as `outcome=1,format=0.1,length(shape=cosine)=-0.2`.

Every term is logged next to the true metric, so that a reward that rises while accuracy does not is seen at once.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from trivium.errors import UserError
from trivium.rewards import REWARDS, Reward
from trivium.rewards.judged import verdict_of
from trivium.types import Trace

_TERM = re.compile(r"(?P<name>[^(),=\s]+)(?:\((?P<options>[^()]*)\))?(?:=(?P<weight>[^(),=\s]+))?")


@dataclass(frozen=True, slots=True)
class Term:
    """One named reward and its weight; a weight of 0 is logged but not paid."""

    name: str
    weight: float
    reward: Reward


class Paid(NamedTuple):
    """`rewards`: one per trace, `None` where the verifier failed.  `metrics`: (sum, count) pairs, which add up."""

    rewards: list[float | None]
    metrics: dict[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Composite:
    """reward_i = sum_k weight_k term_k(group)_i."""

    terms: tuple[Term, ...]

    def __call__(self, group: Sequence[Trace]) -> list[float | None]:
        return self.pay(group).rewards

    def pay(self, group: Sequence[Trace]) -> Paid:
        """Rewards of one problem's traces, and `reward`, `reward/<term>`, `accuracy` and `verifier_errors` to log."""
        scores = [term.reward(group) for term in self.terms]
        rewards: list[float | None] = []
        for row in zip(*scores, strict=True):
            known = [s for s in row if s is not None]
            paid = len(known) == len(row)
            rewards.append(sum(t.weight * s for t, s in zip(self.terms, known, strict=True)) if paid else None)
        verdicts = [verdict for trace in group if (verdict := verdict_of(trace)) is not None]
        metrics = {f"reward/{term.name}": _total(column) for term, column in zip(self.terms, scores, strict=True)}
        metrics["reward"] = _total(rewards)
        metrics["accuracy"] = _total([float(verdict.correct) for verdict in verdicts])
        metrics["verifier_errors"] = (float(len(group) - len(verdicts)), float(len(group)))
        return Paid(rewards, metrics)


def parse_rewards(spec: str, *, max_tokens: int) -> Composite:
    """Read `NAME[(option=value,...)][=WEIGHT],...`; a weight left out is 1.

    `max_tokens` is the run's generation cap, given to every term that measures against one.
    """
    terms: list[Term] = []
    for text in _split(spec):
        match = _TERM.fullmatch(text)
        if match is None:
            raise UserError(f"cannot read the reward {text!r}; expected NAME=WEIGHT such as outcome=1,format=0.1")
        name, options = match["name"], match["options"] or ""
        label = f"{name}({options})" if options else name
        if any(term.name == label for term in terms):
            raise UserError(f"the reward {label!r} is given twice in {spec!r}")
        capped = "max_tokens" in inspect.signature(REWARDS.factory(name)).parameters
        reward = REWARDS.build(f"{name}:{options}", **({"max_tokens": max_tokens} if capped else {}))
        terms.append(Term(label, _weight(label, match["weight"] or "1"), reward))
    if not any(term.weight for term in terms):
        raise UserError(f"no reward in {spec!r} has a weight; expected for example outcome=1,format=0.1")
    return Composite(tuple(terms))


def _split(spec: str) -> list[str]:
    """Cut at the commas that are not inside parentheses."""
    return [part.strip() for part in re.split(r",(?![^(]*\))", spec) if part.strip()]


def _weight(name: str, text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not math.isfinite(weight):
        raise UserError(f"reward {name}: weight {text!r} is not a number; expected for example {name}=0.1")
    return weight


def _total(values: Sequence[float | None]) -> tuple[float, float]:
    known = [v for v in values if v is not None]
    return float(sum(known)), float(len(known))
