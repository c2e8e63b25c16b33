"""Whether what was learned tells a wrong line from the right one in its place, on problems it has not seen."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from trivium.data.errors import diagnose, inject_any, step_judge
from trivium.data.repair import step_pair
from trivium.lab.lab import Lab
from trivium.lab.measure import verdicts
from trivium.learn.batch import Rollout
from trivium.learn.critic import Critic
from trivium.learn.preference import Preference
from trivium.models.decoder import Decoder
from trivium.models.logprob import completion_logprobs
from trivium.policies.local import LocalPolicy
from trivium.types import Problem, Task

PIECE = 64
"""Pairs scored at a time, which bounds the memory that logits take."""


def mistakes(lab: Lab[Any], policy: LocalPolicy, task: Task, problems: Sequence[Problem]) -> list[Preference]:
    """For each problem a right and a wrong line after the same right beginning.

    The wrong one is the first that the policy itself wrote in a sample at temperature 1; where that has none, a result
    in the written solution is put off by a little.
    """
    lines, rng = step_judge(task), random.Random(lab.seed)
    said = verdicts(lab, policy, task, problems, n=1)
    return [
        step_pair(policy, problem, diagnose(lines, problem, text) or inject_any(lines, problem, {"slip": 1.0}, rng))
        for problem, [(text, _)] in zip(problems, said, strict=True)
    ]


def told_by_values(critic: Critic, pairs: Sequence[Preference]) -> list[float]:
    """1 where the state after the right line is worth more than that after the wrong one, 0 where less; ties 1/2.

    Both are taken before the token that ends the line, as the last token of all leads to a state nobody learned.
    """
    right, wrong = (
        torch.stack([row[len(ids) - 1] for row, ids in zip(critic.values(_read(pairs, said)), said, strict=True)])
        for said in ([p.chosen for p in pairs], [p.rejected for p in pairs])
    )
    return _higher(right, wrong)


def told_by_ratio(model: Decoder, reference: Decoder, pairs: Sequence[Preference]) -> list[float]:
    """The same by log pi/ref summed over the line, which is the advantage that a preference loss teaches implicitly."""
    right, wrong = (
        _sums(model, pairs, said) - _sums(reference, pairs, said)
        for said in ([p.chosen for p in pairs], [p.rejected for p in pairs])
    )
    return _higher(right, wrong)


def _read(pairs: Sequence[Preference], said: Sequence[tuple[int, ...]]) -> list[Rollout]:
    lines = zip(pairs, said, strict=True)
    return [Rollout(pair.context, ids, (), 0.0, i, False, False) for i, (pair, ids) in enumerate(lines)]


@torch.no_grad()
def _sums(model: Decoder, pairs: Sequence[Preference], said: Sequence[tuple[int, ...]]) -> Tensor:
    """Float[P]: the log-prob of what was said in each context, some pairs at a time."""
    pieces = (slice(at, at + PIECE) for at in range(0, len(pairs), PIECE))
    read = (([p.context for p in pairs[piece]], list(enumerate(said[piece]))) for piece in pieces)
    return torch.cat([completion_logprobs(model, contexts, lines)[0].sum(1) for contexts, lines in read])


def _higher(a: Tensor, b: Tensor) -> list[float]:
    scores: list[float] = ((a > b).float() + 0.5 * (a == b).float()).tolist()
    return scores
