"""Verdicts on single lines of a worked response: partial scores now, process rewards where a recipe wants them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from trivium.tasks.base import judged
from trivium.types import Problem, Verdict
from trivium.verify.check import reference_number
from trivium.verify.expression import evaluate
from trivium.verify.parse import format_number, number_value


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a response: where it stands (`response[start:end]`), and whether it is a right step (`ok`), or
    `None` where the line claims nothing that can be checked.
    """

    text: str
    start: int
    end: int
    ok: bool | None


def judge_lines(response: str, judge: Callable[[str], bool | None]) -> list[Step]:
    """A `Step` for each line that is not empty; `judge` sees them in order, white space removed."""
    return [Step(text, start, end, judge("".join(text.split()))) for text, start, end in _lines(response)]


def judge_worked(problem: Problem, response: str, lines: Callable[[Problem, str], list[Step]], needed: int) -> Verdict:
    """The verdict on a number with its work shown: right if the number is, with `format` and `steps` from its lines."""
    wanted = reference_number(problem.reference["answer"])
    got = number_value(response)
    if got is None:
        return Verdict.unparseable("no number found", format=0.0, steps=0.0)
    steps = lines(problem, response)
    parts = {"format": well_formed(steps), "steps": step_share(steps, needed)}
    return judged(got == wanted, format_number(got), parts)


def step_share(steps: list[Step], needed: int) -> float:
    """Right steps / max(steps shown, steps needed), in [0, 1]: skipping work and padding it with claims both cost."""
    judged = [step.ok for step in steps if step.ok is not None]
    return sum(judged) / max(len(judged), needed) if judged or needed else 1.0


def well_formed(steps: list[Step]) -> float:
    """1.0 if every line is a checkable step, except that the last may be the answer alone; else 0.0."""
    return float(bool(steps) and all(step.ok is not None for step in steps[:-1]))


def equal_throughout(line: str, value: int, names: dict[str, int]) -> bool:
    """Whether every side of `7+5=12` has this value and the last side is a plain number."""
    sides = line.split("=")
    try:
        return (
            all(evaluate(side, names)[0] == value for side in sides) and re.fullmatch(r"-?\d+", sides[-1]) is not None
        )
    except ValueError:
        return False


def _lines(response: str) -> Iterator[tuple[str, int, int]]:
    start = 0
    for line in response.split("\n"):
        text = line.strip()
        if text:
            at = start + line.index(text)
            yield text, at, at + len(text)
        start += len(line) + 1
