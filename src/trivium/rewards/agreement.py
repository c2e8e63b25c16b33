"""Rewards without labels: how many others of the group gave the same answer."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from trivium.rewards.judged import Reward, each, verdict_of
from trivium.types import Trace, Verdict


def agreement(*, rule: Literal["share", "majority", "log"] = "share") -> Reward:
    """The share of the group that gave the same answer; the verdict is read for the answer, never for its truth.

    With c the rollouts that say what this one says, of n in all: share c / n, majority 1 if no other answer is more
    common, log ln(c / n).  A response without an answer gets 0 (log: ln(1 / 2n)); those that a verifier failed on are
    not among the n.  Zhang et al. 2025 (EMPO),
    arXiv:2504.05812, minimise the entropy of the answers' meanings and pay the share, whose mean is the chance that two
    rollouts agree (Renyi's entropy of order 2); `log` pays what the gradient of Shannon's entropy would.
    """

    def reward(group: Sequence[Trace]) -> list[float | None]:
        judged = [verdict.answer for trace in group if (verdict := verdict_of(trace)) is not None]
        said = Counter(answer for answer in judged if answer is not None)
        n, most = max(1, len(judged)), max(said.values(), default=0)

        def pay(_: Trace, verdict: Verdict) -> float:
            count = said[verdict.answer] if verdict.answer is not None else 0
            if rule == "log":
                return math.log(count / n if count else 1 / (2 * n))
            return float(count == most and count > 0) if rule == "majority" else count / n

        return each(group, pay)

    return reward


def random_pay(*, rate: float = 0.5) -> Reward:
    """1 with probability `rate` and else 0, whatever was said: the control for every reward.

    The draw follows from the response itself, so that a run repeats; wherever the verifier failed nothing is paid.
    """

    def pay(trace: Trace, _: Verdict) -> float:
        text = f"{trace.question_id}/{trace.response}/{trace.usage.sampled_tokens}"
        return float(_fraction(text) < rate)

    return lambda group: each(group, pay)


def _fraction(text: str) -> float:
    """A number in [0, 1) that a text decides."""
    return int.from_bytes(hashlib.blake2b(text.encode(errors="replace"), digest_size=7).digest(), "big") / 2**56
