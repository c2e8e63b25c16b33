"""Path finding in a directed graph, with a search trace that can be checked line by line."""

from __future__ import annotations

import random
import string
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from trivium.errors import UserError
from trivium.tasks.base import Described, at_least, deal, guarded, judged, new_problem
from trivium.tasks.steps import Step, judge_lines, step_share
from trivium.types import Problem, Split, Verdict
from trivium.verify.parse import path

Graph = dict[str, list[str]]
GRAPHS_TRIED = 20


@dataclass(frozen=True, slots=True)
class GraphSearch(Described):
    """Find a path from one node to another in a directed graph.

    `nodes` (at most 26) with `degree` edges out of each; start and goal are between `min_distance` and `distance` edges
    apart.  Any path without repeated nodes is right; `shortest` demands a shortest one.  Verdict parts: `format` (a
    path from start to goal), `edges` (share of its hops that are edges), `steps` from `lines`.  Level: distance.
    """

    family: ClassVar[str] = "graph-search"
    nodes: int = 10
    degree: int = 2
    distance: int = 4
    min_distance: int = 2
    shortest: bool = False

    def __post_init__(self) -> None:
        at_least("graph-search", 2, min_distance=self.min_distance)
        at_least("graph-search", 1, degree=self.degree)
        if not self.degree < self.nodes <= 26:
            raise UserError(
                f"task graph-search: nodes={self.nodes}; expected more than degree={self.degree}, at most 26"
            )
        if not self.min_distance <= self.distance < self.nodes:
            raise UserError(
                f"task graph-search: distance={self.distance}; expected at least min_distance={self.min_distance} "
                f"and below nodes={self.nodes}"
            )

    @property
    def max_tokens(self) -> int:
        return 32 + self.nodes * (2 * self.degree + 6)

    def problems(self, split: Split, n: int, seed: int = 0) -> list[Problem]:
        return deal(self.name, split, n, seed, self._draw)

    def _draw(self, rng: random.Random) -> Problem | None:
        names = string.ascii_uppercase[: self.nodes]
        wanted = rng.randint(self.min_distance, self.distance)
        for _ in range(GRAPHS_TRIED):  # far goals are rare: keep the distance, so that all levels are dealt evenly
            graph = {a: sorted(rng.sample([b for b in names if b != a], self.degree)) for a in names}
            start = rng.choice(names)
            parents, expanded = breadth_first(graph, start)
            goals = [node for node in parents if len(route(parents, node)) - 1 == wanted]
            if goals:
                break
        else:
            return None
        goal = rng.choice(goals)
        found = " ".join(route(parents, goal))
        searched = expanded[: next(i for i, a in enumerate(expanded) if goal in graph[a]) + 1]
        edges = " ".join(f"{a}>{b}" for a, after in graph.items() for b in after)
        kind = "Shortest path" if self.shortest else "Path"
        prompt = f"Edges: {edges}\n{kind} from {start} to {goal}?"
        return new_problem(
            self.family,
            prompt,
            prompt,
            reference={"graph": graph, "start": start, "goal": goal, "shortest": self.shortest},
            gold=found,
            answer_format="path",
            level=wanted,
            solution="\n".join([*(f"{a}: {' '.join(graph[a])}" for a in searched), found]),
        )

    @guarded
    def verify(self, problem: Problem, response: str) -> Verdict:
        graph: Graph = problem.reference["graph"]
        start, goal = problem.reference["start"], problem.reference["goal"]
        answer = path(response)
        steps = step_share(self.lines(problem, response), 1)
        nodes = answer.split() if answer else []
        if len(nodes) < 2 or not all(node in graph for node in nodes):
            return Verdict.unparseable("no path of this graph's nodes found", format=0.0, edges=0.0, steps=steps)
        hops = [b in graph[a] for a, b in pairwise(nodes)]
        ends = nodes[0] == start and nodes[-1] == goal
        parts = {"format": float(ends), "edges": sum(hops) / len(hops), "steps": steps}
        said = " ".join(nodes)
        if not ends:
            return judged(False, said, parts, f"does not lead from {start} to {goal}")
        if not all(hops) or len(set(nodes)) < len(nodes):
            return judged(False, said, parts, "takes an edge that is not there, or visits a node twice")
        best = len(route(breadth_first(graph, start)[0], goal))
        return judged(
            not problem.reference["shortest"] or len(nodes) == best, said, parts, f"shortest: {best - 1} edges"
        )

    def lines(self, problem: Problem, response: str) -> list[Step]:
        """Each line's verdict: `A: B C` is right if B and C are exactly the successors of A, and A is the start or has
        been reached by a right line before; a line without a colon claims nothing.
        """
        graph: Graph = problem.reference["graph"]
        reached, done = {problem.reference["start"]}, set[str]()

        def judge(line: str) -> bool | None:
            node, colon, after = line.partition(":")
            if not colon or node not in graph:
                return None
            ok = node in reached - done and sorted(after.replace(",", "")) == sorted(graph[node])
            if ok:
                done.add(node)
                reached.update(graph[node])
            return ok

        return judge_lines(response, judge)


def breadth_first(graph: Graph, start: str) -> tuple[dict[str, str], list[str]]:
    """The parent of every node reachable from `start` (its own parent is ""), and the order of expansion."""
    parents, order = {start: ""}, [start]
    for node in order:
        for after in graph[node]:
            if after not in parents:
                parents[after] = node
                order.append(after)
    return parents, order


def route(parents: dict[str, str], goal: str) -> list[str]:
    """The nodes on the way to `goal`, both ends included."""
    route = [goal]
    while parents[route[-1]]:
        route.append(parents[route[-1]])
    return route[::-1]
