"""Rewards that shape length, in sampled tokens and clamped.

Counting characters against a cap in tokens, or letting a cosine run past its end so that it rises again, are how
published length rewards came to pay for rambling (huggingface/open-r1#312, knoveleng/open-rs#4).  Lengths of wrong
answers are left alone by default: a group of failures must not teach to fail briefly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from trivium.errors import UserError
from trivium.rewards.judged import Reward, each, verdict_of
from trivium.types import Trace, Verdict

Among = Literal["correct", "all"]


def length(*, max_tokens: int, shape: Literal["linear", "cosine"] = "linear", among: Among = "correct") -> Reward:
    """How much of the token allowance was used, in [0, 1]; give it a negative weight.

    With u = min(T / max_tokens, 1): linear u, cosine (1 - cos(pi u)) / 2, which is flat at both ends (Yeo et al. 2025,
    arXiv:2502.03373).  Answers outside `among` get 0.
    """
    _check_cap("length", max_tokens)

    def pay(trace: Trace, verdict: Verdict) -> float:
        if among == "correct" and not verdict.correct:
            return 0.0
        used = min(trace.usage.sampled_tokens / max_tokens, 1.0)
        return used if shape == "linear" else (1 - math.cos(math.pi * used)) / 2

    return lambda group: each(group, pay)


def overlong(*, max_tokens: int, buffer: int | None = None) -> Reward:
    """DAPO's soft penalty: 0 up to max_tokens - buffer, then falling linearly to -1 at max_tokens.

    A truncated answer is at the cap by definition.  `buffer` is a fifth of the cap unless given (4,096 of 20,480 in the
    paper).  Yu et al. 2025, arXiv:2503.14476.
    """
    _check_cap("overlong", max_tokens)
    soft = max(1, max_tokens // 5) if buffer is None else buffer
    if not 0 < soft <= max_tokens:
        raise UserError(f"reward overlong: buffer={soft}; expected 1 to max_tokens={max_tokens}")

    def pay(trace: Trace, _: Verdict) -> float:
        if trace.finish == "length":
            return -1.0
        return -min(max((trace.usage.sampled_tokens - (max_tokens - soft)) / soft, 0.0), 1.0)

    return lambda group: each(group, pay)


def relative_length(*, among: Among = "correct") -> Reward:
    """0.5 for the shortest answer of the group down to -0.5 for the longest; nothing where all are equally long.

    lambda = 0.5 - (T - T_min) / (T_max - T_min).  among=correct compares and pays correct answers only.  among=all is
    the published form: lengths of the whole group, lambda if correct, min(0, lambda) if wrong.
    Kimi Team 2025 (k1.5), arXiv:2501.12599.
    """

    def reward(group: Sequence[Trace]) -> list[float | None]:
        judged = [(t, v) for t in group if (v := verdict_of(t)) is not None]
        lengths = [t.usage.sampled_tokens for t, v in judged if among == "all" or v.correct]
        low, high = min(lengths, default=0), max(lengths, default=0)

        def pay(trace: Trace, verdict: Verdict) -> float:
            if low == high or (among == "correct" and not verdict.correct):
                return 0.0
            shortness = 0.5 - (trace.usage.sampled_tokens - low) / (high - low)
            return shortness if verdict.correct else min(0.0, shortness)

        return each(group, pay)

    return reward


def _check_cap(name: str, max_tokens: int) -> None:
    if max_tokens < 1:
        raise UserError(f"reward {name}: max_tokens={max_tokens}; expected the generation cap, at least 1")
