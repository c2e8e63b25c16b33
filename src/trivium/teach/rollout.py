"""Sample groups of answers with the policy being trained, judge them, pay them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from trivium.learn.batch import Rollout
from trivium.rewards.composite import Composite
from trivium.search.driver import Judge
from trivium.types import Completion, Policy, Problem, Request, Sampling, Trace, Usage


@dataclass(frozen=True)
class Rollouts:
    """What one step sampled.

    `traces[i]` answers `problems[i]`; `rewards[i]` is `None` where the verifier failed.  `groups` counts the groups by
    what they can teach: `mixed` outcomes, `all_correct`, `all_wrong`, or nothing as the verifier failed (`unjudged`).
    """

    problems: list[Problem]
    traces: list[Trace]
    rewards: list[float | None]
    rollouts: list[Rollout]
    groups: dict[str, int]
    metrics: dict[str, tuple[float, float]]
    seconds_generate: float
    seconds_verify: float

    def mean(self, name: str) -> float:
        """Mean of a (sum, count) metric over the step; 0 where nothing was counted."""
        total, count = self.metrics.get(name, (0.0, 0.0))
        return total / count if count else 0.0

    @property
    def sampled_tokens(self) -> int:
        return sum(t.usage.sampled_tokens for t in self.traces)


@dataclass(frozen=True)
class Sampler:
    """Samples groups: `samples` answers to each problem, judged by the task's verifier and paid by `reward`."""

    policy: Policy
    judge: Judge
    reward: Composite
    sampling: Sampling
    samples: int

    def sample(self, problems: Sequence[Problem], seed: int, first_group: int = 0) -> Rollouts:
        """One group for every problem.  `seed` fixes all samples; groups are numbered from `first_group`."""
        began = time.perf_counter()
        groups, sampled = asyncio.run(self._groups(problems, seed))
        ended = time.perf_counter()
        traces, rewards, rollouts = [], [], []
        kinds = {"mixed": 0, "all_correct": 0, "all_wrong": 0, "unjudged": 0}
        metrics: dict[str, tuple[float, float]] = {}
        for g, (group, completions) in enumerate(zip(groups, sampled, strict=True), first_group):
            paid = self.reward.pay(group)
            for name, (total, count) in paid.metrics.items():
                had = metrics.get(name, (0.0, 0.0))
                metrics[name] = (had[0] + total, had[1] + count)
            judged = [t.verdict.correct for t in group if t.verdict is not None and t.verdict.status != "error"]
            kinds[_kind(judged)] += 1
            traces += group
            rewards += paid.rewards
            rollouts += [
                _rollout(c, reward, g, trace)
                for c, reward, trace in zip(completions, paid.rewards, group, strict=True)
                if reward is not None
            ]
        repeated = [p for p in problems for _ in range(self.samples)]
        slept = sum(t.usage.seconds for t in traces)
        return Rollouts(
            repeated,
            traces,
            rewards,
            rollouts,
            kinds,
            metrics,
            ended - began - slept,
            slept + time.perf_counter() - ended,
        )

    async def _groups(self, problems: Sequence[Problem], seed: int) -> tuple[list[list[Trace]], list[list[Completion]]]:
        requests = [
            Request(p.question.messages, self.sampling, self.samples, (seed * 1_000_003 + i) % 2**63)
            for i, p in enumerate(problems)
        ]
        sampled = await asyncio.gather(*(self.policy.sample(r) for r in requests))
        groups = []
        for problem, completions in zip(problems, sampled, strict=True):
            groups.append([await self._trace(problem, c) for c in completions])
        return groups, list(sampled)

    async def _trace(self, problem: Problem, completion: Completion) -> Trace:
        """A path of two nodes with its verdict; `usage.seconds` is the verifier's time."""
        trace = Trace(problem.question.id)
        node = trace.add(trace.add(-1, completion.prompt), completion.segment)
        began = time.perf_counter()
        trace.verdict = await self.judge(problem, completion.text)
        seconds = time.perf_counter() - began
        trace.answer, trace.response, trace.answer_node = trace.verdict.answer, completion.text, node
        trace.finish, trace.usage = completion.finish, completion.usage + Usage(seconds=seconds)
        return trace


def _kind(judged: Sequence[bool]) -> str:
    if not judged:
        return "unjudged"
    return "all_correct" if all(judged) else "mixed" if any(judged) else "all_wrong"


def _rollout(completion: Completion, reward: float, group: int, trace: Trace) -> Rollout:
    segment = completion.segment
    return Rollout(
        completion.prompt.ids, segment.ids, segment.logprobs, reward, group,
        correct=trace.verdict is not None and trace.verdict.correct, truncated=completion.finish == "length",
    )  # fmt: skip
