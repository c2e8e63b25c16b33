"""Worked examples before a question: which ones, where they stand, and what they may not give away."""

from __future__ import annotations

import pytest

from trivium.errors import UserError
from trivium.tasks import task
from trivium.tasks.base import gold_answer, leaks
from trivium.types import Problem

SPEC = "shots:4,of=sums,digits=1"


def examples(problem: Problem) -> tuple[tuple[str, str], ...]:
    """The (question, answer) pairs that stand before a problem's own question."""
    turns = [m for m in problem.question.messages if m.role != "system"]
    assert [m.role for m in turns] == ["user", "assistant"] * (len(turns) // 2) + ["user"]
    return tuple((a.content, b.content) for a, b in zip(turns[0:-1:2], turns[1:-1:2], strict=True))


def test_examples_are_solved_training_problems_in_turns() -> None:
    inner = task("sums:digits=1")
    solutions = {p.question.messages[-1].content: p.solution for p in inner.problems("train", 100)}
    for shown, plain in zip(task(SPEC).problems("test", 30), inner.problems("test", 30), strict=True):
        before = examples(shown)
        assert len(before) == 4
        assert all(solutions[question] == said for question, said in before)
        assert [m.role for m in shown.question.messages].count("system") == 1
        assert shown.question.messages[-1] == plain.question.messages[-1]
        assert (shown.key, shown.gold, shown.question.id) == (plain.key, plain.gold, plain.question.id)


def test_most_questions_begin_alike_and_none_is_given_its_answer() -> None:
    """One-digit sums have few answers, so examples do hold some of them."""
    hand = task(SPEC).problems("test", 60)
    for problem in hand:
        assert not any(leaks(gold_answer(problem), text) for pair in examples(problem) for text in pair)
    seen = [examples(problem) for problem in hand]
    assert 1 < len(set(seen)) < 20
    assert max(map(seen.count, seen)) > 20


def test_an_example_is_never_a_training_problem() -> None:
    shown = task("shots:4,of=countdown")
    questions = {text for p in shown.problems("test", 40) for text, _ in examples(p)}
    trained = shown.problems("train", 200)
    assert len({p.key for p in trained}) == 200
    assert not questions & {p.question.messages[-1].content for p in trained}


def test_tasks_without_solutions_show_answers() -> None:
    inner = task("gym:chain_sum")
    gold = {p.question.messages[-1].content: p.gold for p in inner.problems("train", 4)}
    assert dict(examples(task("shots:2,of=gym:chain_sum").problems("dev", 1)[0])).items() <= gold.items()


@pytest.mark.parametrize("spec", [SPEC, "shots:1,of=gym:chain_sum", "shots:2,of=gym:countdown,max_numbers=4"])
def test_a_name_builds_the_task_again(spec: str) -> None:
    assert task(spec).name == spec


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("shots:0,of=sums", "shots=0 is too small"),
        ("shots", "shots needs shots and of; write it as shots:shots=VALUE,of=VALUE"),
        ("shots:3", "shots needs of"),
        ("shots:3,of=summs", "Did you mean sums"),
        ("shots:3,of=sums,trems=4", "unknown option of task sums: 'trems'. Did you mean terms"),
        ("shots:3,of=grid", "it has no worked examples"),
        ("shots:3,of=shots", "shots needs"),
    ],
)
def test_what_cannot_be_is_one_message(spec: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        task(spec)
