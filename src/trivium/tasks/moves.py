"""Planning in a small world told in two alphabets: the plan is the same in both, its working-out shares no symbol.

A state is three symbols of a ring of ten, digits or letters.  A move raises one of them by one (`A`, `B`, `C`: the
first, second, third) or turns the state round (`X`).  A problem is a state and another to be reached.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar, Literal

from trivium.errors import UserError
from trivium.tasks.base import Described, at_least, deal, guarded, judged, new_problem
from trivium.types import Problem, Split, Verdict

Alphabet = Literal["digits", "letters"]
Form = Literal["plan", "states"]
ALPHABETS: dict[Alphabet, str] = {"digits": "0123456789", "letters": "abcdefghij"}
MOVES = "ABCX"
LIMIT = 6
"""Moves that a response may make."""


@dataclass(frozen=True, slots=True)
class Moves(Described):
    """Reach a state of three symbols from another by raising symbols in a ring and turning the state round.

    In the form `plan` a response names its moves, one a line, and then says on one line which states they lead through;
    in the form `states` it is these states alone, one a line.  Goals are `near` to `far` moves away, and at most 6 may
    be made, whatever the way.  Level: the fewest moves.
    """

    family: ClassVar[str] = "moves"
    alphabet: Alphabet = "digits"
    form: Form = "plan"
    near: int = 1
    far: int = 4

    def __post_init__(self) -> None:
        at_least("moves", 1, near=self.near)
        if not self.near <= self.far <= LIMIT:
            raise UserError(f"task moves: near={self.near}, far={self.far}; expected near <= far <= {LIMIT}")

    @property
    def max_tokens(self) -> int:
        return LIMIT * 2 + LIMIT * 4

    def problems(self, split: Split, n: int, seed: int = 0) -> list[Problem]:
        return deal(replace(self, form="plan").name, split, n, seed, self._draw)  # the same in both forms

    def response(self, start: str, plan: Sequence[str]) -> str:
        """A plan carried out, in the task's form."""
        states = trail(start, plan)
        return "\n".join([*plan, " ".join(states)] if self.form == "plan" else states)

    def _draw(self, rng: random.Random) -> Problem | None:
        start = "".join(rng.choices(ALPHABETS[self.alphabet], k=3))
        wanted = rng.randint(self.near, self.far)
        goal = trail(start, rng.choices(MOVES, k=wanted))[-1]
        plan = shortest(start, goal)
        if len(plan) != wanted:
            return None
        solution = self.response(start, plan)
        return new_problem(
            self.family,
            f"{start} {goal}",
            f"{start}>{goal}",
            reference={"start": start, "goal": goal},
            gold=solution,
            answer_format="final",
            level=wanted,
            solution=solution,
        )

    @guarded
    def verify(self, problem: Problem, response: str) -> Verdict:
        start, goal = problem.reference["start"], problem.reference["goal"]
        lines = response.split("\n")
        if self.form == "plan":
            plan, states = lines[:-1], lines[-1].split(" ")
            legal = all(move in [*MOVES] for move in plan) and states == trail(start, plan)
        else:
            states = lines
            legal = all(b in {after(a, move) for move in MOVES} for a, b in zip([start, *states], states, strict=False))
        right = legal and 1 <= len(states) <= LIMIT and states[-1] == goal
        return judged(right, response.strip(), {"format": float(legal)})


@lru_cache(maxsize=len(ALPHABETS) * 10**3 * len(MOVES))
def after(state: str, move: str) -> str:
    """The state that a move leads to.  The alphabet is the state's own.

    Remembered, as finding the fewest moves for a test of thousands asks it millions of times of few states.
    """
    if move == "X":
        return state[::-1]
    at = MOVES.index(move)
    ring = next(symbols for symbols in ALPHABETS.values() if state[at] in symbols)
    return f"{state[:at]}{ring[(ring.index(state[at]) + 1) % len(ring)]}{state[at + 1 :]}"


def trail(start: str, plan: Sequence[str]) -> list[str]:
    """The states that a plan leads through, without the first."""
    states = [start]
    for move in plan:
        states.append(after(states[-1], move))
    return states[1:]


def shortest(start: str, goal: str) -> list[str]:
    """The fewest moves to a goal that can be reached; of equally short plans the first in the order of `MOVES`."""
    plans: dict[str, list[str]] = {start: []}
    for state in (queue := [start]):
        if goal in plans:
            break
        for move in MOVES:
            to = after(state, move)
            if to not in plans:
                plans[to] = [*plans[state], move]
                queue.append(to)
    return plans[goal]
