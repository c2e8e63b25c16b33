"""Worked responses made worse on purpose, to learn what of a demonstration matters.

A response is steps, one a line, and an answer on its last line.  Every function changes steps alone: what they say
(`replace_names`), or which there are and in what order (`shuffle_steps`, `delete_steps`, `insert_steps`).  The same
generator state gives the same text.  A response of fewer than two lines has no steps and stays as it is.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence


def steps_and_answer(response: str) -> tuple[list[str], str]:
    """The lines before the last, and the last."""
    *steps, answer = response.split("\n")
    return steps, answer


def replace_names(response: str, names: str | Sequence[str], rate: float, rng: random.Random) -> str:
    """Each name in the steps becomes, with probability `rate`, one drawn from `names`: by chance it may be the same.

    A text of names stands for its characters, such as digits, wherever they occur; other names are whole words.  At
    rate 1 nothing of the content is left but where names stand.
    """
    known = "|".join(sorted(map(re.escape, names), key=len, reverse=True))
    pattern = re.compile(known if isinstance(names, str) else rf"\b(?:{known})\b")
    steps, answer = steps_and_answer(response)

    def other(found: re.Match[str]) -> str:
        return rng.choice(names) if rng.random() < rate else found[0]

    return _joined([pattern.sub(other, step) for step in steps], answer)


def shuffle_steps(response: str, fraction: float, rng: random.Random) -> str:
    """A fraction of the steps change places among themselves, and every one of them moves; the others stay.

    One step cannot move alone, so that of two or more steps at least two do, unless the fraction rounds to no step.
    """
    steps, answer = steps_and_answer(response)
    count = _count(len(steps), fraction)
    chosen = rng.sample(range(len(steps)), max(2, count) if count and len(steps) > 1 else 0)
    # Round a circle in random order: no step stays where it is.
    moved = {to: steps[place] for place, to in zip(chosen, [*chosen[1:], *chosen[:1]], strict=True)}
    return _joined([moved.get(i, step) for i, step in enumerate(steps)], answer)


def delete_steps(response: str, fraction: float, rng: random.Random) -> str:
    """A fraction of the steps is left out."""
    steps, answer = steps_and_answer(response)
    gone = set(rng.sample(range(len(steps)), _count(len(steps), fraction)))
    return _joined([step for i, step in enumerate(steps) if i not in gone], answer)


def insert_steps(response: str, others: Sequence[str], fraction: float, rng: random.Random) -> str:
    """A fraction of the steps gives way to steps of other responses, each drawn from a random one that has steps."""
    steps, answer = steps_and_answer(response)
    foreign = [found for other in others if (found := steps_and_answer(other)[0])]
    for i in rng.sample(range(len(steps)), _count(len(steps), fraction) if foreign else 0):
        steps[i] = rng.choice(rng.choice(foreign))
    return _joined(steps, answer)


def _count(steps: int, fraction: float) -> int:
    """How many steps a fraction is, to the nearest."""
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction={fraction}: expected a share of the steps, 0 to 1")
    return round(steps * fraction)


def _joined(steps: Sequence[str], answer: str) -> str:
    return "\n".join([*steps, answer])
