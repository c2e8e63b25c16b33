"""A text grid world in the manner of BabyAI (Chevalier-Boisvert et al. 2019, arXiv:1810.08272).

Rooms stand in a row, with a door between each two.  The agent turns, walks, picks up what is in front of it and opens
doors; it sees the things and doors of the room it is in.  Unlike in BabyAI a room is seen whole, and the agent may
carry more than one thing, so that nothing ever has to be put down.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass
from typing import Any, ClassVar

from trivium.errors import UserError
from trivium.tasks.base import at_least, deal, new_problem
from trivium.tasks.world import FORMAT, TOKENS_PER_ACTION, Episode, World, written
from trivium.types import Problem, Split

COLOURS = ("blue", "green", "grey", "purple", "red", "yellow")
KINDS = ("ball", "box", "key")
STEPS = ((0, -1), (1, 0), (0, 1), (-1, 0))
"""North, east, south, west: turning right goes on in this order."""
COMMANDS = ("left", "right", "forward", "pick up", "open")

Cell = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Grid(World):
    """Go to, pick up or open something in a grid world of rooms, from what is seen of one room at a time.

    `rooms` in a row, `size` by `size` cells each, with `things` balls, boxes and keys.  With `locked`, every door needs
    the key of its colour, which lies somewhere before it.  `steps` is the step limit, 0 for three times what a plan of
    nearest ways takes.  Level: actions of that plan.
    """

    family: ClassVar[str] = "grid"
    rooms: int = 2
    size: int = 4
    things: int = 4
    locked: bool = False
    steps: int = 0

    def __post_init__(self) -> None:
        at_least("grid", 1, rooms=self.rooms, things=self.things)
        at_least("grid", 3, size=self.size)
        at_least("grid", 0, steps=self.steps)
        if self.rooms > len(COLOURS) or self.size > 9:
            raise UserError(f"task grid: rooms={self.rooms}, size={self.size}; expected at most {len(COLOURS)} and 9")
        most = self.rooms * self.size * self.size // 3
        if self.things > min(most, len(COLOURS)):
            raise UserError(f"task grid: things={self.things}; expected at most {min(most, len(COLOURS))}")

    @property
    def max_tokens(self) -> int:
        return (self.steps or 3 * self.rooms * 4 * self.size) * TOKENS_PER_ACTION

    def problems(self, split: Split, n: int, seed: int = 0) -> list[Problem]:
        return deal(self.name, split, n, seed, self._draw)

    def environment(self, problem: Problem) -> Episode:
        return Rooms(**problem.reference)

    def _draw(self, rng: random.Random) -> Problem | None:
        size, width = self.size, self.size + 1
        doors: list[list[Any]] = [
            [f"{colour} door", (i + 1) * width, rng.randint(1, size), self.locked]
            for i, colour in enumerate(rng.sample(COLOURS, self.rooms - 1))
        ]
        free = [(room * width + x + 1, y + 1) for room in range(self.rooms) for x in range(size) for y in range(size)]
        rng.shuffle(free)
        start = free.pop(_first(free, 0, width))
        things: dict[str, Cell] = {}
        if self.locked:
            for room, (name, *_) in enumerate(doors):
                things[name.replace("door", "key")] = free.pop(_first(free, room, width))
        loose = [f"{colour} {kind}" for colour in COLOURS for kind in KINDS if f"{colour} {kind}" not in things]
        for name in rng.sample(loose, self.things):
            things[name] = free.pop()
        kind = rng.choice(("go to", "pick up", "open") if doors else ("go to", "pick up"))
        target = rng.choice(doors)[0] if kind == "open" else rng.choice(sorted(things))
        world: dict[str, Any] = {
            "size": size, "start": [*start, rng.randrange(4)], "doors": doors,
            "things": [[name, *cell] for name, cell in things.items()], "mission": [kind, target],
        }  # fmt: skip
        plan = Rooms(**world, limit=10**6).plan()
        if plan is None or len(plan) < 2 or (self.steps and len(plan) > self.steps):
            return None
        limit = self.steps or 3 * len(plan)
        return new_problem(
            self.family,
            repr(world),
            f"{kind} the {target}. You can: {', '.join(COMMANDS)}. You have {limit} steps.",
            system=FORMAT.format("forward"),
            reference={**world, "limit": limit},
            gold=written(plan),
            answer_format="actions",
            level=len(plan),
        )


def _first(cells: list[Cell], room: int, width: int) -> int:
    """Where the first cell of one of the rooms up to `room` stands in `cells`."""
    return next(i for i, (x, _) in enumerate(cells) if x // width <= room)


class Rooms(Episode):
    """An episode in a row of rooms.

    `start` is x, y and heading (0 north, then clockwise), a door is name, x, y and whether it is locked, a thing name,
    x and y; y grows southwards and walls stand where x is a multiple of `size` + 1.
    """

    def __init__(
        self,
        size: int,
        start: list[int],
        doors: list[list[Any]],
        things: list[list[Any]],
        mission: list[str],
        limit: int,
    ) -> None:
        self._size, self._start = size, start
        self._kind, self._target = mission
        self._all_doors: dict[Cell, tuple[str, bool]] = {(x, y): (name, locked) for name, x, y, locked in doors}
        self._all_things: dict[Cell, str] = {(x, y): name for name, x, y in things}
        super().__init__(limit)

    def begin(self) -> str:
        self._x, self._y, self._heading = self._start
        self._things = dict(self._all_things)
        self._opened: set[Cell] = set()
        self._carried: list[str] = []
        return self._look()

    def do(self, action: str) -> str | None:
        ahead = self._ahead
        match action.removeprefix("turn ").removeprefix("go "):
            case "left":
                self._heading = (self._heading - 1) % 4
            case "right":
                self._heading = (self._heading + 1) % 4
            case "forward":
                if not self._free(ahead):
                    return f"There is {self._name(ahead)} in the way. {self._look()}"
                self._x, self._y = ahead
            case "pick up":
                if ahead not in self._things:
                    return f"There is nothing to pick up in front of you. {self._look()}"
                self._carried.append(self._things.pop(ahead))
            case "open":
                if ahead not in self._all_doors:
                    return f"There is no door in front of you. {self._look()}"
                name, locked = self._all_doors[ahead]
                if locked and name.replace("door", "key") not in self._carried:
                    return f"The {name} is locked. {self._look()}"
                self._opened.add(ahead)
            case _:
                return None
        return self._look()

    def choices(self) -> str:
        return ", ".join(COMMANDS)

    def ended(self) -> bool:
        if self._kind == "go to":
            return self._things.get(self._ahead) == self._target
        if self._kind == "pick up":
            return self._target in self._carried
        return any(self._all_doors[door][0] == self._target for door in self._opened)

    def score(self) -> float:
        return float(self.ended())

    def plan(self) -> list[str] | None:
        """Actions that fulfil the mission from the start, each part by the nearest way; `None` if a way is blocked.

        The episode has done them afterwards.
        """
        self.reset()
        actions: list[str] = []
        for cell, last in self._errands():
            way = self._way(cell)
            if way is None:
                return None
            for action in [*way, *last]:
                actions.append(action)
                if self.step(action)[1]:
                    return actions
        return None

    def _errands(self) -> list[tuple[Cell, list[str]]]:
        """What to face, and what to do there: the doors up to the target's room with their keys, then the target."""
        places = {name: cell for cell, name in self._all_things.items()}
        todo: list[tuple[Cell, list[str]]] = []
        goal = places.get(self._target)
        for cell, (name, locked) in sorted(self._all_doors.items()):
            if goal is not None and goal[0] < cell[0]:
                break
            if locked:
                todo.append((places[name.replace("door", "key")], ["pick up"]))
            todo.append((cell, ["open"]))
            if name == self._target:
                return todo
        return todo if goal is None else [*todo, (goal, ["pick up"] if self._kind == "pick up" else [])]

    def _way(self, goal: Cell) -> list[str] | None:
        """The fewest turns and steps until the agent faces a cell (breadth first)."""
        start = (self._x, self._y, self._heading)
        came: dict[tuple[int, int, int], tuple[tuple[int, int, int], str]] = {start: (start, "")}
        queue = deque([start])
        while queue:
            x, y, heading = here = queue.popleft()
            ahead = (x + STEPS[heading][0], y + STEPS[heading][1])
            if ahead == goal:
                way: list[str] = []
                while here != start:
                    here, action = came[here]
                    way.append(action)
                return way[::-1]
            after = [("left", (x, y, (heading - 1) % 4)), ("right", (x, y, (heading + 1) % 4))]
            if self._free(ahead):
                after.append(("forward", (*ahead, heading)))
            for action, state in after:
                if state not in came:
                    came[state] = (here, action)
                    queue.append(state)
        return None

    @property
    def _ahead(self) -> Cell:
        dx, dy = STEPS[self._heading]
        return self._x + dx, self._y + dy

    def _free(self, cell: Cell) -> bool:
        """Whether the agent can stand there."""
        return cell in self._opened if self._wall(cell) else cell not in self._things

    def _wall(self, cell: Cell) -> bool:
        """Whether a cell is part of a wall, doors included."""
        x, y = cell
        return x % (self._size + 1) == 0 or not 1 <= y <= self._size

    def _name(self, cell: Cell) -> str:
        if cell in self._all_doors:
            name, locked = self._all_doors[cell]
            return f"an open {name}" if cell in self._opened else f"a {'locked' if locked else 'closed'} {name}"
        return "a wall" if self._wall(cell) else f"a {self._things[cell]}" if cell in self._things else "nothing"

    def _look(self) -> str:
        seen = sorted(cell for cell in (*self._things, *self._all_doors) if self._sees(cell))
        listed = [f"{self._name(cell)} {self._where(cell)}" for cell in seen]
        carried = f" You carry: {', '.join(self._carried)}." if self._carried else ""
        return f"You see: {', '.join(listed) or 'nothing'}. In front of you: {self._name(self._ahead)}.{carried}"

    def _sees(self, cell: Cell) -> bool:
        """Whether a cell is in or on the edge of the agent's room; from a doorway both rooms are seen."""
        width = self._size + 1
        return self._x // width * width - (self._x % width == 0) * width <= cell[0] <= (self._x // width + 1) * width

    def _where(self, cell: Cell) -> str:
        """Where a cell is from the agent: `2 forward and 1 left`."""
        dx, dy = cell[0] - self._x, cell[1] - self._y
        fx, fy = STEPS[self._heading]
        forward, right = dx * fx + dy * fy, -dx * fy + dy * fx
        parts = [
            f"{abs(n)} {more if n > 0 else less}"
            for n, more, less in ((forward, "forward", "back"), (right, "right", "left"))
            if n
        ]
        return " and ".join(parts) or "here"
