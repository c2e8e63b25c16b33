"""What tasks that change another task's problems have in common: its name, its limits and its verdicts."""

from __future__ import annotations

from dataclasses import dataclass

from trivium.types import Problem, Task, Verdict


@dataclass(frozen=True)
class Wrapped:
    """Passes everything on to the task inside; its problems are for who inherits."""

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

    def verify(self, problem: Problem, response: str) -> Verdict:
        return self.task.verify(problem, response)
