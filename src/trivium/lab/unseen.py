"""Training problems that nothing was learned from yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trivium.data.pool import at_most
from trivium.errors import TooFewProblems
from trivium.lab.lab import Lab
from trivium.types import Problem, Task


def unseen(lab: Lab[Any], task: Task, n: int) -> list[Problem]:
    """The first `n` of the seed's training problems that the lab has not seen; from now on it has.

    Where a base learned its share of a small space of problems, other draws meet some of them again; learning without
    labels from a problem whose solution was shown would be none.  Of a task whose kinds of problems differ in number
    the rarer kind may be used up, and what is left is then no fair sample: see `lab.ways.aside`.  Raises
    TooFewProblems where all that are left are fewer.
    """
    return first_of(lab, task, n, lambda problem: problem.question.id not in lab.seen)


def first_of(
    lab: Lab[Any], task: Task, n: int, wanted: Callable[[Problem], bool], offset: int = 0
) -> list[Problem]:  # fmt: skip
    """The first `n` of the training problems of the seed plus `offset` that are wanted; from now on the lab has seen
    them.  Raises TooFewProblems where there are fewer.
    """
    dealt: list[Problem] = []
    asked = n
    while len(dealt) < n:
        asked *= 2
        found = at_most(task, "train", asked, lab.seed + offset)
        dealt = [p for p in found if wanted(p)]
        if len(dealt) < n and len(found) < asked:
            raise TooFewProblems(f"task {task.name}, what serves another end left out,", "train", len(dealt), n)
    lab.seen.update(p.question.id for p in dealt[:n])
    return dealt[:n]
