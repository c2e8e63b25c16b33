"""Graph search: paths are judged by their edges, distances against all paths, and traces line by line."""

from __future__ import annotations

from itertools import permutations

import pytest

from trivium.tasks.base import new_problem
from trivium.tasks.graph_search import GraphSearch
from trivium.types import Problem

GRAPH = {"A": ["B", "C"], "B": ["D"], "C": ["B"], "D": ["A"]}


def problem(shortest: bool = False) -> Problem:
    reference = {"graph": GRAPH, "start": "A", "goal": "D", "shortest": shortest}
    return new_problem("graph-search", f"{shortest}", "?", reference=reference, gold="A B D", level=2)


def test_level_is_the_true_distance_and_the_prompt_lists_the_graph() -> None:
    task = GraphSearch(nodes=6, degree=2, distance=4)
    hand = task.problems("train", 25)
    for p in hand:
        graph = p.reference["graph"]
        edges = {(a, b) for a in graph for b in graph[a]}
        listed = p.question.messages[0].content.splitlines()[0].removeprefix("Edges: ").split()
        assert {tuple(edge.split(">")) for edge in listed} == edges
        start, goal = p.reference["start"], p.reference["goal"]
        inner = [node for node in graph if node not in (start, goal)]
        lengths = [
            k + 1 for k in range(len(inner) + 1) for middle in permutations(inner, k)
            if all(e in edges for e in zip((start, *middle), (*middle, goal), strict=True))
        ]  # fmt: skip
        assert p.level == min(lengths) >= 2
        assert p.solution is not None
        assert task.verify(p, p.solution).parts == {"format": 1.0, "edges": 1.0, "steps": 1.0}
    assert {p.level for p in hand} == {2, 3, 4}


@pytest.mark.parametrize(
    ("response", "status", "edges"),
    [
        ("A B D", "correct", 1.0),
        ("Answer: A -> C -> B -> D", "correct", 1.0),
        ("A: B C\nB: D\nA, B, D.", "correct", 1.0),
        ("A D", "wrong", 0.0),
        ("A C D", "wrong", 0.5),
        ("B D", "wrong", 1.0),
        ("A B", "wrong", 1.0),
        ("A B D A B D", "wrong", 1.0),
        ("A", "unparseable", 0.0),
        ("A X D", "unparseable", 0.0),
        ("I would go from A to D", "unparseable", 0.0),
    ],
)
def test_verdicts(response: str, status: str, edges: float) -> None:
    verdict = GraphSearch().verify(problem(), response)
    assert (verdict.status, verdict.parts["edges"]) == (status, edges)


def test_shortest_refuses_a_detour() -> None:
    assert GraphSearch(shortest=True).verify(problem(True), "A B D").correct
    assert GraphSearch(shortest=True).verify(problem(True), "A C B D").status == "wrong"


@pytest.mark.parametrize(
    ("response", "oks"),
    [
        ("A: B C\nB: D\nA B D", [True, True, None]),
        ("A: C, B\nC: B", [True, True]),
        ("B: D", [False]),  # not reached yet
        ("A: B", [False]),  # an edge is missing
        ("A: B C\nA: B C", [True, False]),
        ("A: B C D", [False]),
        ("Note: x", [None]),
    ],
)
def test_lines(response: str, oks: list[bool | None]) -> None:
    assert [step.ok for step in GraphSearch().lines(problem(), response)] == oks
