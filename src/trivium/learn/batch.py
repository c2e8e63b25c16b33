"""The records that learning consumes, and how a step of them is cut into micro-batches.

Token ids travel from the engine to the loss as they were sampled; nothing here knows text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trivium.learn.types import StepBatch


@dataclass(frozen=True, slots=True)
class Rollout:
    """One sampled completion and what it earned.  `group` is equal for rollouts of one prompt in one step."""

    prompt: tuple[int, ...]
    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    reward: float
    group: int
    correct: bool
    truncated: bool


def by_group(rollouts: Sequence[Rollout]) -> list[list[Rollout]]:
    """Rollouts of the same prompt together, in order."""
    groups: dict[int, list[Rollout]] = {}
    for rollout in rollouts:
        groups.setdefault(rollout.group, []).append(rollout)
    return list(groups.values())


@dataclass(frozen=True, slots=True)
class Demonstration:
    """One response to imitate: `ids` are the labels, `mask` says which of them are trained (all if `None`)."""

    prompt: tuple[int, ...]
    ids: tuple[int, ...]
    mask: tuple[bool, ...] | None = None


Row = tuple[tuple[int, ...], Sequence[int], Sequence[int]]
"""Prompt ids, the completion's input ids and its target ids."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Completions ready for one forward pass.

    `inputs` are (place in `prompts`, input ids) and `targets` the ids to predict, row by row; `index` are the units
    (see `microbatches`) these rows make up.
    """

    prompts: list[tuple[int, ...]]
    inputs: list[tuple[int, Sequence[int]]]
    targets: list[Sequence[int]]
    index: list[int]


def microbatches(rows: Sequence[Row], max_tokens: int, units: Iterable[int], unit: int = 1) -> Iterator[Rows]:
    """Cut rows into pieces of at most `max_tokens` tokens (always at least one unit).

    A unit is `unit` consecutive rows that must stay together, such as the two sides of a pair; `units` says which
    units to compute at all.  Units that begin with the same prompt stay together where they fit, since they share its
    computation.
    """
    groups: dict[tuple[int, ...], list[int]] = {}
    for u in units:
        groups.setdefault(rows[u * unit][0], []).append(u)
    piece = Rows([], [], [], [])
    place: dict[tuple[int, ...], int] = {}
    used = 0
    for members in groups.values():
        for u in members:
            mine = rows[u * unit : (u + 1) * unit]
            new = {prompt for prompt, _, _ in mine} - place.keys()
            cost = sum(len(inputs) for _, inputs, _ in mine) + sum(map(len, new))
            if piece.index and used + cost > max_tokens:
                yield piece
                piece, place, used = Rows([], [], [], []), {}, 0
                cost = sum(len(inputs) for _, inputs, _ in mine) + sum(len(p) for p in {p for p, _, _ in mine})
            for prompt, inputs, targets in mine:
                if prompt not in place:
                    place[prompt] = len(piece.prompts)
                    piece.prompts.append(prompt)
                piece.inputs.append((place[prompt], inputs))
                piece.targets.append(targets)
            piece.index.append(u)
            used += cost
    if piece.index:
        yield piece


def pad(rows: Sequence[Sequence[float]], width: int | None = None) -> Tensor:
    """Float[B,T] from ragged rows, 0 on the right."""
    width = max((len(r) for r in rows), default=0) if width is None else width
    out = torch.zeros(len(rows), width)
    for i, row in enumerate(rows):
        out[i, : len(row)] = torch.tensor(row)
    return out


def step_batch(rollouts: Sequence[Rollout], ref_logp: Tensor | None = None) -> StepBatch:
    """All rollouts of a step in the form that advantages and filters read."""
    lengths = torch.tensor([len(r.ids) for r in rollouts])
    return StepBatch(
        reward=torch.tensor([r.reward for r in rollouts], dtype=torch.float32),
        group=torch.tensor([r.group for r in rollouts]),
        mask=torch.arange(int(lengths.max())) < lengths[:, None],
        truncated=torch.tensor([r.truncated for r in rollouts]),
        correct=torch.tensor([r.correct for r in rollouts]),
        old_logp=pad([r.logprobs for r in rollouts]),
        ref_logp=ref_logp,
    )
