"""Text navigation: rooms joined by doors, of which only those of the room one is in are seen."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import ClassVar

from trivium.errors import UserError
from trivium.tasks.base import at_least, deal, new_problem
from trivium.tasks.graph_search import Graph, breadth_first, route
from trivium.tasks.world import FORMAT, TOKENS_PER_ACTION, Episode, World, written
from trivium.types import Problem, Split

ROOMS = (
    "attic", "bakery", "cellar", "chapel", "courtyard", "dairy", "forge", "gallery", "garden", "granary", "hall",
    "kitchen", "library", "nursery", "office", "pantry", "porch", "stable", "study", "tower", "vault", "workshop",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TextGraph(World):
    """Find a room in a house by walking through it, seeing only the doors of one room at a time.

    A random tree of `rooms` rooms and `loops` doors more; start and goal are between `min_distance` and `distance`
    doors apart.  There are twice as many steps as rooms, which is enough to search the whole house.  Level: distance.
    """

    family: ClassVar[str] = "text-graph"
    rooms: int = 8
    loops: int = 2
    distance: int = 4
    min_distance: int = 2

    def __post_init__(self) -> None:
        at_least("text-graph", 2, min_distance=self.min_distance)
        at_least("text-graph", 0, loops=self.loops)
        if not self.distance < self.rooms <= len(ROOMS):
            raise UserError(
                f"task text-graph: rooms={self.rooms}; expected more than distance={self.distance}, "
                f"at most {len(ROOMS)}"
            )
        if self.min_distance > self.distance:
            raise UserError(f"task text-graph: min_distance={self.min_distance} is above distance={self.distance}")

    @property
    def max_tokens(self) -> int:
        return 2 * self.rooms * TOKENS_PER_ACTION

    def problems(self, split: Split, n: int, seed: int = 0) -> list[Problem]:
        return deal(self.name, split, n, seed, self._draw)

    def environment(self, problem: Problem) -> Episode:
        return Walk(**problem.reference)

    def _draw(self, rng: random.Random) -> Problem | None:
        graph = house(rng, self.rooms, self.loops)
        start = rng.choice(sorted(graph))
        parents, _ = breadth_first(graph, start)
        wanted = rng.randint(self.min_distance, self.distance)
        goals = [room for room in parents if len(route(parents, room)) - 1 == wanted]
        if not goals:
            return None
        goal = rng.choice(goals)
        doors = " ".join(f"{a}-{b}" for a in sorted(graph) for b in graph[a] if a < b)
        limit = 2 * self.rooms
        return new_problem(
            self.family,
            f"{doors} {start} {goal}",
            f"You are in a house. Find the {goal}. A move leads through a door into another room: go ROOM. "
            f"You have {limit} moves.",
            system=FORMAT.format("go ROOM"),
            reference={"graph": graph, "start": start, "goal": goal, "limit": limit},
            gold=written(f"go {room}" for room in route(parents, goal)[1:]),
            answer_format="actions",
            level=wanted,
        )


class Walk(Episode):
    """A walk through a house."""

    def __init__(self, graph: Graph, start: str, goal: str, limit: int) -> None:
        self._graph, self._start, self._goal = graph, start, goal
        super().__init__(limit)

    def begin(self) -> str:
        self._at = self._start
        return self._look()

    def do(self, action: str) -> str | None:
        verb, _, room = action.partition(" ")
        room = room.removeprefix("to ").removeprefix("the ")
        if verb != "go" or room not in self._graph[self._at]:
            return None
        self._at = room
        return self._look()

    def choices(self) -> str:
        return ", ".join(f"go {room}" for room in self._graph[self._at])

    def ended(self) -> bool:
        return self._at == self._goal

    def score(self) -> float:
        return float(self._at == self._goal)

    def _look(self) -> str:
        return f"You are in the {self._at}. Doors lead to: {', '.join(self._graph[self._at])}."


def house(rng: random.Random, rooms: int, loops: int) -> Graph:
    """A connected graph of named rooms: a random tree, and up to `loops` doors more."""
    names = rng.sample(ROOMS, rooms)
    doors = {frozenset((names[i], rng.choice(names[:i]))) for i in range(1, rooms)}
    closed = [frozenset((a, b)) for i, a in enumerate(names) for b in names[:i] if frozenset((a, b)) not in doors]
    doors |= set(rng.sample(closed, min(loops, len(closed))))
    return {a: sorted(b for b in names if frozenset((a, b)) in doors) for a in names}
