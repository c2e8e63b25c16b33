"""Measuring on held-out questions: one number a question, in the questions' order."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Coroutine, Sequence
from typing import Any

from trivium.lab.lab import Lab, Scored
from trivium.policies.local import LocalPolicy
from trivium.search.driver import Judge, Method, run, together
from trivium.search.greedy import greedy
from trivium.search.lm import LM
from trivium.search.vote import majority
from trivium.stats import pass_at_k
from trivium.types import (
    Answer,
    Budget,
    Policy,
    Problem,
    Question,
    Request,
    Sampling,
    Segment,
    Task,
    Trace,
    Verdict,
)


def ids(problems: Sequence[Problem]) -> tuple[str, ...]:
    return tuple(p.question.id for p in problems)


def attempts(
    lab: Lab[Any],
    policy: Policy,
    task: Task,
    problems: Sequence[Problem],
    method: Method = greedy,
    *,
    max_tokens: int | None = None,
    budget: Budget | None = None,
    unit: str = "test_tokens",
) -> list[Trace]:
    """One attempt at every problem by a method; what it samples is counted under `unit`."""
    [traces] = attempts_each(
        lab, policy, [(task, problems, method)], max_tokens=max_tokens, budget=budget, unit=unit
    )  # fmt: skip
    return traces


def attempts_each(
    lab: Lab[Any],
    policy: Policy,
    asked: Sequence[tuple[Task, Sequence[Problem], Method]],
    *,
    max_tokens: int | None = None,
    budget: Budget | None = None,
    unit: str = "test_tokens",
) -> list[list[Trace]]:
    """`attempts` at several tasks, each by its own method, all at a time: few questions of each would leave a machine
    idle.
    """

    def one(task: Task, problems: Sequence[Problem], method: Method) -> Coroutine[Any, Any, list[Trace]]:
        sampling = Sampling(max_tokens=max_tokens or task.max_tokens)
        return run(method, problems, policy, task=task, seed=lab.seed, sampling=sampling, budget=budget)

    found = together(one(*job) for job in asked)
    lab.charge(unit, sum(trace.usage.sampled_tokens for traces in found for trace in traces))
    return found


def right(trace: Trace) -> float | None:
    """1 or 0, and `None` where the verifier failed; an attempt that broke is a wrong answer."""
    return 0.0 if trace.verdict is None else mark(trace.verdict)


def mark(verdict: Verdict) -> float | None:
    """1 or 0, and `None` where the verifier failed."""
    return None if verdict.status == "error" else float(verdict.correct)


def scored(problems: Sequence[Problem], traces: Sequence[Trace]) -> Scored:
    """Accuracy and sampled tokens of every attempt."""
    return Scored(
        ids(problems),
        {
            "accuracy": [right(trace) for trace in traces],
            "tokens": [float(trace.usage.sampled_tokens) for trace in traces],
        },
    )


def greedy_accuracy(
    lab: Lab[Any], policy: Policy, task: Task, problems: Sequence[Problem], *, max_tokens: int | None = None
) -> Scored:
    """Greedy answers to the problems: `accuracy`, and `tokens` an answer."""
    return scored(problems, attempts(lab, policy, task, problems, max_tokens=max_tokens))


def verdicts(
    lab: Lab[Any],
    policy: LocalPolicy,
    task: Task,
    problems: Sequence[Problem],
    *,
    n: int,
    temperature: float = 1.0,
    max_tokens: int | None = None,
    unit: str = "test_tokens",
) -> list[list[tuple[str, Verdict]]]:
    """`n` sampled responses to every problem, each with its verdict."""
    judge, sampling = Judge(task), Sampling(temperature=temperature, max_tokens=max_tokens or task.max_tokens)

    async def every() -> list[list[tuple[str, Verdict]]]:
        requests = [Request(p.question.messages, sampling, n, lab.seed * 1_000_003 + i) for i, p in enumerate(problems)]
        groups = await asyncio.gather(*(policy.sample(request) for request in requests))
        lab.charge(unit, sum(len(c.segment.ids) for group in groups for c in group))
        return [
            [(c.text, await judge(problem, c.text)) for c in group]
            for problem, group in zip(problems, groups, strict=True)
        ]

    return asyncio.run(every())


def pass_at(found: Sequence[Sequence[tuple[str, Verdict]]], k: int) -> list[float | None]:
    """Unbiased pass@k of every problem from its judged samples; `None` where fewer than k have a verdict."""
    out: list[float | None] = []
    for group in found:
        known = [verdict.correct for _, verdict in group if verdict.status != "error"]
        out.append(pass_at_k(len(known), sum(known), k) if len(known) >= k else None)
    return out


def vote_right(group: Sequence[tuple[str, Verdict]]) -> bool:
    """Whether the answer that most samples of a group gave is right; ties go to the first seen."""
    winner, _ = majority([verdict.answer for _, verdict in group])
    return any(verdict.correct and verdict.answer == winner for _, verdict in group)


def answer_entropy(group: Sequence[tuple[str, Verdict]]) -> float:
    """Shannon's entropy, in nats, of a group's answers; those without one count as the same."""
    shares = [count / len(group) for count in Counter(verdict.answer for _, verdict in group).values()]
    return math.fsum(-share * math.log(share) for share in shares)


def resumed(
    lab: Lab[Any], policy: Policy, task: Task, problems: Sequence[Problem], beginnings: Sequence[str]
) -> list[Trace]:
    """Greedy answers to the problems, each from a beginning that is put into the policy's mouth."""
    begun = {p.question.id: text for p, text in zip(problems, beginnings, strict=True)}

    async def resume(question: Question, lm: LM) -> Answer:
        told = lm.tell(lm.begin(question), begun[question.id])
        [chain] = await lm.extend(told, temperature=0.0, top_p=1.0, top_k=0)
        return chain.answering(lm.answer(chain))

    return attempts(lab, policy, task, problems, resume)


def likelihood(policy: LocalPolicy, problems: Sequence[Problem]) -> list[float | None]:
    """The mean log-probability of a token of each problem's written solution."""

    async def one(problem: Problem) -> float | None:
        said = Segment("model", policy.encode_response(str(problem.solution)))
        [logprobs] = await policy.score(Request(problem.question.messages, Sampling(), 1), [said])
        return sum(logprobs) / len(logprobs)

    async def every() -> list[float | None]:
        return [await one(problem) for problem in problems]

    return asyncio.run(every())
