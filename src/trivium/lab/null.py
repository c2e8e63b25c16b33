"""Controls in which a mechanism is destroyed and everything else stays."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from trivium.types import Problem, Split, Task, Verdict


@dataclass(frozen=True)
class ShuffledLabels:
    """A task whose answers are those of other questions: equal questions, equal cost, and nothing to learn from.

    For tasks that keep what is right under `answer` of their reference.  `seed` decides whose answer each gets.
    """

    task: Task
    seed: int

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
        dealt = self.task.problems(split, n, seed)
        answers = [p.reference["answer"] for p in dealt]
        random.Random(f"{self.seed}/{seed}").shuffle(answers)
        return [
            replace(p, reference={**p.reference, "answer": answer}, gold=str(answer))
            for p, answer in zip(dealt, answers, strict=True)
        ]

    def verify(self, problem: Problem, response: str) -> Verdict:
        return self.task.verify(problem, response)
