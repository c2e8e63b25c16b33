"""Sums worked out in different ways and with mistakes: responses of mixed quality to learn from."""

from __future__ import annotations

import random

from trivium.tasks.sums import Tokens, may_reduce, tokens


def any_order(expression: str, rng: random.Random, slips: float = 0.0) -> str:
    """The lines of a sum of `+` and `-`, reduced in a random order of those that arithmetic allows.

    No result is below zero.  With probability `slips` a result is off by one, and what follows goes on from it; where a
    slip leaves nothing that may be reduced, the work ends there.
    """
    left, lines = tokens(expression), list[str]()
    while ready := [i for i in range(0, len(left) - 2, 2) if may_reduce(left, i) and _value(left, i) >= 0]:
        # Of equal operations a reader takes the first to be meant.
        chosen = rng.choice(ready)
        i = next(i for i in ready if left[i : i + 3] == left[chosen : chosen + 3])
        value = _value(left, i)
        if rng.random() < slips:
            value = abs(value + rng.choice((-1, 1)))
        lines.append(f"{left[i]}{left[i + 1]}{left[i + 2]}={value}")
        left[i : i + 3] = [value]
    return "\n".join(lines)


def _value(left: Tokens, i: int) -> int:
    a, b = int(left[i]), int(left[i + 2])
    return a + b if left[i + 1] == "+" else a - b
