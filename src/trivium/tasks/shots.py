"""Few-shot prompting for any task: worked examples as turns of the conversation before every question.

Brown et al. 2020 (arXiv:2005.14165); with worked solutions, chain-of-thought prompting (Wei et al. 2022,
arXiv:2201.11903).  All questions begin alike, so the engine computes the examples once (`engine/prefix.py`).
"""

from __future__ import annotations

import functools
from dataclasses import replace

from trivium.errors import TooFewProblems, UserError
from trivium.registry import format_spec, parse_spec
from trivium.tasks import task
from trivium.tasks.base import at_least, gold_answer, leaks
from trivium.types import Interactive, Message, Problem, Question, Split, Task, Verdict

SPARE = 5
"""Examples at hand for each that is shown."""


class Shots:
    """Worked examples before every question of another task; `shots:4,of=sums,terms=3`.

    `shots` training problems of the task `of` (its options follow) are shown with their solutions, or with the plain
    answer where the task has no solutions.  They are no training problems of this task.  An example that would give a
    question's answer away is replaced by a spare one, for that question alone.
    """

    family = "shots"

    def __init__(self, shots: int, of: str, **options: str) -> None:
        at_least("shots", 1, shots=shots)
        inner: Task = task(format_spec(of, options) if ":" not in of else ",".join([of, *_items(options)]))
        if isinstance(inner, Shots):
            raise UserError(f"task shots: of={of!r} shows examples already; ask it for more of them")
        if isinstance(inner, Interactive):
            raise UserError(f"task shots: {inner.name} is acted in, not answered; it has no worked examples to show")
        self.shots, self.of = shots, inner

    @property
    def name(self) -> str:
        family, bare, options = parse_spec(self.of.name)
        return ",".join([f"{self.family}:{self.shots}", f"of={':'.join([family, *bare])}", *_items(options)])

    @property
    def summary(self) -> str:
        return f"{self.shots} worked examples before every question. {self.of.summary}"

    @property
    def max_tokens(self) -> int:
        return self.of.max_tokens

    def problems(self, split: Split, n: int, seed: int = 0) -> list[Problem]:
        if split != "train":
            return [self._shown(problem) for problem in self.of.problems(split, n, seed)]
        examples = {problem.key for problem in self._examples}
        try:
            dealt = self.of.problems(split, n + len(examples), seed)
        except TooFewProblems as few:
            raise TooFewProblems(self.name, split, few.available - len(examples), n) from few
        return [self._shown(problem) for problem in dealt if problem.key not in examples][:n]

    def verify(self, problem: Problem, response: str) -> Verdict:
        return self.of.verify(problem, response)

    @functools.cached_property
    def _examples(self) -> list[Problem]:
        """The examples, and spare ones where the task has so many."""
        try:
            return self.of.problems("train", SPARE * self.shots)
        except TooFewProblems:
            return self.of.problems("train", self.shots)

    def _shown(self, problem: Problem) -> Problem:
        answer = gold_answer(problem)
        harmless = [e for e in self._examples if not any(leaks(answer, m.content) for m in _turns(e))]
        chosen = harmless if len(harmless) >= self.shots else self._examples
        return replace(problem, question=_after(chosen[: self.shots], problem.question))


def _items(options: dict[str, str]) -> list[str]:
    return [f"{key}={value}" for key, value in options.items()]


def _turns(example: Problem) -> list[Message]:
    """An example as a conversation, without instructions."""
    said = [message for message in example.question.messages if message.role != "system"]
    return [*said, Message("assistant", example.solution or example.gold)]


def _after(examples: list[Problem], question: Question) -> Question:
    """The question behind its instructions and the examples."""
    told = [message for message in question.messages if message.role == "system"]
    asked = [message for message in question.messages if message.role != "system"]
    return replace(question, messages=(*told, *(turn for e in examples for turn in _turns(e)), *asked))
