"""Preference pairs of whole responses: a correct one against a wrong one to the same prompt."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from trivium.data.trees import Path, Tree, responses
from trivium.errors import UserError
from trivium.learn.batch import Rollout
from trivium.learn.preference import Preference
from trivium.types import Trace

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Correct responses against wrong ones, the k-th against the k-th, at most `k` pairs a question.

    In the order of sampling, duplicates left out.  `start` is the first token at which the two differ.  Pang et al.
    2024, arXiv:2404.19733, pair at random; a question without both gives nothing.
    """

    k: int = 4
    objective: ClassVar[str] = "dpo"

    def __post_init__(self) -> None:
        if self.k < 1:
            raise UserError(f"pairs: k={self.k}; expected at least 1 pair a question")

    def __call__(self, trees: Sequence[Tree], seed: int) -> list[Preference]:
        made: list[Preference] = []
        for judged in responses(trees).values():
            facing = _facing((path.prompt, right, path) for path, right in judged)
            made += [_preference(good, bad) for good, bad in facing[: self.k]]
        return made


def _preference(good: Path, bad: Path) -> Preference:
    masks = [() if all(path.mask) else path.mask for path in (good, bad)]
    return Preference(
        good.prompt, good.ids, bad.ids, shared_prefix(good.ids, bad.ids), chosen_mask=masks[0], rejected_mask=masks[1]
    )


def outcome_pairs(rollouts: Sequence[Rollout]) -> list[Preference]:
    """Within each group, the k-th correct answer against the k-th wrong one, in sampling order.

    Groups without both give nothing.  `start` is the first token at which the two differ, so that step-level losses
    credit only what follows the shared beginning.  Truncated answers are not used: they show no decision to prefer.
    """
    facing = _facing((r.group, r.correct, r) for r in rollouts if not r.truncated)
    return [Preference(good.prompt, good.ids, bad.ids, shared_prefix(good.ids, bad.ids)) for good, bad in facing]


def shorter_pairs(quick: Sequence[Trace], slow: Sequence[Trace]) -> list[Preference]:
    """Of attempts at the same questions, the shorter of two right answers against the longer one.

    Questions that either got wrong, or answered in as many tokens, give nothing; so do attempts of more than one call.
    """
    made = []
    for pair in zip(quick, slow, strict=True):
        if all(len(t.nodes) == 2 and t.verdict is not None and t.verdict.correct for t in pair):
            (prompt, a), (_, b) = ([node.segment.ids for node in trace.nodes] for trace in pair)
            if len(a) != len(b):
                good, bad = sorted((a, b), key=len)
                made.append(Preference(prompt, good, bad, shared_prefix(good, bad)))
    return made


def _facing(judged: Iterable[tuple[Hashable, bool, T]]) -> list[tuple[T, T]]:
    """Of (group, right, response): within each group, the k-th right response and the k-th wrong one."""
    groups: dict[Hashable, tuple[list[T], list[T]]] = {}
    for group, right, response in judged:
        groups.setdefault(group, ([], []))[0 if right else 1].append(response)
    return [pair for right, wrong in groups.values() for pair in zip(right, wrong, strict=False)]


def shared_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    """How many leading ids two sequences share."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
