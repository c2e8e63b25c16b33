"""An endless, deterministic supply of training problems."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from trivium.errors import TooFewProblems
from trivium.types import Problem, Split, Task


@dataclass(eq=False)
class Pool:
    """Training problems by place: `take(i, n)` is the same whenever it is asked for, so a place is all a resume needs.

    A task with fewer problems than are asked for is gone through again, each time in another order, so that what is
    taken across its end may have a problem twice.
    """

    task: Task
    seed: int
    _dealt: list[Problem] = field(default_factory=list)
    _all: bool = False

    def take(self, start: int, n: int) -> list[Problem]:
        """Problems `start` to `start + n - 1`.  Raises TooFewProblems when the task has no training problem at all."""
        while not self._all and len(self._dealt) < start + n:
            asked = max(512, 2 * (start + n))
            self._dealt = at_most(self.task, "train", asked, self.seed)
            if not self._dealt:
                self.task.problems("train", asked, self.seed)  # which says why there is none
            # Exactly all of them, where there are fewer: a resumed run must cycle through the same.
            self._all = len(self._dealt) < asked
        return [self._at(i) for i in range(start, start + n)]

    def _at(self, i: int) -> Problem:
        epoch, place = divmod(i, len(self._dealt))
        if epoch == 0:
            return self._dealt[place]
        order = list(range(len(self._dealt)))
        random.Random(f"{self.seed}/{epoch}").shuffle(order)
        return self._dealt[order[place]]


def at_most(task: Task, split: Split, n: int, seed: int) -> list[Problem]:
    """The first `n` problems of a split, or all there are where these are fewer, even none."""
    try:
        return task.problems(split, n, seed)
    except TooFewProblems as few:
        return task.problems(split, few.available, seed) if few.available else []
