"""Against responses that go round in circles."""

from __future__ import annotations

from collections.abc import Sequence

from trivium.rewards.judged import Reward
from trivium.types import Trace


def unless_repeated(reward: Reward, *, penalty: float = -1.0) -> Reward:
    """The reward, but `penalty` in its place for a response that says a line again; empty lines do not count.

    Where the verifier failed nothing is paid.
    """

    def pay(group: Sequence[Trace]) -> list[float | None]:
        paid = zip(group, reward(group), strict=True)
        return [penalty if earned is not None and repeats(trace.response) else earned for trace, earned in paid]

    return pay


def repeats(text: str) -> bool:
    """Whether a text says a line again."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return len(set(lines)) < len(lines)
