"""Judged attempts at training prompts until so many tokens are spent: what arms learn from at equal sampled tokens."""

from __future__ import annotations

from typing import Any

from trivium.data.pool import Pool
from trivium.data.trees import Tree, grow
from trivium.lab.lab import Lab
from trivium.lab.measure import attempts
from trivium.policies.local import LocalPolicy
from trivium.search.driver import Judge, Method
from trivium.types import Budget, Task


def forest(
    lab: Lab[Any], policy: LocalPolicy, task: Task, method: Method, *, tokens: int, most: int, seed: int
) -> list[Tree]:
    """Trees of a method that goes on until its budget is spent, `most` sampled tokens for each prompt.

    What a search spends on a prompt depends on the tree, so prompts are dealt until all `tokens` are spent.  They come
    from the task's training pool of `seed`, and count as seen.
    """
    pool, judge, trees, dealt, left = Pool(task, seed), Judge(task), list[Tree](), 0, tokens
    while left > 0:
        problems = pool.take(dealt, max(1, left // most))
        lab.seen.update(p.question.id for p in problems)
        budget = Budget(sampled_tokens=min(left, most))
        traces = attempts(lab, policy, task, problems, method, budget=budget, unit="sampled_tokens")
        trees += grow(judge, policy, problems, traces)
        left -= max(1, sum(trace.usage.sampled_tokens for trace in traces))
        dealt += len(problems)
    return trees
