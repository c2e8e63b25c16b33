"""A task whose answers count only with work that is right from the first line to the last."""

from __future__ import annotations

from dataclasses import dataclass

from trivium.lab.wrapped import Wrapped
from trivium.types import Problem, Verdict


@dataclass(frozen=True)
class WholeWork(Wrapped):
    """A right answer under work with a wrong or missing line is wrong: where answers are few, guesses are often right.

    For tasks whose verdicts have the part `steps`, the share of the work that is right.
    """

    def verify(self, problem: Problem, response: str) -> Verdict:
        verdict = super().verify(problem, response)
        lucky = verdict.correct and verdict.parts["steps"] < 1
        return Verdict.wrong(verdict.answer) if lucky else verdict
