"""Training problems that nothing was learned from yet."""

from __future__ import annotations

from typing import Any

from trivium.data.pool import at_most
from trivium.errors import TooFewProblems
from trivium.lab.lab import Lab
from trivium.types import Problem, Task


def unseen(lab: Lab[Any], task: Task, n: int) -> list[Problem]:
    """The first `n` of the seed's training problems that the lab has not seen; from now on it has.

    Where a base learned its share of a small space of problems, other draws meet some of them again; learning without
    labels from a problem whose solution was shown would be none.  Raises TooFewProblems where all that are left are
    fewer.
    """
    dealt: list[Problem] = []
    asked = n
    while len(dealt) < n:
        asked *= 2
        found = at_most(task, "train", asked, lab.seed)
        dealt = [p for p in found if p.question.id not in lab.seen]
        if len(dealt) < n and len(found) < asked:
            raise TooFewProblems(f"task {task.name}, what was learned from left out,", "train", len(dealt), n)
    lab.seen.update(p.question.id for p in dealt[:n])
    return dealt[:n]
