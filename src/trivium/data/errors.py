"""Typed errors in worked arithmetic: put one into a right solution, and say which one a wrong response made.

A step is a line `41+87=128` or `c=12-3=9` (see `trivium.tasks.sums` and `chain`).  `KINDS` names the errors; each is a
function from a right solution and the place of a step to the wrong lines that may stand there.  What the task's own
judge of steps does not call wrong is never used.
"""

from __future__ import annotations

import operator
import random
import re
import string
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from trivium.errors import UserError
from trivium.tasks.steps import Step
from trivium.types import Problem, Task

Lines = Callable[[Problem, str], list[Step]]
"""A task's judge of the steps of a response."""
OTHER = "other"
"""The kind of an error that none of `KINDS` explains."""

_STEP = re.compile(r"((?:[a-z]=)?)(-?\d+)([+\-*])(\d+)=(-?\d+)", re.ASCII)
_SIGNS = {"+": operator.add, "-": operator.sub, "*": operator.mul}


@dataclass(frozen=True, slots=True)
class Operation:
    """A step `c=12-3=9`: `name` is `c=`, or empty; `left`, `sign` and `right` are what is done, `result` is claimed."""

    name: str
    left: int
    sign: str
    right: int
    result: int

    def __str__(self) -> str:
        return f"{self.doing}={self.result}"

    @property
    def doing(self) -> str:
        """The step without its result."""
        return f"{self.name}{self.left}{self.sign}{self.right}"

    @property
    def done(self) -> Operation:
        """The same step with its true result."""
        return replace(self, result=int(_SIGNS[self.sign](self.left, self.right)))


@dataclass(frozen=True, slots=True)
class Worked:
    """A right solution: its `lines`, the `steps` read from them (`None` where a line does no operation), the value
    that each line ends in, and the numbers `written` in the question.
    """

    lines: tuple[str, ...]
    steps: tuple[Operation | None, ...]
    values: tuple[int, ...]
    written: tuple[int, ...]
    signs: str


@dataclass(frozen=True, slots=True)
class Wrong:
    """A response up to the end of its first wrong step: `at` right lines, then one with an error of a kind."""

    kind: str
    at: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return "".join(f"{line}\n" for line in self.lines)


Alternatives = Callable[[Worked, int], list[Operation]]


def wrong_operator(worked: Worked, at: int) -> list[Operation]:
    """Another sign between the right numbers."""
    step = worked.steps[at]
    return [] if step is None else [replace(step, sign=sign).done for sign in worked.signs if sign != step.sign]


def wrong_context(worked: Worked, at: int) -> list[Operation]:
    """Another number of the question in the place of the second one."""
    step = worked.steps[at]
    if step is None:
        return []
    return [replace(step, right=n).done for n in sorted(set(worked.written) - {step.right})]


def wrong_previous(worked: Worked, at: int) -> list[Operation]:
    """The value of an earlier line in the place of either number."""
    step = worked.steps[at]
    if step is None:
        return []
    stale = [replace(step, left=n).done for n in worked.values[: max(0, at - 1)] if n != step.left]
    return [*stale, *(replace(step, right=n).done for n in worked.values[:at] if n != step.right and n >= 0)]


def slip(worked: Worked, at: int) -> list[Operation]:
    """The right operation with a result that is one, two or ten off."""
    step = worked.steps[at]
    return [] if step is None else [replace(step, result=step.result + off) for off in (-10, -2, -1, 1, 2, 10)]


def skipped(worked: Worked, at: int) -> list[Operation]:
    """The step left out: the next one goes on from what this one began with."""
    if at + 1 >= len(worked.steps):
        return []
    step, after = worked.steps[at], worked.steps[at + 1]
    if step is None or after is None or after.left != step.result:
        return []
    return [replace(after, left=step.left).done]


KINDS: Mapping[str, Alternatives] = {
    "operator": wrong_operator,
    "skipped": skipped,
    "previous": wrong_previous,
    "context": wrong_context,
    "slip": slip,
}
"""By name, in the order in which an error is explained: the first that fits names it."""


def step_judge(task: Task) -> Lines:
    """A task's own judge of steps.  Raises UserError for a task without one."""
    lines: Lines | None = getattr(task, "lines", None)
    if lines is None:
        raise UserError(f"task {task.name} does not judge single steps; choose sums or chain")
    return lines


def read_step(line: str) -> Operation | None:
    """The operation a line does, or `None`."""
    found = _STEP.fullmatch("".join(line.split()))
    return Operation(found[1], int(found[2]), found[3], int(found[4]), int(found[5])) if found else None


