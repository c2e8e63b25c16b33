"""Steps that are one line each, after the same beginning: what each is worth, and pairs that are told how far apart."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import product

from trivium.data.pairs import shared_prefix
from trivium.data.process import Label, labels
from trivium.data.trees import Tree, path_to
from trivium.learn.preference import Preference


def searched_lines(trees: Sequence[Tree], newline: int, ends: Collection[int]) -> list[Label]:
    """The value that a search gave to every line it went through.

    Several lines are no step, nor is a line that was cut off, after neither a newline nor one of `ends`.
    """
    return [
        label
        for label in labels(trees, "value")
        if newline not in label.ids[label.start : -1] and (label.ids[-1] == newline or label.ids[-1] in ends)
        if label.start < len(label.ids)
    ]


def sampled_lines(trees: Sequence[Tree], newline: int) -> list[Label]:
    """Judged responses cut into lines: for each the share of right ones among all that begin with it.

    Equal responses count as often as they were sampled.
    """
    ends: dict[tuple[str, tuple[int, ...], int], list[bool]] = {}
    for tree in trees:
        for node, right in tree.correct.items():
            path = path_to(tree.trace, node)
            for start, end in _lines(path.ids, newline):
                first, last = len(path.prompt) + start, len(path.prompt) + end
                key = tree.trace.question_id, (path.prompt + path.ids)[:last], first
                ends.setdefault(key, []).append(right)
    return [
        Label(question, ids, start, sum(found) / len(found), len(found))
        for (question, ids, start), found in ends.items()
    ]


def advantage_pairs(
    steps: Sequence[Label], *, alpha: float, ends: Collection[int], scale: float = 1.0
) -> list[Preference]:
    """Every step that leads more to right than to wrong ends, against every sibling that does not.

    Of steps that end the response (their last id is one of `ends`) only the best is paired with the worst.  The margin
    is `alpha` (Q_w - Q_l), Q being 2 value - 1, times `scale` for a step that ends the response: Step-APO (Wang et al.
    2024, arXiv:2409.08642), with 0.3.  A step that is only the other one cut short shows no decision.
    """
    siblings: dict[tuple[str, tuple[int, ...]], list[Label]] = {}
    for step in steps:
        siblings.setdefault((step.question, step.ids[: step.start]), []).append(step)

    def worth(step: Label) -> float:
        return (2 * step.value - 1) * (scale if step.ids[-1] in ends else 1.0)

    made = []
    for (_, context), found in siblings.items():
        for better, worse in _opposed(found, ends):
            good, bad = better.ids[better.start :], worse.ids[worse.start :]
            shared = shared_prefix(good, bad)
            if shared < min(len(good), len(bad)):
                made.append(Preference(context, good, bad, shared, margin=alpha * (worth(better) - worth(worse))))
    return made


def _opposed(found: Sequence[Label], ends: Collection[int]) -> Iterator[tuple[Label, Label]]:
    """(better, worse) among siblings."""
    good, bad = [s for s in found if s.value > 0.5], [s for s in found if s.value < 0.5]
    for better, worse in product(good, bad):
        if better.ids[-1] not in ends or worse.ids[-1] not in ends:
            yield better, worse
    last = [[s for s in side if s.ids[-1] in ends] for side in (good, bad)]
    if all(last):
        yield max(last[0], key=lambda s: s.value), min(last[1], key=lambda s: s.value)


def _lines(ids: Sequence[int], newline: int) -> Iterator[tuple[int, int]]:
    """(start, end) of every line; a newline belongs to the line it ends."""
    start = 0
    for at, i in enumerate(ids):
        if i == newline or at == len(ids) - 1:
            yield start, at + 1
            start = at + 1
