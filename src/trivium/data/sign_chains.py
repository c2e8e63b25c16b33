"""Chains of thought that try, fail, see that they fail and go on: numbers that are to make a target by signs alone.

An attempt is `12+7=19-3=16-2=14>14`, what is added before what is taken away, and beside what it makes the target, so
that small models find both to compare; a chain judges each, as `x` or `ok`, and ends with the answer `12+7-3-2`.  The
problems are those of Countdown with + and -, every number being used.
"""

from __future__ import annotations

import itertools
import random
import re

from trivium.types import Problem


def tries(numbers: list[int]) -> dict[str, int]:
    """Every way to sign the numbers that makes something positive, and what it makes."""
    found, descending = {}, sorted(numbers, reverse=True)
    for signs in itertools.product("+-", repeat=len(numbers)):
        (sign, total), *rest = sorted(zip(signs, descending, strict=True), key=lambda signed: signed[0])
        work = str(total)
        for how, number in rest:
            total += number if how == "+" else -number
            work += f"{how}{number}={total}"
        if sign == "+" and total > 0:
            found[work] = total
    return found


def chain(problem: Problem, fails: int) -> str:
    """Up to `fails` different attempts that fail, each judged, then one that is right, and the answer.

    How many and which follows from the problem's key.
    """
    rng, found, target = random.Random(problem.key), tries(problem.reference["numbers"]), problem.reference["target"]
    wrong = [work for work, made in found.items() if made != target]
    rng.shuffle(wrong)
    last = rng.choice([work for work, made in found.items() if made == target])
    failed = [f"{work}>{target} x" for work in wrong[: rng.randint(0, fails)]]
    return "\n".join([*failed, f"{last}>{target} ok", stripped(last)])


def stripped(work: str) -> str:
    """Attempts without their results: the expressions that they worked out."""
    return re.sub(r"=-?\d+", "", work)


def forced(response: str, length: int) -> str:
    """The response if it is shorter than so many characters, else the attempts that stand whole before them.

    The last of these is then read as the answer, as if thinking had been stopped there.
    """
    return response if len(response) < length else stripped(response[:length].rpartition("\n")[0])