def read_solution(problem: Problem) -> Worked:
    """The problem's written solution, line by line."""
    lines = tuple(str(problem.solution).split("\n"))
    asked = problem.question.messages[-1].content
    return Worked(
        lines,
        tuple(read_step(line) for line in lines),
        tuple(int(line.rpartition("=")[2]) for line in lines),
        tuple(map(int, re.findall(r"\d+", asked))),
        "+-*" if "*" in asked else "+-",
    )


def inject(lines: Lines, problem: Problem, kind: str, rng: random.Random) -> Wrong | None:
    """An error of a kind at a random step of the problem's solution; `None` where no step allows one.

    The judge has called every line before it right and the last one wrong.  Its result is not the answer by luck, and
    not below zero where no right result is, as the sign alone would give the error away.
    """
    worked = read_solution(problem)
    lowest = min(0, *worked.values)
    for at in rng.sample(range(len(worked.lines)), len(worked.lines)):
        found = KINDS[kind](worked, at)
        for step in rng.sample(found, len(found)):
            wrong = Wrong(kind, at, (*worked.lines[:at], str(step)))
            given_away = step.result < lowest or str(step.result) == problem.gold
            if not given_away and _last_alone_is_wrong(lines, problem, wrong):
                return wrong
    return None


def inject_any(lines: Lines, problem: Problem, shares: Mapping[str, float], rng: random.Random) -> Wrong:
    """An error of a kind drawn by `shares`; where it does not fit the problem another is drawn, of no share at last.

    Raises UserError where none fits.
    """
    left = dict(shares)
    while left:
        [kind] = rng.choices(list(left), list(left.values()) if any(left.values()) else None)
        if wrong := inject(lines, problem, kind, rng):
            return wrong
        del left[kind]
    raise UserError(f"no error of {', '.join(shares)} can be put into the solution of {problem.question.id}")


def garbled(lines: Lines, problem: Problem, rng: random.Random, *, characters: int = 2) -> Wrong:
    """A step in which some characters were replaced by random letters: wrong, and like no error that anyone makes."""
    worked = read_solution(problem)
    while True:
        at = rng.randrange(len(worked.lines))
        line = list(worked.lines[at])
        for place in rng.sample(range(len(line)), min(characters, len(line))):
            line[place] = rng.choice(string.ascii_uppercase)
        wrong = Wrong(OTHER, at, (*worked.lines[:at], "".join(line)))
        if lines(problem, wrong.text)[-1].ok is not True:
            return wrong


def diagnose(lines: Lines, problem: Problem, response: str) -> Wrong | None:
    """The first wrong step of a response, with the kind of its error; `None` where no step is wrong, or where the right
    steps before it are not those of the written solution, so that nothing says which step should have come.
    """
    steps = lines(problem, response)
    first = next((i for i, step in enumerate(steps) if step.ok is False), None)
    if first is None:
        return None
    worked, said = read_solution(problem), tuple("".join(step.text.split()) for step in steps[: first + 1])
    if said[:-1] != worked.lines[:first] or first >= len(worked.lines):
        return None
    return Wrong(_kind(worked, first, said[-1]), first, said)


def histogram(errors: Iterable[Wrong]) -> dict[str, float]:
    """The share of every kind among errors of a known kind; equal shares where there is none."""
    counts = Counter(wrong.kind for wrong in errors if wrong.kind in KINDS)
    total = sum(counts.values())
    return {kind: counts[kind] / total if total else 1 / len(KINDS) for kind in KINDS}


def rarest(shares: Mapping[str, float], n: int) -> dict[str, float]:
    """Equal shares for the `n` kinds that have the smallest, and none for the others."""
    low = sorted(shares, key=lambda kind: shares[kind])[:n]
    return {kind: 1 / n if kind in low else 0.0 for kind in shares}


def right_step(problem: Problem, wrong: Wrong) -> str:
    """The line that should have stood in the place of the wrong one."""
    return _solution(problem)[wrong.at]


def fixed(problem: Problem, wrong: Wrong) -> Sequence[str]:
    """What follows when the wrong step is put right: that step and all after it."""
    return _solution(problem)[wrong.at :]


def _solution(problem: Problem) -> Sequence[str]:
    return str(problem.solution).split("\n")


def _kind(worked: Worked, at: int, line: str) -> str:
    said, right = read_step(line), worked.steps[at]
    if said is None:
        return OTHER
    if right is not None and said.doing == right.doing:
        return "slip"
    fits = (kind for kind in KINDS if any(said.doing == step.doing for step in KINDS[kind](worked, at)))
    return next(fits, OTHER)


def _last_alone_is_wrong(lines: Lines, problem: Problem, wrong: Wrong) -> bool:
    *before, last = lines(problem, wrong.text)
    return last.ok is False and all(step.ok for step in before)
