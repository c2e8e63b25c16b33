"""Twenty questions: a program keeps a thing of a table secret and answers yes or no."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from trivium.errors import UserError
from trivium.tasks.base import at_least, deal, new_problem
from trivium.tasks.world import FORMAT, TOKENS_PER_ACTION, Episode, World, written
from trivium.types import Problem, Split

NAMES = (
    "anchor", "basket", "bell", "bench", "blanket", "bottle", "bowl", "broom", "bucket", "candle", "carpet", "chain",
    "clock", "comb", "crate", "cup", "curtain", "drum", "fan", "flute", "fork", "frame", "globe", "hammer", "kettle",
    "ladder", "lamp", "mask", "mirror", "needle", "paddle", "pillow", "rope", "saddle", "scarf", "shovel", "spoon",
    "stool", "tray", "whistle",
)  # fmt: skip
ATTRIBUTES = (
    ("red", "blue", "green", "yellow"), ("small", "large"), ("metal", "wood", "glass", "paper"),
    ("kitchen", "garden", "office", "bedroom"), ("old", "new"),
)  # fmt: skip
VALUES = frozenset(value for values in ATTRIBUTES for value in values)
FILLERS = frozenset(("a", "an", "the", "it", "is", "in", "of", "made", "thing"))

Table = dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class TwentyQuestions(World):
    """Find the secret thing of a table by questions that are answered with yes or no.

    `things` (at most 40) differ in colour, size, material, place or age.  `ask red`, `ask red or blue` and `ask red and
    small` are questions; `guess NAME` ends the game.  `questions` counts them all, the guess included; tables that
    halving by single values cannot solve within it are not dealt.  A blind guess is right once in `things` games.
    Level: steps of that solver.
    """

    family: ClassVar[str] = "twenty-questions"
    things: int = 12
    questions: int = 8

    def __post_init__(self) -> None:
        at_least("twenty-questions", 3, things=self.things)
        if self.things > len(NAMES):
            raise UserError(f"task twenty-questions: things={self.things}; expected at most {len(NAMES)}")
        if 2 ** (self.questions - 1) < self.things:
            raise UserError(
                f"task twenty-questions: questions={self.questions} cannot tell {self.things} things apart; "
                f"expected {(self.things - 1).bit_length() + 1} or more"
            )

    @property
    def max_tokens(self) -> int:
        return self.questions * TOKENS_PER_ACTION

    def problems(self, split: Split, n: int, seed: int = 0) -> list[Problem]:
        return deal(self.name, split, n, seed, self._draw)

    def environment(self, problem: Problem) -> Episode:
        return Game(**problem.reference)

    def _draw(self, rng: random.Random) -> Problem | None:
        table = {name: [rng.choice(values) for values in ATTRIBUTES] for name in rng.sample(NAMES, self.things)}
        secret = rng.choice(list(table))
        actions = halve(table, secret)
        if actions is None or not 2 <= len(actions) <= self.questions:
            return None
        listed = "\n".join(f"{name}: {' '.join(values)}" for name, values in table.items())
        return new_problem(
            self.family,
            f"{listed}\n{secret}",
            f"One of these things is secret. Find out which: ask VALUE, ask VALUE or VALUE, ask VALUE and VALUE; then "
            f"guess NAME. You have {self.questions} questions, the one guess included.\n{listed}",
            system=FORMAT.format("ask red"),
            reference={"table": table, "secret": secret, "limit": self.questions},
            gold=written(actions),
            answer_format="actions",
            level=len(actions),
        )


class Game(Episode):
    """A game about a secret thing."""

    def __init__(self, table: Table, secret: str, limit: int) -> None:
        self._table, self._secret = table, secret
        super().__init__(limit)

    def begin(self) -> str:
        self._guess = ""
        return "I have thought of one of the things. Ask."

    def do(self, action: str) -> str | None:
        verb, *words = [word for word in action.split() if word not in FILLERS] or [""]
        if verb == "ask":
            said = holds(words, self._table[self._secret])
            return None if said is None else "Yes." if said else "No."
        if verb != "guess" or len(words) != 1 or words[0] not in self._table:
            return None
        self._guess = words[0]
        return f"{'Yes' if self._guess == self._secret else 'No'}, your guess is {self._guess}."

    def choices(self) -> str:
        return f"ask VALUE, where VALUE is one of {', '.join(sorted(VALUES))}, or guess NAME"

    def ended(self) -> bool:
        return bool(self._guess)

    def score(self) -> float:
        return float(self._guess == self._secret)


def holds(words: list[str], values: list[str]) -> bool | None:
    """Whether `red and small or blue` is true of a thing (`and` binds first); `None` if that is no question."""
    clauses = [clause.split(" and ") for clause in " ".join(words).split(" or ")]
    if not {value for clause in clauses for value in clause} <= VALUES:
        return None
    return any(all(value in values for value in clause) for clause in clauses)


def halve(table: Mapping[str, list[str]], secret: str) -> list[str] | None:
    """The questions and the guess of a player who asks for the value that comes nearest to halving what is left.

    `None` if two things are alike.
    """
    left, actions = dict(table), list[str]()
    while len(left) > 1:
        shares = {value: sum(value in values for values in left.values()) for value in sorted(VALUES)}
        value = min(shares, key=lambda v: abs(2 * shares[v] - len(left)))
        if shares[value] in (0, len(left)):
            return None
        actions.append(f"ask {value}")
        left = {k: v for k, v in left.items() if (value in v) == (value in table[secret])}
    return [*actions, f"guess {secret}"]
