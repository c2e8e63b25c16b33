"""Teaching a small policy what an instructed one does when told: to discuss, and to say how sure it is."""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from trivium.data.discussion import UNSURE, discussion, reply
from trivium.lab.lab import Lab
from trivium.lab.measure import attempts, right
from trivium.lab.train import demonstrations, imitate
from trivium.policies.local import LocalPolicy
from trivium.search.lm import reworded
from trivium.types import Policy, Problem, Task

Sort = Callable[[Problem], Hashable]
"""What sort of problem one is: those of the same sort are about equally hard."""


def talked_over(problems: Sequence[Problem], rng: random.Random, share: float = 0.5) -> list[Problem]:
    """The same problems, a share of them behind a made-up discussion of theirs."""
    asked = list[Problem]()
    for problem in problems:
        told = discussion(problem, problems, rng) if rng.random() < share else ""
        asked.append(replace(problem, question=reworded(problem.question, told, "")))
    return asked


def begin_talking(
    lab: Lab[Any], policy: LocalPolicy, problems: Sequence[Problem], *, steps: int, batch: int, lr: float
) -> None:
    """Imitate replies that state no confidence, most of them to what was talked over: reading is slow to learn."""
    asked = talked_over(problems, random.Random(lab.seed), 0.6)
    shown = [(p, reply(UNSURE, str(p.solution))) for p in asked]
    imitate(lab, policy, demonstrations(policy, shown), steps=steps, batch=batch, lr=lr)


def learn_talking(
    lab: Lab[Any],
    policy: LocalPolicy,
    task: Task,
    problems: Sequence[Problem],
    held_out: Sequence[Problem],
    *,
    sort: Sort,
    steps: int,
    again: int,
    batch: int,
    lr: float,
    max_tokens: int,
) -> None:
    """Imitate replies (see `trivium.data.discussion`) to problems, half of them after a made-up discussion.

    At first every reply states that it is unsure.  For `again` further steps, at a quarter of the rate, it states how
    often the policy was right by then on held-out problems of the same sort, so that it learns to say how good it is.
    """
    asked = talked_over(problems, random.Random(lab.seed))

    def learn(sure: Mapping[Hashable, float], steps: int, lr: float) -> None:
        shown = [(p, reply(sure.get(sort(p), UNSURE), str(p.solution))) for p in asked]
        imitate(lab, policy, demonstrations(policy, shown), steps=steps, batch=batch, lr=lr)

    learn({}, steps, lr)
    learn(rates(held_out, solved(lab, policy, task, held_out, max_tokens=max_tokens), sort), again, lr / 4)


def solved(
    lab: Lab[Any], policy: Policy, task: Task, problems: Sequence[Problem], *, max_tokens: int | None = None
) -> list[float]:
    """1 for every problem that is solved greedily, else 0; what is sampled counts as learning, not as a test."""
    traces = attempts(lab, policy, task, problems, max_tokens=max_tokens, unit="sampled_tokens")
    return [right(trace) or 0.0 for trace in traces]


def rates(problems: Sequence[Problem], marks: Sequence[float], sort: Sort) -> dict[Hashable, float]:
    """The mean mark of the problems of every sort."""
    rows: dict[Hashable, list[float]] = {}
    for problem, mark in zip(problems, marks, strict=True):
        rows.setdefault(sort(problem), []).append(mark)
    return {one: sum(row) / len(row) for one, row in rows.items()}
