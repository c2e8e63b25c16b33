"""Preference pairs of single steps: siblings in a search tree that are worth differently much."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar, Literal

from trivium.data.pairs import shared_prefix
from trivium.data.process import By, Label, labels
from trivium.data.trees import Tree
from trivium.errors import UserError
from trivium.learn.preference import Preference


@dataclass(frozen=True, kw_only=True)
class Process:
    """Better steps against worse ones after the same beginning, at most `k` pairs a question.

    `by` says where the values come from, see `trivium.data.process.labels`: `outcome` counts correct ends below a step,
    the others are what the search wrote.  `pick=extremes` takes the best and the worst step after each beginning (Xie
    et al. 2024, arXiv:2405.00451); `all` takes every two, each weighted by one over their number, so that bushy
    places do not outweigh others.  Values must differ by more than `gap`; of more than `k` pairs those with the widest
    gap stay.

    The pair's `context` is the beginning (prompt and shared prefix), the responses are the two steps, `start` is their
    first different token.  Its margin is `margin` times the gap: Step-APO (Wang et al. 2024, arXiv:2409.08642).
    `smooth` sets the chance that a pair is the wrong way round to N_worse / (N_better + N_worse), at most 1/2, as in
    arXiv:2405.00451; counts of equal size then teach nothing, so it is for searches whose visits mean something.
    """

    by: By = "outcome"
    pick: Literal["extremes", "all"] = "extremes"
    gap: float = 0.0
    margin: float = 0.0
    smooth: bool = False
    k: int = 8
    objective: ClassVar[str] = "step-dpo"

    def __post_init__(self) -> None:
        if self.k < 1 or self.gap < 0 or self.margin < 0:
            raise UserError(f"process: k={self.k}, gap={self.gap}, margin={self.margin}; expected k >= 1, others >= 0")

    def __call__(self, trees: Sequence[Tree], seed: int) -> list[Preference]:
        return self.pairs(labels(trees, self.by))

    def pairs(self, steps: Sequence[Label]) -> list[Preference]:
        """Pairs of steps with values that come from elsewhere than trees of steps."""
        siblings: dict[tuple[str, tuple[int, ...]], list[Label]] = {}
        for label in steps:
            if label.start < len(label.ids):
                siblings.setdefault((label.question, label.ids[: label.start]), []).append(label)
        found: dict[str, list[tuple[float, Preference]]] = {}
        for (question, context), alike in siblings.items():
            chosen = list(self._chosen(alike))
            found.setdefault(question, []).extend(
                (better.value - worse.value, self._preference(context, better, worse, 1 / len(chosen)))
                for better, worse in chosen
            )
        # Sorting is stable: among equal gaps the pair that was sampled first stays.
        best = (sorted(pairs, key=lambda pair: -pair[0])[: self.k] for pairs in found.values())
        return [pair for pairs in best for _, pair in pairs]

    def _chosen(self, steps: Sequence[Label]) -> Iterator[tuple[Label, Label]]:
        """(better, worse) steps; a step that is only the other one cut short shows no decision."""
        ordered = sorted(steps, key=lambda step: -step.value)
        couples = combinations(ordered, 2) if self.pick == "all" else [(ordered[0], ordered[-1])]
        for better, worse in couples:
            shortest = min(len(better.ids), len(worse.ids))
            if better.value - worse.value > self.gap and shared_prefix(better.ids, worse.ids) < shortest:
                yield better, worse

    def _preference(self, context: tuple[int, ...], better: Label, worse: Label, weight: float) -> Preference:
        good, bad = better.ids[better.start :], worse.ids[worse.start :]
        return Preference(
            context, good, bad, shared_prefix(good, bad), weight=weight,
            margin=self.margin * (better.value - worse.value),
            smoothing=min(0.5, worse.count / (better.count + worse.count)) if self.smooth else 0.0,
        )  # fmt: skip
