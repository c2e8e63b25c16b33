"""How well a method with a policy does on a task: accuracy with its interval, what it cost, and every trace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trivium.search.driver import Listen, Method, solve
from trivium.stats import Accuracy, wilson
from trivium.types import Budget, Policy, Sampling, Split, Task, Trace, Usage


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What `evaluate` measured.

    `accuracy.n` counts the questions with a verdict.  `errors` are the others: the attempt failed or the verifier
    broke, which says nothing about the answer.  `abstained` of the n gave no answer; they count as not correct.
    `usage` sums all attempts, failed ones too.
    """

    accuracy: Accuracy
    abstained: int
    errors: int
    usage: Usage
    traces: list[Trace]


def evaluate(
    method: Method,
    task: Task,
    policy: Policy,
    *,
    n: int = 300,
    split: Split = "test",
    seed: int = 0,
    voices: Mapping[str, Policy] = {},
    budget: Budget | None = None,
    sampling: Sampling | None = None,
    concurrency: int | None = None,
    listen: Listen | None = None,
) -> Evaluation:
    """Attempt `n` problems of a split once each; `seed` decides both the problems and the samples.

    Raises UserError when the task has too few problems, or when every single attempt is refused.
    """
    traces = solve(
        method, task.problems(split, n, seed), policy, task=task, voices=voices, budget=budget, seed=seed,
        sampling=sampling, concurrency=concurrency, listen=listen,
    )  # fmt: skip
    judged = [(t, t.verdict) for t in traces if t.verdict is not None and t.verdict.status != "error"]
    return Evaluation(
        accuracy=wilson(sum(verdict.correct for _, verdict in judged), len(judged)),
        abstained=sum(trace.answer is None for trace, _ in judged),
        errors=len(traces) - len(judged),
        usage=sum((trace.usage for trace in traces), Usage()),
        traces=traces,
    )
