"""Shuffled labels keep the questions and their answers' frequencies, and nothing else."""

from __future__ import annotations

from trivium.lab.null import ShuffledLabels
from trivium.tasks import task


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
