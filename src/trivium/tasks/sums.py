"""Chained arithmetic, one operation a line: `41+87-35` is `41+87=128`, `128-35=93`."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import ClassVar

from trivium.errors import UserError
from trivium.tasks.base import Described, at_least, deal, guarded, leaks, new_problem, one_of
from trivium.tasks.steps import Step, judge_lines, judge_worked
from trivium.types import Problem, Split, Verdict
from trivium.verify.expression import equation, holds

Tokens = list[int | str]
INSTRUCTION = "Work it out."
"""Short, because a model learns from thousands of prompts; and it takes the place of a template's longer default."""


@dataclass(frozen=True, slots=True)
class Sums(Described):
    """Chained arithmetic with the work shown, such as 41+87-35.

    `terms` numbers of exactly `digits` digits joined by signs drawn from `ops` (of `+-*`).  `min_terms` deals a mixture
    of lengths from there to `terms`; 0 means `terms` only.  `negative` allows results below zero on the way.
    Verdict parts: `format` (nothing but steps and the answer) and `steps` (from `lines`).  Level: operations.
    """

    family: ClassVar[str] = "sums"
    terms: int = 3
    digits: int = 2
    ops: str = "+-"
    min_terms: int = 0
    negative: bool = False

    def __post_init__(self) -> None:
        at_least("sums", 2, terms=self.terms)
        at_least("sums", 1, digits=self.digits)
        one_of("sums", "ops", self.ops, "+-*")
        if self.digits > 12 or self.terms > 20:
            raise UserError(f"task sums: at most 20 terms of 12 digits, not {self.terms} of {self.digits}")
        if self.min_terms and not 2 <= self.min_terms <= self.terms:
            raise UserError(f"task sums: min_terms={self.min_terms}; expected 2 to terms={self.terms}, or 0")

    @property
    def max_tokens(self) -> int:
        width = self.digits * self.terms if "*" in self.ops else self.digits + 2
        return 24 + (self.terms - 1) * (3 * width + 8)

    def problems(self, split: Split, n: int, seed: int = 0) -> list[Problem]:
        return deal(self.name, split, n, seed, self._draw)

    def _draw(self, rng: random.Random) -> Problem | None:
        low, high = 10 ** (self.digits - 1), 10**self.digits - 1
        numbers = [rng.randint(low, high) for _ in range(rng.randint(self.min_terms or self.terms, self.terms))]
        expression = str(numbers[0]) + "".join(rng.choice(self.ops) + str(x) for x in numbers[1:])
        lines, answer, lowest = work_out(expression)
        if (lowest < 0 and not self.negative) or leaks(str(answer), expression):
            return None
        return new_problem(
            self.family,
            expression,
            expression,
            system=INSTRUCTION,
            reference={"expression": expression, "answer": answer},
            gold=str(answer),
            answer_format="number",
            level=len(numbers) - 1,
            solution="\n".join(lines),
        )

    @guarded
    def verify(self, problem: Problem, response: str) -> Verdict:
        return judge_worked(problem, response, self.lines, problem.level)

    def lines(self, problem: Problem, response: str) -> list[Step]:
        """Each line's verdict: an equation is right if it is true and carries out an operation that may come next in
        what is left of the expression, any order that arithmetic allows.  Later lines go on from the claimed result.
        """
        left = tokens(problem.reference["expression"])

        def judge(line: str) -> bool | None:
            claim = equation(line)
            if claim is None:
                return None
            found = next(
                (i for i in range(0, len(left) - 2, 2) if may_reduce(left, i) and left[i : i + 3] == [*claim[:3]]), None
            )
            if found is not None:
                left[found : found + 3] = [claim[3]]
            return found is not None and holds(*claim)

        return judge_lines(response, judge)


def tokens(expression: str) -> Tokens:
    """`41+87` as [41, "+", 87]."""
    return [int(t) if t.isdigit() else t for t in re.findall(r"\d+|[+\-*]", expression)]


def may_reduce(left: Tokens, i: int) -> bool:
    """Whether the operation on the numbers at `i` and `i + 2` may be done first without changing the value."""
    before = left[i - 1] if i else "+"
    after = left[i + 3] if i + 3 < len(left) else "+"
    return left[i + 1] == "*" or (before == "+" and after != "*")


def work_out(expression: str) -> tuple[list[str], int, int]:
    """The steps in the usual order (products first, then from the left), the value, and the lowest result met."""
    left = tokens(expression)
    lines: list[str] = []
    results: list[int] = []
    while len(left) > 1:
        i = left.index("*") - 1 if "*" in left else 0
        a, sign, b = left[i : i + 3]
        a, b = int(a), int(b)
        results.append(a + b if sign == "+" else a - b if sign == "-" else a * b)
        lines.append(f"{a}{sign}{b}={results[-1]}")
        left[i : i + 3] = [results[-1]]
    return lines, results[-1], min(results)
