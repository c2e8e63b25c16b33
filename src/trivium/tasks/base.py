"""What every task shares: splits decided by the key alone, deterministic dealing, and a small base class.

A generated task is a frozen dataclass whose fields are its options.  It draws candidate problems from a seeded
`random.Random`, and `deal` keeps those that are new and belong to the split asked for; so no problem is ever in two
splits, whatever the seeds, and asking for more problems extends the list without changing its beginning.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import random
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import Any, ClassVar, TypeVar

from trivium.errors import TooFewProblems, UserError
from trivium.registry import format_spec
from trivium.types import Message, Problem, Question, Split, Verdict
from trivium.verify import PARSERS

MAX_MISSES = 5_000
"""Draws in a row that bring nothing new before a space of problems counts as used up."""

CLOSED_FORMATS = ("truth", "choice")
"""Answer formats whose possible answers the prompt lists, the right one among them."""

Self = TypeVar("Self")


def stable_hash(*parts: object) -> int:
    """64 bits that depend on the parts' texts alone: equal in every process and on every machine."""
    return int.from_bytes(hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest(), "big")


def split_of(key: str) -> Split:
    """The split a problem key belongs to, for ever: 80% train, 10% dev, 10% test."""
    bucket = stable_hash("split", key) % 10
    return "train" if bucket < 8 else "dev" if bucket == 8 else "test"


def ask(user: str, system: str | None = None) -> tuple[Message, ...]:
    """A conversation of one user turn, with a system turn before it where there is one."""
    turn = Message("user", user)
    return (turn,) if system is None else (Message("system", system), turn)


def new_problem(
    source: str,
    key: str,
    user: str,
    *,
    reference: Any,
    gold: str,
    answer_format: str = "text",
    level: int = 0,
    solution: str | None = None,
    system: str | None = None,
) -> Problem:
    """A problem whose id and split follow from `source` (the task's family) and `key`."""
    question = Question(f"{source}-{stable_hash(source, key):016x}", ask(user, system), answer_format)
    return Problem(question, reference, gold, key, split_of(key), source, level, solution)


def deal(name: str, split: Split, n: int, seed: int, make: Callable[[random.Random], Problem | None]) -> list[Problem]:
    """`n` different problems of one split, drawn by `make` from a generator seeded by (name, split, seed).

    `make` may return `None` for a draw it rejects.  Raises `TooFewProblems` when `MAX_MISSES` draws in a row bring
    nothing new.
    """
    rng = random.Random(stable_hash(name, split, seed))
    found: dict[str, Problem] = {}
    misses = 0
    while len(found) < n:
        problem = make(rng)
        if problem is not None and problem.split == split and problem.key not in found:
            found[problem.key] = problem
            misses = 0
        elif (misses := misses + 1) >= MAX_MISSES:
            hint = "choose options that allow more (larger numbers, more terms or steps)"
            raise TooFewProblems(f"task {name}", split, len(found), n, hint)
    return list(found.values())


def leaks(answer: str, prompt: str) -> bool:
    """True if `answer` stands in `prompt` as a token of its own, so that copying it would pass for solving."""
    words = answer.strip()
    return bool(words) and re.search(rf"(?<![\w.]){re.escape(words)}(?!\w|\.\d)", prompt) is not None


def gold_answer(problem: Problem) -> str:
    """What the parser reads from the gold response; empty where every prompt lists all possible answers anyway."""
    answer_format = problem.question.answer_format
    return "" if answer_format in CLOSED_FORMATS else PARSERS[answer_format](problem.gold) or ""


def guarded(verify: Callable[[Self, Problem, str], Verdict]) -> Callable[[Self, Problem, str], Verdict]:
    """A `verify` that raises nothing: what goes wrong inside (a bug, a broken reference) becomes `Verdict.error`."""

    @functools.wraps(verify)
    def safe(self: Self, problem: Problem, response: str) -> Verdict:
        try:
            return verify(self, problem, response)
        except Exception as error:
            return Verdict.error(f"{type(error).__name__}: {error}")

    return safe


def judged(right: bool, answer: str, parts: Mapping[str, float], detail: str = "") -> Verdict:
    """`correct` or `wrong` for an answer that was read, with its partial scores."""
    return Verdict("correct" if right else "wrong", float(right), parts, answer, detail)


def options_of(task: Any) -> dict[str, Any]:
    """The dataclass fields of `task` that differ from their defaults, as a spec would spell them."""
    given = {f.name: getattr(task, f.name) for f in fields(task) if getattr(task, f.name) != f.default}
    return {k: str(v).lower() if isinstance(v, bool) or v is None else v for k, v in given.items()}


class Described:
    """Gives a frozen dataclass its `name` (the spec that builds it again) and `summary` (its docstring's first line).

    The subclass sets `family`, the name it is registered under.
    """

    __slots__ = ()
    family: ClassVar[str]

    @property
    def name(self) -> str:
        return format_spec(self.family, options_of(self))

    @property
    def summary(self) -> str:
        return (inspect.getdoc(type(self)) or "").partition("\n")[0]


def at_least(task: str, minimum: int, **options: int) -> None:
    """Raise `UserError` for an integer option below `minimum`."""
    for key, value in options.items():
        if value < minimum:
            raise UserError(f"task {task}: {key}={value} is too small; expected {minimum} or more")


def one_of(task: str, key: str, value: str, allowed: Iterable[str]) -> None:
    """Raise `UserError` if a character of the option `value` is not allowed, or if there is none."""
    known = list(allowed)
    if not value or set(value) - set(known):
        raise UserError(f"task {task}: {key}={value!r} is not understood; expected some of {' '.join(known)}")
