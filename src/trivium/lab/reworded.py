"""A task asked in other words: small models read every byte, so a question of ten costs a fifth of one of fifty."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from trivium.lab.wrapped import Wrapped
from trivium.tasks.base import ask
from trivium.types import Problem, Split


@dataclass(frozen=True)
class Reworded(Wrapped):
    """A task whose questions are what `words` makes of a problem; ids, references, splits and verdicts stay.

    `words` may read only what the question says anyway: nothing checks that it does not tell the answer.
    """

    words: Callable[[Problem], str]

    def problems(self, split: Split, n: int, seed: int = 0) -> list[Problem]:
        return [
            replace(p, question=replace(p.question, messages=ask(self.words(p))))
            for p in self.task.problems(split, n, seed)
        ]
