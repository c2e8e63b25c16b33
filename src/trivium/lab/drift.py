"""How far learning has carried a policy from where it began."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from trivium.lab.lab import Lab
from trivium.policies.local import LocalPolicy
from trivium.search.driver import together
from trivium.types import Problem, Request, Sampling


class Drift(NamedTuple):
    """`kl`: nats a response between the policy and the start.  `entropy`: nats a token of the policy itself."""

    kl: float
    entropy: float


def drift(
    lab: Lab[Any], policy: LocalPolicy, start: LocalPolicy, problems: Sequence[Problem], *, max_tokens: int
) -> Drift:
    """KL(policy || start) and the policy's entropy, estimated from one response to every problem at temperature 1.

    A moving reference says nothing about this: the distance to it may stay small the whole way.
    """
    sampling = Sampling(max_tokens=max_tokens)

    async def one(i: int, problem: Problem) -> tuple[float, float, int]:
        request = Request(problem.question.messages, sampling, 1, lab.seed * 1_000_003 + i)
        [drawn] = await policy.sample(request)
        [before] = await start.score(request, [drawn.segment])
        lab.charge("test_tokens", len(drawn.segment.ids))
        return sum(drawn.segment.logprobs), sum(before), len(drawn.segment.ids)

    found = together(one(i, problem) for i, problem in enumerate(problems))
    now, before, tokens = (sum(column) for column in zip(*found, strict=True))
    return Drift((now - before) / len(found), -now / max(1, tokens))
