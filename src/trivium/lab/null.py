"""Controls in which a mechanism is destroyed and everything else stays."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from trivium.lab.wrapped import Wrapped
from trivium.types import Problem, Split


@dataclass(frozen=True)
class ShuffledLabels(Wrapped):
    """A task whose answers are those of other questions: equal questions, equal cost, and nothing to learn from.

    For tasks that keep what is right under `answer` of their reference.  `seed` decides whose answer each gets.
    """

    seed: int

    def problems(self, split: Split, n: int, seed: int = 0) -> list[Problem]:
        dealt = self.task.problems(split, n, seed)
        answers = [p.reference["answer"] for p in dealt]
        random.Random(f"{self.seed}/{seed}").shuffle(answers)
        return [
            replace(p, reference={**p.reference, "answer": answer}, gold=str(answer))
            for p, answer in zip(dealt, answers, strict=True)
        ]
