"""A grid world told in few words, with a guide: what somebody who sees no more would want next, and do about it."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from trivium.tasks.grid import COMMANDS, Cell, Grid, Rooms
from trivium.types import Problem

HEADINGS = ("north", "east", "south", "west")


@dataclass(frozen=True, slots=True)
class GuidedGrid(Grid):
    """Grid worlds in which what is seen is enough: every key lies in the room before its door.

    `least` is the fewest actions that a problem's plan has, `most` the largest number of them, 0 for any.
    """

    least: int = 2
    most: int = 0

    def environment(self, problem: Problem) -> GuidedRooms:
        return GuidedRooms(**problem.reference)

    def _draw(self, rng: random.Random) -> Problem | None:
        problem = Grid._draw(self, rng)
        if problem is None or problem.level < self.least or 0 < self.most < problem.level:
            return None
        rooms = {name: x // (self.size + 1) for name, x, _ in problem.reference["things"]}
        keys = {
            name.replace("door", "key"): x // (self.size + 1) - 1
            for name, x, _, locked in problem.reference["doors"]
            if locked
        }
        return problem if all(rooms[key] == room for key, room in keys.items()) else None


class GuidedRooms(Rooms):
    """An episode whose observations are as short as `east red key ff l green door locked fff rr have grey key`.

    Each thing or door in view is followed by where it is from the agent: `ff l` is two forward and one to the left, `b`
    one back.  An action that changes nothing changes nothing in what is seen.
    """

    def do(self, action: str) -> str | None:
        return None if Rooms.do(self, action) is None else self._look()

    def guide(self) -> tuple[str, str] | None:
        """What to want now, in words, and the next action for it; `None` where things block the way.

        It follows from what is seen.  Only which way to leave a room, after the agent was led past its target, does
        not.
        """
        places = {name: cell for cell, name in self._things.items()}
        doors = sorted(self._all_doors)
        goal = places.get(self._target)
        if goal is not None and self._sees(goal):
            return self._towards(f"{self._kind} the {self._target}", goal, "pick up")
        if goal is None:
            goal = next(cell for cell in doors if self._all_doors[cell][0] == self._target)
        if goal[0] > self._x:
            door = next(cell for cell in doors if cell[0] > self._x)
        else:
            door = next(cell for cell in reversed(doors) if cell[0] < self._x)
        name, locked = self._all_doors[door]
        if door in self._opened:
            return self._towards(f"go through the {name}", door, "forward")
        key = name.replace("door", "key")
        if locked and key not in self._carried:
            return self._towards(f"pick up the {key}", places[key], "pick up")
        return self._towards(f"open the {name}", door, "open")

    def facing(self) -> str:
        """What is in front of the agent, such as `a red key`, `an open red door` or `nothing`."""
        return self._name(self._ahead)

    def _towards(self, wish: str, cell: Cell, last: str) -> tuple[str, str] | None:
        """The next action on the nearest way to face a cell, or `last` in front of it."""
        way = self._way(cell)
        return None if way is None else (wish, way[0] if way else last)

    def _look(self) -> str:
        seen = sorted(cell for cell in (*self._things, *self._all_doors) if self._sees(cell))
        told = [f"{self._told(cell)} {self._where(cell)}" for cell in seen]
        carried = ["have", *self._carried] if self._carried else []
        return " ".join([HEADINGS[self._heading], *told, *carried])

    def _told(self, cell: Cell) -> str:
        if cell in self._things:
            return self._things[cell]
        name, locked = self._all_doors[cell]
        return f"{name} {'open' if cell in self._opened else 'locked' if locked else 'shut'}"

    def _where(self, cell: Cell) -> str:
        where = Rooms._where(self, cell)
        parts = [part.split() for part in where.split(" and ")]
        return where if where == "here" else " ".join(word[0] * int(n) for n, word in parts)


class Shown(NamedTuple):
    """A step of a demonstration: what was seen, what was wanted, and what was done."""

    seen: str
    wish: str
    action: str


def demonstration(episode: GuidedRooms, rng: random.Random, noise: float) -> list[Shown]:
    """An episode led by its guide, as far as it leads.

    Before each step one to five random moves come with probability `noise`; they are gone through and not shown, so
    that finding back is.
    """
    shown, seen = list[Shown](), episode.reset()
    while not episode.over and (guided := episode.guide()):
        if rng.random() < noise:
            for _ in range(rng.randint(1, 5)):
                seen = episode.step(rng.choice(COMMANDS))[0]
        else:
            shown.append(Shown(seen, *guided))
            seen = episode.step(guided[1])[0]
    return shown


def named(episode: GuidedRooms, steps: Iterable[tuple[str, str]]) -> list[bool]:
    """Of everything that (thought, action) steps picked up or opened: whether the thought had named it."""
    episode.reset()
    hits = []
    for thought, action in steps:
        before = episode.facing()
        episode.step(action)
        if episode.facing() != before and action in ("pick up", "open"):
            hits.append(" ".join(before.split()[-2:]) in thought)
    return hits
