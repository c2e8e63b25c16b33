"""Chains of assignments with distractors: `a=7`, `b=a+5`, ... and the value of one variable is asked."""

from __future__ import annotations

import operator
import random
import string
from dataclasses import dataclass
from typing import ClassVar

from trivium.errors import UserError
from trivium.tasks.base import Described, at_least, deal, guarded, leaks, new_problem, one_of
from trivium.tasks.steps import Step, equal_throughout, judge_lines, judge_worked
from trivium.types import Problem, Split, Verdict
from trivium.verify.expression import evaluate

OPERATIONS = {"+": operator.add, "-": operator.sub, "*": operator.mul}


@dataclass(frozen=True, slots=True)
class Chain(Described):
    """Follow a chain of assignments among distractors to the value of one variable.

    `steps` operations lead to the variable asked for, each on the one before and a constant of at most `digits` digits
    or an earlier variable of the chain; `distractors` further lines do not matter.  `shuffle` lists the lines in any
    order, else every variable stands after those it needs.  `min_steps` deals a mixture of lengths from there to
    `steps`; 0 means `steps` only.  Verdict parts: `format`, and `steps` from `lines`.  Level: operations.
    """

    family: ClassVar[str] = "chain"
    steps: int = 3
    distractors: int = 2
    digits: int = 1
    ops: str = "+-"
    shuffle: bool = False
    min_steps: int = 0

    def __post_init__(self) -> None:
        at_least("chain", 1, steps=self.steps, digits=self.digits)
        at_least("chain", 0, distractors=self.distractors)
        one_of("chain", "ops", self.ops, "+-*")
        if self.steps + 1 + self.distractors > len(string.ascii_lowercase):
            raise UserError("task chain: steps + 1 + distractors is above 26, the number of one-letter variables")
        if self.digits > 12:
            raise UserError(f"task chain: digits={self.digits} is too large; expected 1 to 12")
        if self.min_steps and not 1 <= self.min_steps <= self.steps:
            raise UserError(f"task chain: min_steps={self.min_steps}; expected 1 to steps={self.steps}, or 0")

    @property
    def max_tokens(self) -> int:
        width = self.digits * (self.steps + 1) if "*" in self.ops else self.digits + 2
        return 24 + (self.steps + 1) * (3 * width + 10)

    def problems(self, split: Split, n: int, seed: int = 0) -> list[Problem]:
        return deal(self.name, split, n, seed, self._draw)

    def _draw(self, rng: random.Random) -> Problem | None:
        count = rng.randint(self.min_steps or self.steps, self.steps)
        letters = rng.sample(string.ascii_lowercase, count + 1 + self.distractors)
        chain, others = letters[: count + 1], letters[count + 1 :]
        limit = 10**self.digits - 1
        known: dict[str, int] = {}
        lines: dict[str, str] = {}
        for i, name in enumerate(letters):
            if name in others:
                first = rng.choice(letters[:i]) if rng.random() < 0.7 else None
            else:
                first = chain[i - 1] if i else None
            # Constants keep the numbers small; one operand in three is an earlier variable, so that the chain branches.
            earlier = chain[: i - 1] if 1 < i <= count and rng.random() < 1 / 3 else []
            second = rng.choice(earlier) if earlier else str(rng.randint(1, limit))
            sign = rng.choice(self.ops)
            lines[name] = second if first is None else f"{first}{sign}{second}"
            right = known[second] if earlier else int(second)
            known[name] = right if first is None else OPERATIONS[sign](known[first], right)
            if known[name] < 0:
                return None
        asked = chain[-1]
        order = _order(lines, rng, self.shuffle)
        prompt = "\n".join(f"{name}={lines[name]}" for name in order) + f"\nWhat is {asked}?"
        if leaks(str(known[asked]), prompt):
            return None
        return new_problem(
            self.family,
            prompt,
            prompt,
            reference={"lines": lines, "asked": asked, "answer": known[asked]},
            gold=str(known[asked]),
            answer_format="number",
            level=count,
            solution="\n".join(_worked(name, lines[name], known) for name in chain),
        )

    @guarded
    def verify(self, problem: Problem, response: str) -> Verdict:
        return judge_worked(problem, response, self.lines, problem.level + 1)

    def lines(self, problem: Problem, response: str) -> list[Step]:
        """Each line's verdict: `c=12-3=9` is right if every side has the true value of `c`, `c` is needed for the
        variable asked for and has not been worked out before; a line that assigns nothing claims nothing.
        """
        definitions: dict[str, str] = problem.reference["lines"]
        known = _values(definitions)
        open_names = _needed(definitions, problem.reference["asked"])

        def judge(line: str) -> bool | None:
            name, equals, sides = line.partition("=")
            if not equals or not (len(name) == 1 and name.isalpha()):
                return None
            if name not in open_names or not equal_throughout(sides, known[name], known):
                return False
            open_names.remove(name)
            return True

        return judge_lines(response, judge)


def _order(lines: dict[str, str], rng: random.Random, shuffle: bool) -> list[str]:
    """A random order of the variables; unless `shuffle`, each after those it needs."""
    names = list(lines)
    rng.shuffle(names)
    if shuffle:
        return names
    placed: list[str] = []
    while names:
        ready = next(name for name in names if _letters(lines[name]) <= set(placed))
        names.remove(ready)
        placed.append(ready)
    return placed


def _letters(expression: str) -> set[str]:
    return {c for c in expression if c.isalpha()}


def _values(lines: dict[str, str]) -> dict[str, int]:
    known: dict[str, int] = {}
    while len(known) < len(lines):
        ready = [name for name in lines if name not in known and _letters(lines[name]) <= known.keys()]
        if not ready:
            raise ValueError("the assignments are circular or incomplete")
        known |= {name: int(evaluate(lines[name], known)[0]) for name in ready}
    return known


def _needed(lines: dict[str, str], asked: str) -> set[str]:
    needed: set[str] = set()
    frontier = {asked}
    while frontier:
        needed |= frontier
        frontier = {c for name in frontier for c in _letters(lines[name])} - needed
    return needed


def _worked(name: str, expression: str, known: dict[str, int]) -> str:
    filled = "".join(str(known[c]) if c.isalpha() else c for c in expression)
    return f"{name}={filled}" + (f"={known[name]}" if filled != str(known[name]) else "")
