"""Controls in which a mechanism is destroyed and everything else stays."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from trivium.lab.wrapped import Wrapped
from trivium.types import Problem, Split


@dataclass(frozen=True)
class ShuffledLabels(Wrapped):
    """A task whose answers are those of other questions: equal questions, equal cost, and nothing to learn from.

    For tasks that keep what is right under `answer` of their reference.  `seed` decides whose answer each gets.  No
    question keeps its own, unless it is the only one: of ten that are only shuffled one is labelled rightly on average,
    and three now and then, which is enough to choose a program by.
    """

    seed: int

    def problems(self, split: Split, n: int, seed: int = 0) -> list[Problem]:
        dealt = self.task.problems(split, n, seed)
        order = list(range(len(dealt)))
        # Drawn anew for every task, so that what chance does to one it does not do to all.
        random.Random(f"{self.seed}/{seed}/{[p.question.id for p in dealt[:1]]}").shuffle(order)
        giver = dict(zip(order, order[1:] + order[:1], strict=True))
        answers = [dealt[giver[i]].reference["answer"] for i in range(len(dealt))]
        return [
            replace(p, reference={**p.reference, "answer": answer}, gold=str(answer))
            for p, answer in zip(dealt, answers, strict=True)
        ]
