"""Rehearsals deal no test problem to anybody, and change the settings that they are told to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import pytest

from trivium.errors import UnknownName, UserError
from trivium.lab.bases import Lesson, blank
from trivium.lab.lab import Lab, Scored
from trivium.lab.measure import ids
from trivium.lab.recipe import Paper, Recipe
from trivium.lab.rehearsal import Rehearsal, changed, rehearse
from trivium.policies.local import LocalPolicy
from trivium.tasks import task

SUMS = "sums:terms=5,digits=1"


@dataclass(frozen=True)
class Size:
    lr: float = 1e-3
    steps: int = 10
    task: str = SUMS
    heats: tuple[float, ...] = (0.5, 1.0)
    told: bool = False
    lesson: Lesson = Lesson((SUMS,), "10k")


def arm(lab: Lab[Size]) -> Scored:
    """Asks for test problems itself, and has a lab apart ask for them too."""
    chosen_by = lab.problems(SUMS, "dev", 20)
    own, others = lab.problems(SUMS, "test", lab.size.steps), lab.apart().problems(SUMS, "test", lab.size.steps)
    assert own == others
    assert {p.split for p in own} == {"dev"}
    lab.note(repeated=len({p.key for p in own} & {p.key for p in chosen_by}))
    return Scored(ids(own), {"accuracy": [lab.size.lr] * len(own)})


RECIPE = Recipe("sums", Paper(1, ""), "Adds.", {"a": arm, "b": arm}, {"lab": Size()}, claims=[])


def test_arms_see_dev_problems_and_changed_settings() -> None:
    found = list(rehearse("tests", RECIPE, "lab", ["b", "a"], ["lr=5e-4", "steps=7"], seed=3))
    assert [(one.arm, one.seed) for one in found] == [("b", 3), ("a", 3)]
    assert all(len(one.questions) == 7 and math.isclose(one.mean("accuracy"), 5e-4) for one in found)
    tests = {p.question.id for p in task(SUMS).problems("test", 200, 3)}
    assert not tests & set(found[0].questions)
    assert found[0].notes["repeated"] < 7


def test_no_claim_is_decided_with_the_training_runs_that_settings_were_chosen_by() -> None:
    def taught_by(lab: Lab[Size]) -> Scored:
        return Scored(ids(lab.problems(SUMS, "train", 20)), {"accuracy": [1.0] * 20})

    recipe = Recipe("sums", Paper(1, ""), "Adds.", {"a": taught_by}, {"lab": Size()}, claims=[])
    [found] = rehearse("tests", recipe, "lab", ["a"], [], seed=0)
    assert set(found.questions) != {p.question.id for p in task(SUMS).problems("train", 20, 0)}


def test_what_is_no_test_problem_is_remembered_as_in_any_lab() -> None:
    lab: Rehearsal[Size] = Rehearsal("sums", "tests", Size(), "lab", 0)
    dealt = lab.problems(task(SUMS), "train", 5)
    assert lab.seen == {p.question.id for p in dealt}
    lab.problems(SUMS, "test", 5)
    assert len(lab.seen) == 5


def test_an_arm_that_is_none_is_named_before_anything_runs() -> None:
    with pytest.raises(UnknownName, match="arm of sums: 'c'"):
        list(rehearse("tests", RECIPE, "lab", ["a", "c"], [], 0))


def test_settings_change_by_type_and_path() -> None:
    size = changed(Size(), ["lr=2", "steps = 4", "task=chain", "heats=(0.7,)", "told=True", "lesson.steps=5"])
    assert size == Size(2.0, 4, "chain", (0.7,), True, Lesson((SUMS,), "10k", steps=5))
    assert isinstance(size.lr, float)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("lr", "expected NAME=VALUE"),
        ("lr=fast", "lr=fast: expected a value like 0.001"),
        ("steps=1.5", "steps=1.5: expected a value like 10"),
        ("told=1", "told=1: expected a value like False"),
        ("step=4", "Did you mean steps"),
        ("lesson=3", "set lesson.NAME=VALUE, where NAME is one of tasks, size"),
        ("lesson.step=3", "Did you mean steps"),
        ("lr.x=3", "lr has no settings of its own; set lr=VALUE"),
    ],
)
def test_a_change_that_cannot_be_made_says_what_can(change: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        changed(Size(), [change])
    assert said in str(caught.value)


def test_a_policy_made_with_one_seed_for_all_seeds_is_another_in_a_rehearsal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made: list[int] = []

    def make(inner: Lab[Size]) -> LocalPolicy:
        made.append(inner.seed)
        return blank(inner, "10k", [])

    for kind in (Lab, Rehearsal):
        kind("sums", "tests", Size(), "lab", 4).policy("base", make, seed=0)
    assert len(set(made)) == 2
    assert made[0] == 0
