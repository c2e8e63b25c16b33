"""A program's search through Countdown, written out: by one line of thought, or by a parent with children.

The first operation leaves one number fewer, the second another, and so on; of the operations that come next the best
few are tried.  What is left is named in ascending order, as `2 7 24>50`; the larger number of an operation comes first;
results stay from 1 to `LARGEST`.  A search that has found the target says so by `FOUND`.
"""

from __future__ import annotations

import functools
import itertools
import random
import re
from collections.abc import Sequence
from typing import NamedTuple

LARGEST = 99
"""Of the results that are written: longer ones are hard for small models, and seldom lead to a target below it."""
FOUND, NOTHING = "!", "none"
EQUATION = re.compile(r"(\d+)[+*-](\d+)=(\d+)", re.ASCII)


class Move(NamedTuple):
    """An operation such as `8*3=24`, and the numbers that are there after it, in ascending order."""

    text: str
    left: tuple[int, ...]


def state(numbers: Sequence[int], target: int) -> str:
    """What there is and what is asked for: `2 7 24>50`."""
    return f"{' '.join(map(str, numbers))}>{target}"


def moves(numbers: Sequence[int], signs: str, most: int = LARGEST) -> list[Move]:
    """Every operation on two of the numbers, with a result of at most `most`."""
    found = {}
    for pair in itertools.combinations(range(len(numbers)), 2):
        low, high = sorted(numbers[i] for i in pair)
        rest = [x for i, x in enumerate(numbers) if i not in pair]
        for sign in signs:
            value = high + low if sign == "+" else high * low if sign == "*" else high - low
            if 1 <= value <= most:
                text = f"{high}{sign}{low}={value}"
                found[text] = Move(text, tuple(sorted([*rest, value])))
    return list(found.values())


def after(equation: str, numbers: Sequence[int]) -> Move | None:
    """A written operation as a move, its result taken as claimed; `None` where it is none on these numbers."""
    match, left = EQUATION.fullmatch(equation), list(numbers)
    if match is None:
        return None
    try:
        for operand in match.group(1, 2):
            left.remove(int(operand))
    except ValueError:
        return None
    return Move(equation, tuple(sorted([*left, int(match[3])])))


def best(numbers: Sequence[int], target: int, signs: str, width: int, rng: random.Random) -> list[Move]:
    """The `width` best moves, shuffled: those after which all numbers together are nearest to factors of the target.

    The heuristic of the released demonstrations of APR, which add the distances up.
    """
    possible = moves(numbers, signs, _most(target, signs))
    ranked = sorted(possible, key=lambda move: sum(_distance(x, target) for x in move.left))
    kept = ranked[:width]
    rng.shuffle(kept)
    return kept


def looked(numbers: Sequence[int], target: int, signs: str, width: int, rng: random.Random) -> str:
    """The search of three numbers: each of the best operations on them with all that the two numbers after it make.

    With 2, 3 and 8 for 30 it is such as `8+3=11:11+2=13,11*2=22;8*2=16:16+3=19,16*3=48;3*2=6:8+6=14,8*6=48`.  Of two
    numbers it is all that they make.
    """
    if len(numbers) == 2:
        return _ends(numbers, target, signs)
    said: list[str] = []
    for move in best(numbers, target, signs, width, rng):
        said.append(f"{move.text}:{_ends(move.left, target, signs)}")
        if said[-1].endswith(FOUND):
            break
    return ";".join(said)


def _ends(numbers: Sequence[int], target: int, signs: str) -> str:
    """What two numbers make, as far as the target if they make it."""
    ends: list[str] = []
    for end in moves(numbers, signs, _most(target, signs)):
        ends.append(end.text)
        if end.left == (target,):
            return ",".join(ends) + FOUND
    return ",".join(ends)


def success(tried: str) -> list[str] | None:
    """The operations that a search of two or three numbers ended with, if it says that it has found the target."""
    if not tried.endswith(FOUND):
        return None
    move, _, ends = tried.removesuffix(FOUND).rpartition(";")[2].rpartition(":")
    return [*([move] if move else []), ends.rpartition(",")[2]]


def joined(path: Sequence[str]) -> str:
    """Operations as one expression: `7+3=10`, `8*2=16`, `16+10=26` as `(8*2)+(7+3)`."""
    made: list[tuple[str, str]] = []
    for equation in path:
        work, _, value = equation.partition("=")
        parts = re.split(r"([+*-])", work)
        for i in range(0, len(parts), 2):
            for known in made:
                if known[0] == parts[i]:
                    parts[i] = f"({known[1]})"
                    made.remove(known)
                    break
        made.append((value, "".join(parts)))
    return made[-1][1]


def in_turn(kept: Sequence[Move], tried: Sequence[str], target: int) -> str:
    """One line of thought: each first operation, what it leaves and the search after it, up to the first success."""
    said: list[str] = []
    for move, search in zip(kept, tried, strict=True):
        said.append(f"{move.text}>{state(move.left, target)}|{search}")
        if path := success(search):
            return "\n".join([*said, joined([move.text, *path])])
    return "\n".join([*said, NOTHING])


def first_found(orders: Sequence[str], tried: Sequence[str]) -> list[str] | None:
    """The whole path of the first search that succeeded, the operation it was ordered after included."""
    return next((([order, *path]) for order, said in zip(orders, tried, strict=True) if (path := success(said))), None)


def returned(path: Sequence[str] | None) -> str:
    """What a parent hears of the searches that it ordered."""
    return f"{':'.join(path) if path else '-'}\n"


def _most(target: int, signs: str) -> int:
    """The largest result that may still lead to the target: + and * never make less of what there is."""
    return LARGEST if "-" in signs else min(target, LARGEST)


@functools.cache
def _distance(number: int, target: int) -> int:
    """From a number to the nearest factor of the target."""
    return min(abs(number - factor) for factor in range(1, target + 1) if target % factor == 0)
