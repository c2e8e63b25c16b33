"""Few-shot prompting for any task: worked examples as turns of the conversation before every question.

Brown et al. 2020 (arXiv:2005.14165); with worked solutions, chain-of-thought prompting (Wei et al. 2022,
arXiv:2201.11903).  All questions begin alike, so the engine computes the examples once (`engine/prefix.py`).
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import NamedTuple

from trivium.errors import TooFewProblems, UserError
from trivium.registry import format_spec, parse_spec
from trivium.tasks import task
from trivium.tasks.base import at_least, gold_answer, leaks
from trivium.types import Interactive, Message, Problem, Question, Split, Task, Verdict

SPARE = 5
"""Examples at hand for each that is shown."""


class Example(NamedTuple):
    """A solved problem: its key, and its question and solution as turns of a conversation, without instructions."""

    key: str
    turns: tuple[Message, ...]


class Shots:
    """Worked examples before every question of another task; `shots:4,of=sums,terms=3`.

    `shots` training problems of the task `of` (its options follow) are shown with their solutions, or with the plain
    answer where the task has no solutions.  They are no training problems of this task.  An example that would give a
    question's answer away is replaced by a spare one, for that question alone.
    """

    family = "shots"

    def __init__(self, shots: int, of: str, **options: str) -> None:
        at_least("shots", 1, shots=shots)
        family, bare, _ = parse_spec(of)
        inner: Task = task(format_spec(family, options, bare))
        if isinstance(inner, Shots):
            raise UserError(f"task shots: of={of!r} shows examples already; ask it for more of them")
        if isinstance(inner, Interactive):
            raise UserError(f"task shots: {inner.name} is acted in, not answered; it has no worked examples to show")
        self.shots, self.of = shots, inner

    @property
    def name(self) -> str:
        family, bare, options = parse_spec(self.of.name)
        return format_spec(self.family, {"of": format_spec(family, {}, bare), **options}, [self.shots])

    @property
    def summary(self) -> str:
        return f"{self.shots} worked examples before every question. {self.of.summary}"

    @property
    def max_tokens(self) -> int:
        return self.of.max_tokens

    def problems(self, split: Split, n: int, seed: int = 0) -> list[Problem]:
        if split != "train":
            return [self._shown(problem) for problem in self.of.problems(split, n, seed)]
        examples = {example.key for example in self._examples}
        try:
            dealt = self.of.problems(split, n + len(examples), seed)
        except TooFewProblems as few:
            raise TooFewProblems(self.name, split, few.available - len(examples), n) from few
        return [self._shown(problem) for problem in dealt if problem.key not in examples][:n]

    def verify(self, problem: Problem, response: str) -> Verdict:
        return self.of.verify(problem, response)

    @functools.cached_property
    def _examples(self) -> list[Example]:
        """The examples, and spare ones where the task has so many."""
        try:
            solved = self.of.problems("train", SPARE * self.shots)
        except TooFewProblems:
            solved = self.of.problems("train", self.shots)
        return [Example(p.key, (*_parted(p.question)[1], Message("assistant", p.solution or p.gold))) for p in solved]

    def _shown(self, problem: Problem) -> Problem:
        answer = gold_answer(problem)
        harmless = [e for e in self._examples if not any(leaks(answer, turn.content) for turn in e.turns)]
        chosen = harmless if len(harmless) >= self.shots else self._examples
        told, asked = _parted(problem.question)
        shown = [turn for example in chosen[: self.shots] for turn in example.turns]
        return replace(problem, question=replace(problem.question, messages=(*told, *shown, *asked)))


def _parted(question: Question) -> tuple[list[Message], list[Message]]:
    """The instructions of a question, and its other turns."""
    told = [message for message in question.messages if message.role == "system"]
    return told, [message for message in question.messages if message.role != "system"]
