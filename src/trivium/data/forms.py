"""The same sum worked in other forms: its results alone, or with every step checked by its inverse."""

from __future__ import annotations

import random
from typing import Literal

from trivium.verify.expression import equation

Form = Literal["results", "plain", "checked", "mixed"]
FORMS: tuple[Form, ...] = ("results", "plain", "checked")
SLIPS = (-2, -1, 1, 2)


def in_form(solution: str, form: Form, rng: random.Random, slips: float = 0.0) -> str:
    """The lines of a sum of `+` and `-`, such as `41+87=128`, rewritten in a form.

    `results` are `128`, `checked` lines are `41+87=128 128-87=41.`; `mixed` draws a form for every line.  A checked
    line goes wrong at first with probability `slips`: `41+87=129 129-87=42!`, and then the right one.  Lines that are
    no equations stay.
    """
    return "\n".join(
        _line(line, rng.choice(FORMS) if form == "mixed" else form, rng, slips) for line in solution.split("\n")
    )


def _line(line: str, form: Form, rng: random.Random, slips: float) -> str:
    claim = equation(line)
    if claim is None or form == "plain":
        return line
    a, sign, b, c = claim
    if form == "results":
        return str(c)
    back = "-" if sign == "+" else "+"
    right = f"{line} {c}{back}{b}={a}."
    off = rng.choice(SLIPS) if slips and rng.random() < slips else 0
    if not off or min(a, c) + off < 0:  # numbers below zero would be another lesson
        return right
    return f"{a}{sign}{b}={c + off} {c + off}{back}{b}={a + off}!\n{right}"
