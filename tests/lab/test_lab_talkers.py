"""Talkers learn from questions with and without a discussion, and at last state how good they are."""

from __future__ import annotations

import random
from typing import Any

import pytest

from trivium.lab import talkers
from trivium.lab.lab import Lab
from trivium.lab.talkers import begin_talking, learn_talking, rates, solved, talked_over
from trivium.policies.local import LocalPolicy
from trivium.policies.scripted import Scripted
from trivium.policies.tiny import tiny
from trivium.tasks import task
from trivium.types import Problem

SUMS = task("sums:terms=3,digits=1")


def lab() -> Lab[Any]:
    return Lab("any", "trivium.recipes.any", None, "smoke", 0)


def test_marks_and_rates_are_those_of_each_sort() -> None:
    mine, problems = lab(), SUMS.problems("train", 20)
    adds = Scripted(lambda turn: str(sum(int(c) for c in turn.question if c.isdigit())))
    marks = solved(mine, adds, SUMS, problems)
    assert marks == [float("-" not in p.key) for p in problems]
    assert mine.spent["sampled_tokens"] > 0
    assert mine.spent["test_tokens"] == 0
    assert rates(problems, marks, lambda p: "-" in p.key) == {True: 0.0, False: 1.0}


def test_replies_state_first_that_they_are_unsure_and_then_how_often_they_are_right(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown: list[list[tuple[Problem, str]]] = []
    real = talkers.demonstrations

    def watched(policy: LocalPolicy, pairs: list[tuple[Problem, str]]) -> Any:
        shown.append(pairs)
        return real(policy, pairs)

    monkeypatch.setattr(talkers, "demonstrations", watched)
    monkeypatch.setattr(talkers, "solved", lambda lab, policy, task, problems, max_tokens: [1.0, 0.0, 1.0, 1.0])
    mine, problems, held_out = lab(), SUMS.problems("train", 40), SUMS.problems("train", 4, seed=1)
    learn_talking(
        mine, tiny("10k"), SUMS, problems, held_out, sort=lambda p: 0, steps=2, again=1, batch=4, lr=1e-3, max_tokens=8
    )
    assert mine.spent["optimiser_steps"] == 3
    first, second = shown
    assert all(text == f"0.5\n{p.solution}" for p, text in first)
    assert all(text == f"0.8\n{p.solution}" for p, text in second)
    talks = [" say " in p.question.messages[-1].content for p, _ in first]
    assert 10 <= sum(talks) <= 30
    assert all(p.question.messages[-1].content.endswith(p.key) for p, _ in first)
    assert [p.key for p, _ in first] == [p.key for p in problems]


def test_so_many_problems_are_talked_over_as_asked() -> None:
    problems = SUMS.problems("train", 20)
    assert talked_over(problems, random.Random(0), 0.0) == problems
    asked = [p.question.messages[-1].content for p in talked_over(problems, random.Random(0), 1.0)]
    assert all(" say " in text and text.endswith(p.key) for p, text in zip(problems, asked, strict=True))


def test_a_beginner_learns_replies_that_state_no_confidence(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[Problem, str]] = []
    real = talkers.demonstrations

    def watched(policy: LocalPolicy, pairs: list[tuple[Problem, str]]) -> Any:
        shown.extend(pairs)
        return real(policy, pairs)

    monkeypatch.setattr(talkers, "demonstrations", watched)
    mine = lab()
    begin_talking(mine, tiny("10k"), SUMS.problems("train", 40), steps=2, batch=4, lr=1e-3)
    assert mine.spent["optimiser_steps"] == 2
    assert all(text == f"0.5\n{p.solution}" for p, text in shown)
    assert 15 <= sum(" say " in p.question.messages[-1].content for p, _ in shown) <= 33
