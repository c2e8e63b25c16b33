"""What the beginnings of a response are worth: Monte-Carlo process labels, and value targets of any search.

A step is a node that the model sampled; its value is that of everything up to its end.  Beginnings with equal ids are
one beginning, in whatever trace or branch they were sampled, and their observations are pooled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from trivium.data.trees import Tree, begins, path_to

By = Literal["outcome", "value", "score", "visits"]


@dataclass(frozen=True, slots=True)
class Label:
    """The expected outcome after `ids`, a prompt and what follows it up to the end of a step.

    The step begins at `start`; the label of a bare prompt has `start == len(ids)`.  `value` was seen in `count`
    observations.  With `by="outcome"` it is the soft estimate of a process label; the hard one is `value > 0`.
    """

    question: str
    ids: tuple[int, ...]
    start: int
    value: float
    count: int


def labels(trees: Sequence[Tree], by: By = "outcome") -> list[Label]:
    """A label for every prompt and step that has an estimate, in the order they were first sampled.

    outcome  share of correct ends among all judged ends below the node; count is their number.  Wang et al. 2023
             (Math-Shepherd), arXiv:2312.08935, equations 3 and 4
    value    what the search wrote as the node's value; count is its visits, at least 1.  A search that counts visits
             made steps only of what it visited: what it wrote on the ends of rollouts is no estimate of a step
    score    the same for the node's score
    visits   the node's share of the visits that it and its siblings had; count is its own
    """
    sums: dict[tuple[str, tuple[int, ...], int], tuple[float, int]] = {}
    for tree in trees:
        for node, (value, count) in _estimates(tree, by).items():
            at = tree.trace.nodes[node]
            if not (begins(at) or at.segment.source == "model"):
                continue
            path = path_to(tree.trace, node)
            ids = path.prompt + path.ids
            start = len(ids) if begins(at) else len(ids) - len(at.segment.ids)
            had = sums.get((tree.trace.question_id, ids, start), (0.0, 0))
            sums[tree.trace.question_id, ids, start] = (had[0] + value * count, had[1] + count)
    return [Label(question, ids, start, s / n, n) for (question, ids, start), (s, n) in sums.items()]


def _estimates(tree: Tree, by: By) -> dict[int, tuple[float, int]]:
    """(value, count) of every node that has one."""
    nodes = tree.trace.nodes
    if by == "outcome":
        return _shares(tree)
    if by == "visits":
        total: dict[int, int] = {}
        for node in nodes:
            total[node.parent] = total.get(node.parent, 0) + node.visits
        return {i: (n.visits / total[n.parent], n.visits) for i, n in enumerate(nodes) if n.visits}
    visited = [i for i, node in enumerate(nodes) if node.visits] or range(len(nodes))
    found = ((i, nodes[i].visits, nodes[i].value if by == "value" else nodes[i].score) for i in visited)
    return {i: (value, max(1, visits)) for i, visits, value in found if value is not None}


def _shares(tree: Tree) -> dict[int, tuple[float, int]]:
    """Share of correct ends at or below each node, and how many ends there are."""
    ends: dict[int, tuple[int, int]] = {}
    for end, right in tree.correct.items():
        node = end
        while True:
            had = ends.get(node, (0, 0))
            ends[node] = (had[0] + right, had[1] + 1)
            if begins(tree.trace.nodes[node]):
                break
            node = tree.trace.nodes[node].parent
    return {node: (right / n, n) for node, (right, n) in ends.items()}
