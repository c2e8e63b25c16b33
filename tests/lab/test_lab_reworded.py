"""Other words change what is asked, and nothing else."""

from __future__ import annotations

from trivium.lab.reworded import Reworded
from trivium.tasks import task


def test_only_the_words_of_a_question_change() -> None:
    real = task("countdown:numbers=3")
    brief = Reworded(real, lambda p: f"{p.reference['target']}?")
    dealt, reworded = real.problems("dev", 20, 3), brief.problems("dev", 20, 3)
    assert [p.question.id for p in dealt] == [p.question.id for p in reworded]
    assert [(p.reference, p.split, p.key, p.gold) for p in dealt] == [
        (p.reference, p.split, p.key, p.gold) for p in reworded
    ]
    assert [p.question.messages[0].content for p in reworded] == [f"{p.reference['target']}?" for p in dealt]
    assert all(brief.verify(p, p.gold).correct and p.question.answer_format == "expression" for p in reworded)
    assert (brief.name, brief.summary, brief.max_tokens) == (real.name, real.summary, real.max_tokens)
