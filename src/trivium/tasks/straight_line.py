"""Countdown as programs: the lines `9*7=63`, `63-5=58` are the answer, and running them gives the state after each.

Many different programs are right for one problem, and whether one is can be seen by running it.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from trivium.tasks.base import ask, guarded, judged
from trivium.tasks.countdown import Countdown
from trivium.types import Problem, Split, Verdict
from trivium.verify.expression import equation, holds

Program = tuple[str, ...]
"""Lines such as `9*7=63`."""
State = tuple[int, ...]
"""The numbers at hand, in order."""


@dataclass(frozen=True, slots=True)
class StraightLine(Countdown):
    """Countdown asked as `3 5 7 9=24`, with a program for an answer; its solutions are programs too.

    A program is right if each of its lines is true, uses one of the `ops` and numbers at hand, and the last one, and
    none before it, makes the target.
    """

    def problems(self, split: Split, n: int, seed: int = 0) -> list[Problem]:
        return [_as_program(problem) for problem in Countdown.problems(self, split, n, seed)]

    @guarded
    def verify(self, problem: Problem, response: str) -> Verdict:
        lines = response.split("\n")
        states, right = execute(problem, lines)
        return judged(right and len(states) == len(lines), "\n".join(plain(lines)), {})


def execute(problem: Problem, lines: Sequence[str]) -> tuple[list[State], bool]:
    """The state after every line, up to the first that cannot be carried out or makes the target; whether one does."""
    here, states = Counter(problem.reference["numbers"]), list[State]()
    for line in lines:
        claim = equation(line)
        if claim is None or claim[1] not in problem.reference["ops"] or not holds(*claim):
            break
        if not (used := Counter([claim[0], claim[2]])) <= here:
            break
        here = here - used + Counter([claim[3]])
        states.append(tuple(sorted(here.elements())))
        if claim[3] == problem.reference["target"]:
            return states, True
    return states, False


def plain(lines: Sequence[str]) -> Program:
    """Lines with the larger number first where order does not matter, so that equal programs are the same."""
    out = []
    for line in lines:
        a, sign, b, c = equation(line) or (0, "", 0, 0)
        out.append(f"{max(a, b)}{sign}{min(a, b)}={c}" if sign in ("+", "*") else line)
    return tuple(out)


def commuted(problem: Problem, lines: Sequence[str], rng: random.Random) -> Program:
    """A right program in another order: of lines that do not need each other, and of what is added or multiplied.

    As it was, where lines that use equal numbers get in each other's way, or the target would be made too early.
    """
    left, here, out = list(lines), Counter(problem.reference["numbers"]), list[str]()
    while left:
        ready = [line for line in left if (claim := equation(line)) and Counter([claim[0], claim[2]]) <= here]
        if not ready:
            return tuple(lines)
        left.remove(line := rng.choice(ready))
        a, sign, b, c = equation(line) or (0, "", 0, 0)
        here = here - Counter([a, b]) + Counter([c])
        out.append(f"{b}{sign}{a}={c}" if sign in ("+", "*") and rng.random() < 0.5 else line)
    return tuple(out if len(execute(problem, out)[0]) == len(out) else lines)


def _as_program(problem: Problem) -> Problem:
    lines = str(problem.solution).split("\n")[:-1]  # the last one states the answer
    program = "\n".join(lines[: len(execute(problem, lines)[0])])  # 24*1=24 is not needed to make 24
    asked = ask(f"{' '.join(map(str, problem.reference['numbers']))}={problem.reference['target']}")
    question = replace(problem.question, messages=asked, answer_format="final")
    return replace(problem, question=question, gold=program, solution=program)
