"""Countdown: reach a target from given numbers with + - * and /."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

from trivium.errors import UserError
from trivium.tasks.base import Described, at_least, deal, guarded, judged, new_problem, one_of
from trivium.tasks.steps import Step, judge_lines, step_share
from trivium.types import Problem, Split, Verdict
from trivium.verify.expression import equation, evaluate, holds, signs
from trivium.verify.parse import expression


@dataclass(frozen=True, slots=True)
class Countdown(Described):
    """Reach a target number from 4 given numbers with + - * /, each used at most once.

    `numbers` of 1 to `largest`, a target of 1 to `target`, signs from `ops` (of `+-*/`); every problem is solvable with
    whole numbers on the way.  `use_all` demands every number.  `min_numbers` deals a mixture from there to `numbers`; 0
    means `numbers` only.  Verdict parts: `format` (an expression), `numbers` (only those given), `steps` (work shown
    that is true and uses what is there).  Level: count of numbers.
    """

    family: ClassVar[str] = "countdown"
    numbers: int = 4
    largest: int = 20
    target: int = 100
    ops: str = "+-*/"
    use_all: bool = False
    min_numbers: int = 0

    def __post_init__(self) -> None:
        at_least("countdown", 2, numbers=self.numbers, largest=self.largest, target=self.target)
        one_of("countdown", "ops", self.ops, "+-*/")
        if self.numbers > 10:
            raise UserError(f"task countdown: numbers={self.numbers} is too large; expected 2 to 10")
        if self.min_numbers and not 2 <= self.min_numbers <= self.numbers:
            raise UserError(f"task countdown: min_numbers={self.min_numbers}; expected 2 to {self.numbers}, or 0")

    @property
    def max_tokens(self) -> int:
        return 48 + 24 * self.numbers

    def problems(self, split: Split, n: int, seed: int = 0) -> list[Problem]:
        return deal(self.name, split, n, seed, self._draw)

    def _draw(self, rng: random.Random) -> Problem | None:
        count = rng.randint(self.min_numbers or self.numbers, self.numbers)
        given = sorted(rng.randint(1, self.largest) for _ in range(count))
        made = _combine(given, self.ops, rng)
        if made is None:
            return None
        lines, found, target = made
        if not 1 <= target <= self.target or target in given:
            return None
        listed = ", ".join(map(str, given))
        rule = "each once" if self.use_all else "each at most once"
        return new_problem(
            self.family,
            f"{listed} {self.ops} {target} {rule}",
            f"Make {target} from {listed} with {' '.join(self.ops)}, {rule}.",
            reference={"numbers": given, "target": target, "ops": self.ops, "use_all": self.use_all},
            gold=found,
            answer_format="expression",
            level=count,
            solution="\n".join([*lines, f"Answer: {found}"]),
        )

    @guarded
    def verify(self, problem: Problem, response: str) -> Verdict:
        target, given = problem.reference["target"], Counter(problem.reference["numbers"])
        answer = expression(response)
        steps = step_share(self.lines(problem, response), 1)
        if answer is None:
            return Verdict.unparseable("no expression found", format=0.0, numbers=0.0, steps=steps)
        try:
            value, used = evaluate(answer)
        except ValueError as error:
            return Verdict.unparseable(str(error), format=0.0, numbers=0.0, steps=steps)
        fits = Counter(used) == given if problem.reference["use_all"] else Counter(used) <= given
        parts = {"format": 1.0, "numbers": float(fits), "steps": steps}
        if not fits:
            return judged(False, answer, parts, "uses other numbers than those given")
        if not signs(answer) <= set(problem.reference["ops"]):
            return judged(False, answer, parts, f"uses other signs than {' '.join(problem.reference['ops'])}")
        return judged(value == target, answer, parts, f"makes {value}, asked for {target}")

    def lines(self, problem: Problem, response: str) -> list[Step]:
        """Each line's verdict: an equation is right if it is true, its sign is one of the question's and its numbers,
        given or results, are unused.
        """
        here, ops = Counter(problem.reference["numbers"]), problem.reference["ops"]

        def judge(line: str) -> bool | None:
            claim = equation(line)
            if claim is None:
                return None
            left, sign, right, result = claim
            fits = sign in ops and Counter([left, right]) <= here
            if fits:
                here.subtract([left, right])
                here[result] += 1
            return fits and holds(*claim)

        return judge_lines(response, judge)


def _combine(given: list[int], ops: str, rng: random.Random) -> tuple[list[str], str, int] | None:
    """Join all numbers by random operations with positive whole results: the steps, the expression and its value;
    `None` where none of the signs gives one.
    """
    pool = [(x, str(x)) for x in given]
    lines: list[str] = []
    while len(pool) > 1:
        rng.shuffle(pool)
        (a, left), (b, right) = pool.pop(), pool.pop()
        if a < b:
            a, b, left, right = b, a, right, left
        fitting = [s for s in ops if not (s == "-" and a == b) and not (s == "/" and a % b)]
        if not fitting:
            return None
        sign = rng.choice(fitting)
        value = a + b if sign == "+" else a - b if sign == "-" else a * b if sign == "*" else a // b
        lines.append(f"{a}{sign}{b}={value}")
        pool.append((value, f"({left}{sign}{right})" if len(pool) else f"{left}{sign}{right}"))
    return lines, pool[0][1], pool[0][0]
