"""What tasks that change something of another task have in common: all the rest of it."""

from __future__ import annotations

from dataclasses import dataclass

from trivium.types import Problem, Split, Task, Verdict


@dataclass(frozen=True)
class Wrapped:
    """Passes everything on to the task inside; who inherits says what is different."""

    task: Task

    @property
    def name(self) -> str:
        return self.task.name

    @property
    def summary(self) -> str:
        return self.task.summary

    @property
    def max_tokens(self) -> int:
        return self.task.max_tokens

    def problems(self, split: Split, n: int, seed: int = 0) -> list[Problem]:
        return self.task.problems(split, n, seed)

    def verify(self, problem: Problem, response: str) -> Verdict:
        return self.task.verify(problem, response)
