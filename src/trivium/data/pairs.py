"""Preference pairs from judged rollouts."""

from __future__ import annotations

from collections.abc import Sequence

from trivium.learn.batch import Rollout
from trivium.learn.preference import Preference


def outcome_pairs(rollouts: Sequence[Rollout]) -> list[Preference]:
    """Within each group, the k-th correct answer against the k-th wrong one, in sampling order.

    Groups without both give nothing.  `start` is the first token at which the two differ, so that step-level losses
    credit only what follows the shared beginning.  Truncated answers are not used: they show no decision to prefer.
    """
    groups: dict[int, tuple[list[Rollout], list[Rollout]]] = {}
    for r in rollouts:
        if not r.truncated:
            groups.setdefault(r.group, ([], []))[0 if r.correct else 1].append(r)
    return [
        Preference(good.prompt, good.ids, bad.ids, start=shared_prefix(good.ids, bad.ids))
        for right, wrong in groups.values()
        for good, bad in zip(right, wrong, strict=False)
    ]


def shared_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    """How many leading ids two sequences share."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
