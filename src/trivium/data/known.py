"""What is known of a question whose answers are programs: right ones, promising beginnings, and states on the way.

A state is whatever running a program gives after each line.  Ni et al. 2022, arXiv:2205.14318.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

Program = tuple[str, ...]
Run = Callable[[Sequence[str]], tuple[Sequence[Hashable], bool]]
"""The state after each line that could be carried out, up to one that gives the right answer; whether one does."""


@dataclass
class Known:
    """`right` are programs, the first of them the reference; `begun` are beginnings, the first of them empty."""

    run: Run
    right: list[Program] = field(default_factory=list)
    begun: list[Program] = field(default_factory=lambda: [()])
    states: set[Hashable] = field(default_factory=set)

    def __post_init__(self) -> None:
        for program in (*self.right, *self.begun):
            self.states.update(self.run(program)[0])

    def judge(self, program: Program) -> tuple[int, bool]:
        """How many of its lines are worth keeping, and whether they are a right program.

        Right ones must not be longer than the shortest known, else lines that do nothing would gather.  Of others, as
        much as leads to a state that a known program passes through.
        """
        states, right = self.run(program)
        if right and len(states) <= min(map(len, self.right), default=len(states)):
            return len(states), True
        return max((n for n, state in enumerate(states, 1) if state in self.states), default=0), False

    def keep(self, program: Program, right: bool) -> bool:
        """Take in a right program, or a beginning in place of those that it goes on from; whether it is new."""
        if right:
            if program in self.right:
                return False
            self.right.append(program)
        else:
            if any(other[: len(program)] == program for other in self.begun):
                return False
            self.begun = [other for other in self.begun if not other or program[: len(other)] != other] + [program]
        self.states.update(self.run(program)[0])
        return True
