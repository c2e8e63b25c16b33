"""Shuffled labels keep the questions and their answers' frequencies, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from trivium.lab.null import ShuffledLabels
from trivium.lab.wrapped import Wrapped
from trivium.tasks import task
from trivium.types import Problem, Split


@dataclass(frozen=True)
class Numbered(Wrapped):
    """A task in which the answer to every question is its place, and so no two are equal."""

    def problems(self, split: Split, n: int, seed: int = 0) -> list[Problem]:
        return [replace(p, reference={"answer": i}) for i, p in enumerate(self.task.problems(split, n, seed))]


def test_questions_stay_and_answers_change_hands() -> None:
    real = task("sums")
    null = ShuffledLabels(real, 0)
    dealt, shuffled = real.problems("train", 50), null.problems("train", 50)
    assert [p.question for p in dealt] == [p.question for p in shuffled]
    answers = [p.reference["answer"] for p in dealt], [p.reference["answer"] for p in shuffled]
    assert sorted(answers[0]) == sorted(answers[1])
    assert answers[0] != answers[1]
    assert sum(null.verify(p, p.gold).correct for p in shuffled) == 50
    assert sum(null.verify(p, q.gold).correct for p, q in zip(shuffled, dealt, strict=True)) < 10
    assert null.problems("train", 50) == shuffled


@pytest.mark.parametrize("n", [2, 3, 10])
def test_no_question_keeps_its_own_answer(n: int) -> None:
    for seed in range(30):
        given = [p.reference["answer"] for p in ShuffledLabels(Numbered(task("sums")), seed).problems("train", n, seed)]
        assert sorted(given) == list(range(n))
        assert all(answer != i for i, answer in enumerate(given))


def test_each_task_is_shuffled_in_its_own_way() -> None:
    tasks = [Numbered(task(spec)) for spec in ("sums", "sums:terms=5")]
    first, second = ([p.reference["answer"] for p in ShuffledLabels(t, 0).problems("train", 20)] for t in tasks)
    assert first != second
