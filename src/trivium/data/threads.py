"""Attempts in several contexts, such as a parent and the children that it ordered: what each call read and said.

A policy is called with a context and says a piece; an attempt is the set of all its calls.  For learning every call is
a sequence of its own, and all calls of an attempt share what the attempt was worth.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from trivium.data.trees import path_to
from trivium.learn.batch import Rollout
from trivium.types import Trace


@dataclass(frozen=True, slots=True)
class Call:
    """The ids that the policy read and those it said; `own` where the context is the question's and not a child's."""

    read: tuple[int, ...]
    said: tuple[int, ...]
    logprobs: tuple[float, ...]
    own: bool


def calls(trace: Trace) -> list[Call]:
    """Every piece that the policy sampled in an attempt, in the order of the trace."""
    found = []
    for i, node in enumerate(trace.nodes):
        said = node.segment.ids
        if node.segment.source == "model" and said:
            path = path_to(trace, i)
            read = path.prompt + path.ids[: -len(said)]
            found.append(Call(read, said, node.segment.logprobs, path.prompt == trace.nodes[0].segment.ids))
    return found


def longest(made: Sequence[Call]) -> int:
    """The tokens of the longest context that any call filled."""
    return max((len(call.read) + len(call.said) for call in made), default=0)


def in_sequence(made: Sequence[Call]) -> int:
    """The sampled tokens that had to wait for one another, where children were ordered once: the parent's own, and
    those of the child that said most.
    """
    own = sum(len(call.said) for call in made if call.own)
    return own + max((len(call.said) for call in made if not call.own), default=0)


def fitting(scores: Sequence[float | None], made: Sequence[Sequence[Call]], cap: int) -> list[float | None]:
    """Scores of attempts if no context might have more than `cap` tokens: 0 for those that filled a longer one.

    Exact for a single line of thought.  Of parent and children it is a lower bound, since a child that is cut short
    need not be the one that finds something.
    """
    return [score and score * (longest(own) <= cap) for score, own in zip(scores, made, strict=True)]


def thread_rollouts(groups: Sequence[Sequence[tuple[Trace, float]]], *, eps: float = 1e-4) -> list[Rollout]:
    """Every call of every attempt as a rollout, for an objective that takes rewards for advantages as they are.

    Attempt i of a group is worth A_i = (R_i - mean R) / (sd R + eps), as in GRPO.  Each of its n_i calls gets
    A_i / n_i, so that many children do not weigh more than few; the factor of calls per attempt makes the mean over all
    calls the mean over attempts:

        1/N sum_i 1/n_i sum_{calls of i} A_i log pi.
    """
    worth = []
    for g, group in enumerate(groups):
        rewards = [reward for _, reward in group]
        mean, spread = sum(rewards) / max(1, len(rewards)), statistics.stdev(rewards) if len(rewards) > 1 else 0.0
        worth += [(calls(trace), (reward - mean) / (spread + eps), g, trace) for trace, reward in group]
    worth = [row for row in worth if row[0]]
    scale = sum(len(made) for made, *_ in worth) / max(1, len(worth))
    return [
        Rollout(
            call.read, call.said, call.logprobs, advantage / len(made) * scale, g,
            correct=trace.verdict is not None and trace.verdict.correct, truncated=False,
        )
        for made, advantage, g, trace in worth
        for call in made
    ]  # fmt: skip
