"""Perturbations change steps, by as much as they say, and never the answer."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from trivium.data.perturb import delete_steps, insert_steps, replace_names, shuffle_steps, steps_and_answer

NODES = "ABCDEFGHIJ"
TRACE = "A: B C\nB: D E\nC: F G\nD: H I\nE: J A\nF: B D\nA C F"
OTHERS = ["H: I J\nI: A B\nH I B", "J: G H\nJ H"]
STEPS, ANSWER = steps_and_answer(TRACE)

Change = Callable[[str, float, random.Random], str]
CHANGES: list[Change] = [
    lambda text, rate, rng: replace_names(text, NODES, rate, rng),
    shuffle_steps,
    delete_steps,
    lambda text, rate, rng: insert_steps(text, OTHERS, rate, rng),
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("rate", [0.0, 0.33, 0.67, 1.0])
def test_the_answer_stays_and_the_seed_decides(change: Change, rate: float) -> None:
    for seed in range(50):
        made = change(TRACE, rate, random.Random(seed))
        assert steps_and_answer(made)[1] == ANSWER
        assert made == change(TRACE, rate, random.Random(seed))
    assert change(TRACE, 0.0, random.Random(0)) == TRACE
    assert change("A C F", rate, random.Random(0)) == "A C F"


@pytest.mark.parametrize(
    ("fraction", "moved"), [(0.0, 0), (0.08, 0), (0.1, 2), (0.33, 2), (0.5, 3), (0.67, 4), (1.0, 6)]
)
def test_shuffling_moves_just_the_fraction_and_loses_nothing(fraction: float, moved: int) -> None:
    for seed in range(50):
        steps, _ = steps_and_answer(shuffle_steps(TRACE, fraction, random.Random(seed)))
        assert sorted(steps) == sorted(STEPS)
        assert sum(a != b for a, b in zip(steps, STEPS, strict=True)) == moved


def test_two_steps_change_places_and_one_stays() -> None:
    assert shuffle_steps("A: B C\nB: D E\nA B D", 0.5, random.Random(0)) == "B: D E\nA: B C\nA B D"
    assert shuffle_steps("A: B C\nA C", 1.0, random.Random(0)) == "A: B C\nA C"


@pytest.mark.parametrize(("fraction", "gone"), [(0.0, 0), (0.33, 2), (0.67, 4), (1.0, 6)])
def test_deleting_leaves_the_rest_in_order(fraction: float, gone: int) -> None:
    steps, _ = steps_and_answer(delete_steps(TRACE, fraction, random.Random(1)))
    assert len(steps) == len(STEPS) - gone
    assert steps == [step for step in STEPS if step in steps]


@pytest.mark.parametrize(("fraction", "foreign"), [(0.0, 0), (0.33, 2), (0.67, 4), (1.0, 6)])
def test_inserted_steps_come_from_others_and_keep_the_length(fraction: float, foreign: int) -> None:
    elsewhere = {step for other in OTHERS for step in steps_and_answer(other)[0]}
    steps, _ = steps_and_answer(insert_steps(TRACE, OTHERS, fraction, random.Random(2)))
    assert len(steps) == len(STEPS)
    assert sum(step in elsewhere for step in steps) == foreign
    assert all(step in elsewhere or step == was for step, was in zip(steps, STEPS, strict=True))
    assert insert_steps(TRACE, ["A C"], 1.0, random.Random(0)) == TRACE, "without foreign steps nothing can be inserted"


def test_names_are_replaced_at_the_rate_and_in_place() -> None:
    text = "\n".join(["A: B C"] * 3000 + ["A C"])
    for rate in (0.5, 1.0):
        made = replace_names(text, NODES, rate, random.Random(3))
        assert len(made) == len(text)
        letters = [(a, b) for a, b in zip(text, made, strict=True) if a.isalpha()]
        assert abs(sum(a != b for a, b in letters) / len(letters) - rate * 0.9) < 0.02
        assert all(a == b for a, b in zip(text, made, strict=True) if not a.isalpha())


def test_names_are_whole_words_and_characters_are_anywhere() -> None:
    assert replace_names("Alpha: B\nA", ["A"], 1.0, random.Random(0)) == "Alpha: B\nA"
    assert replace_names("B BB B\nA", ["B"], 1.0, random.Random(0)) == "B BB B\nA"
    assert replace_names("x yy\nyy", ["x", "yy"], 1.0, random.Random(1)).count("\n") == 1
    made = replace_names("A:BC\nA", "XY", 1.0, random.Random(0))
    assert made == "A:BC\nA", "only what is a name is replaced"
    assert set(replace_names("A:BC\nA", "ABC", 1.0, random.Random(5))) <= set("ABC:\n")
    made = replace_names("41+87=128\n128", "0123456789", 1.0, random.Random(4))
    assert made.endswith("\n128")
    assert [c.isdigit() for c in made] == [c.isdigit() for c in "41+87=128\n128"]


@pytest.mark.parametrize("change", CHANGES[1:])
def test_a_fraction_beyond_all_is_refused(change: Change) -> None:
    with pytest.raises(ValueError, match="expected a share"):
        change(TRACE, 1.1, random.Random(0))
