"""Ways to answer: each is judged and counted, a race keeps the best, and retries go on until one is right."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from trivium.lab.bases import Lesson
from trivium.lab.lab import Lab
from trivium.lab.ways import (
    Tried,
    aside,
    best_way,
    elected,
    every_way,
    marked,
    named,
    raced,
    retried,
    skilled,
    success,
    tried,
    winner,
)
from trivium.policies.scripted import Scripted, Turn
from trivium.policies.tiny import tiny
from trivium.tasks.ways import Ways, said, why

TASK = Ways(named=0.0, big=0.0)
PROBLEMS = TASK.problems("dev", 40)
LATE = [p for p in PROBLEMS if not TASK.verify(p, said(p.key, "p")).correct]
EARLY = [p for p in PROBLEMS if p not in LATE]


def lab(seed: int = 0) -> Lab[Any]:
    return Lab("any", "trivium.recipes.any", None, "smoke", seed)


def speak(turn: Turn) -> str:
    """Goes the way that was begun without a mistake; never right at once; by itself it goes none."""
    way = turn.said.removesuffix(":")
    return "so" if not way else "x" if way == "d" else said(turn.question, way).removeprefix(turn.said)


POLICY: Any = Scripted(speak)


def test_what_is_set_aside_is_no_part_of_a_lesson_and_looks_like_a_test() -> None:
    task, here = Ways(steps=2, big=0.2), lab()
    dealt = aside(here, task, 600)
    assert here.seen == {p.question.id for p in dealt}
    lesson = Lesson((), "10k", examples=2000, steps=1, batch=1)
    skilled(here, task, lesson, ("w",))
    assert len(here.seen) == 2600
    kinds = [[why(p.key) for p in some] for some in (dealt, task.problems("test", 600))]
    late = [sum(kind in ("late", "name late") for kind in found) / len(found) for found in kinds]
    assert abs(late[0] - late[1]) < 0.1, "5% of what a lesson of 6,000 leaves over, 23% of a test"


def test_each_question_is_answered_in_its_way_judged_and_counted() -> None:
    here, asked = lab(), [EARLY[0], LATE[0], LATE[0], EARLY[0]]
    found = tried(here, POLICY, TASK, asked, ["p", "p", "w", ""])
    assert [one.way for one in found] == ["p", "p", "w", "so"]
    assert [one.right for one in found] == [True, False, True, False]
    assert [one.text for one in found[:3]] == [said(p.key, w) for p, w in zip(asked, ["p", "p", "w"], strict=False)]
    assert here.spent == {"sampled_tokens": sum(one.tokens for one in found)}
    assert found[2].tokens == len(said(LATE[0].key, "w")) - len("w:") + 1


def test_the_best_way_is_that_which_most_questions_are_answered_by() -> None:
    here = lab()
    assert best_way(here, POLICY, TASK, [*EARLY[:3], *LATE[:1]], ("d", "p", "w")) == "w"
    assert here.spent["labels"] == 4
    assert set(here.spent) == {"labels", "dev_tokens"}
    assert best_way(lab(), POLICY, TASK, EARLY[:3], ("d", "p", "w")) == "p", "the earlier of equals"
    rows = every_way(lab(), POLICY, TASK, [EARLY[0], LATE[0]], ("w", "p"), unit="some")
    assert [[one.right for one in row] for row in rows] == [[True, True], [True, False]]


def test_a_race_spends_its_samples_on_ways_that_work_and_short_ones_win() -> None:
    here = lab()
    found = raced(
        here, POLICY, TASK, [EARLY[0], LATE[0]], ("d", "rw", "w", "p"), samples=2, kept=(3, 2), temperature=1.0
    )
    assert [{way: len(tries) for way, tries in record.items()} for record in found] == [
        {"d": 2, "rw": 4, "w": 6, "p": 6},
        {"d": 4, "rw": 6, "w": 6, "p": 2},
    ]
    assert here.spent["labels"] == 2
    best = [winner(record) for record in found]
    assert [one.way for one in best if one] == ["p", "w"]


def test_a_race_that_tells_no_ways_apart_has_no_winner() -> None:
    [none] = raced(lab(), POLICY, TASK, LATE[:1], ("d", "p"), samples=1, kept=(1,), temperature=1.0)
    [every] = raced(lab(), POLICY, TASK, EARLY[:1], ("w", "p"), samples=1, kept=(1,), temperature=1.0)
    assert winner(none) is None
    assert winner(every) is None


def test_retries_go_on_until_one_is_right_and_are_counted() -> None:
    here, order = lab(), ("d", "p", "w")
    had = retried(
        here, POLICY, TASK, [EARLY[0], LATE[0]], lambda before: order[len(before)], most=3, temperature=1.0, seed=1
    )
    assert [[one.way for one in tries] for tries in had] == [["d", "p"], ["d", "p", "w"]]
    assert [tries[-1].right for tries in had] == [True, True]
    assert (here.spent["tries"], here.spent["labels"]) == (5, 2)
    [given_up] = retried(lab(), POLICY, TASK, LATE[:1], lambda before: "d", most=2, temperature=1.0, seed=1)
    assert [one.right for one in given_up] == [False, False]


def test_shuffled_verdicts_are_those_of_other_questions() -> None:
    asked = [*EARLY[:5], *LATE[:5]]
    had = retried(
        lab(), POLICY, TASK, asked, lambda before: "p", most=1, temperature=1.0, seed=1, shuffle=random.Random(3)
    )
    assert sum(tries[0].right for tries in had) == 5
    assert [tries[0].right for tries in had] != [True] * 5 + [False] * 5


def test_a_success_is_imitated_as_if_it_were_the_first_or_after_the_others() -> None:
    policy = tiny("30k")
    failed, right = Tried("d", "d:1", "1", False, 2), Tried("p", "p:2+3", "5", True, 4)
    alone = success(policy, EARLY[0], [failed, right], first=True)
    after = success(policy, EARLY[0], [failed, right], first=False)
    assert alone.prompt == after.prompt == policy.encode(EARLY[0].question.messages)
    assert alone.ids == policy.encode_response("p:2+3")
    assert alone.mask == (True,) * len(alone.ids)
    assert after.ids == (*policy.encode_text("d:1\n"), *alone.ids)
    assert after.mask == (*[False] * len("d:1\n"), *alone.mask)
    assert success(policy, EARLY[0], [right], first=False) == alone


def test_marks_and_votes() -> None:
    a, b, c = Tried("w", "", "5", True, 3), Tried("p", "", "6", False, 2), Tried("d", "", None, False, 1)
    one = marked(EARLY[:2], [a, b], before=[c, c])
    assert one.scores == {"accuracy": [1.0, 0.0], "tokens": [4.0, 3.0]}
    groups = [[c, b, a], [c, a, b], [b, b, a], [c, c, c]]
    assert elected(EARLY[:4], groups).scores["accuracy"] == [0.0, 1.0, 0.0, 0.0]
    judged = elected(EARLY[:4], groups, judged=True)
    assert judged.scores["accuracy"] == [1.0, 1.0, 1.0, 0.0]
    assert judged.scores["tokens"][0] == 6.0


def test_a_base_is_made_once_and_learns_to_name_ways(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    here, lesson = lab(), Lesson((), "30k", 16, 2, 8)
    policy, again = (skilled(here, TASK, lesson, ("w", "p")) for _ in range(2))
    assert (here.spent["pretrain_steps"], here.spent["optimiser_steps"]) == (2, 0)
    assert len(here.seen) == 16
    assert policy.model.state_dict().keys() == again.model.state_dict().keys()
    shown = [(p, "why not p") for p in TASK.problems("train", 8, 5)]
    chosen, told = named(here, policy, TASK, shown, PROBLEMS[:3], ("w", "p"), steps=1, batch=4, lr=1e-3)
    assert len(told) == 3
    assert set(chosen) <= {"w", "p"}
    # What random weights say is no text, and takes more tokens once it has been made one.
    assert 0 < here.spent["test_tokens"] <= sum(one.tokens for one in told)
