"""A place in the pool holds the same problem whenever it is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from trivium.data.pool import Pool
from trivium.errors import TooFewProblems
from trivium.tasks import task
from trivium.tasks.base import new_problem
from trivium.types import Problem


@dataclass
class Few:
    """A task with exactly `most` training problems."""

    most: int
    asked: list[int] = field(default_factory=list)

    def problems(self, split: str, n: int, seed: int = 0) -> list[Problem]:
        self.asked.append(n)
        if n > self.most:
            raise TooFewProblems("few", split, self.most, n)
        return [new_problem("few", str(i), f"{i}?", reference=i, gold=str(i)) for i in range(n)]


def keys(problems):
    return [p.key for p in problems]


def test_places_do_not_depend_on_the_way_there():
    made = task("sums")
    walked = Pool(made, 3)
    steps = [keys(walked.take(i, 300)) for i in range(0, 1500, 300)]
    jumped = Pool(made, 3)
    assert keys(jumped.take(1200, 300)) == steps[4]
    assert keys(jumped.take(0, 300)) == steps[0]
    assert len({k for step in steps for k in step}) == 1500
    assert keys(Pool(made, 4).take(0, 300)) != steps[0]


@pytest.mark.parametrize("most", [1, 5, 511, 600])
def test_few_problems_are_gone_through_again_in_other_orders(most):
    pool = Pool(Few(most), 0)
    first, second, third = (keys(pool.take(epoch * most, most)) for epoch in range(3))
    assert sorted(first) == sorted(second) == sorted(third)
    assert len(set(first)) == most
    assert most < 500 or len({tuple(first), tuple(second), tuple(third)}) == 3
    late = Pool(Few(most), 0)
    assert keys(late.take(2 * most, most)) == third
    late.take(9 * most, 1)
    assert len(late.task.asked) <= 2, "dealing is slow: once to find that there are too few, once to have them all"


def test_no_problem_at_all_is_the_tasks_own_message():
    with pytest.raises(TooFewProblems, match="few has only 0 different train problems"):
        Pool(Few(0), 0).take(0, 1)
