"""Rewards read off the verdict: was it right, was it readable, how far did it get."""

from __future__ import annotations

from collections.abc import Sequence

from trivium.errors import UserError
from trivium.rewards.judged import Reward, each
from trivium.types import Trace, Verdict


def outcome() -> Reward:
    """1 for a correct answer, otherwise 0."""
    return lambda group: each(group, lambda _, verdict: float(verdict.correct))


def well_formed() -> Reward:
    """1 where an answer could be read; a verifier that scores `format` itself decides instead."""

    def pay(_: Trace, verdict: Verdict) -> float:
        return verdict.parts.get("format", float(verdict.status != "unparseable"))

    return lambda group: each(group, pay)


def partial(part: str = "") -> Reward:
    """The verifier's score in [0, 1], or one of its named parts such as `steps`."""

    def pay(_: Trace, verdict: Verdict) -> float:
        if not part:
            return verdict.score or 0.0
        if verdict.correct and part not in verdict.parts:
            known = ", ".join(sorted(verdict.parts)) or "none"
            raise UserError(f"reward partial: the verifier scores no part {part!r}; its parts are: {known}")
        return verdict.parts.get(part, 0.0)  # an answer that could not be read may lack its parts

    def reward(group: Sequence[Trace]) -> list[float | None]:
        return each(group, pay)

    return reward
