"""Countdown as programs: what runs, what is right, and that other orders of a right program stay right."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from trivium.tasks.countdown import Countdown
from trivium.tasks.straight_line import StraightLine, commuted, execute, plain

TASK = StraightLine(numbers=4, largest=12, ops="+-*")
[ONE] = TASK.problems("train", 1)
PROBLEM = replace(ONE, reference={"numbers": [3, 5, 7, 9], "target": 58, "ops": "+-*", "use_all": False})


def test_problems_are_those_of_countdown_asked_shortly() -> None:
    dealt, same = TASK.problems("dev", 200, 2), Countdown(numbers=4, largest=12, ops="+-*").problems("dev", 200, 2)
    assert [p.question.id for p in dealt] == [p.question.id for p in same]
    for p in dealt:
        numbers, target = p.reference["numbers"], p.reference["target"]
        assert p.question.messages[-1].content == f"{' '.join(map(str, numbers))}={target}"
        assert TASK.verify(p, str(p.solution)).correct
        assert TASK.verify(p, p.gold).correct
        assert len(str(p.solution).split("\n")) <= 3


@pytest.mark.parametrize(
    ("program", "right"),
    [
        ("9*7=63\n63-5=58", True),
        ("7*9=63\n63-5=58", True),
        ("9*7=63\n63-5=58\n58-3=55", False),  # goes on
        ("9*7=63\n63-3=60", False),
        ("9*7=62\n63-5=58", False),  # untrue
        ("9*7=63\n63-5=58 ", False),
        ("9*9=81", False),  # there is one 9
        ("63-5=58", False),  # there is no 63 yet
        ("", False),
        ("58", False),
    ],
)
def test_what_is_right(program: str, right: bool) -> None:
    assert TASK.verify(PROBLEM, program).correct is right


def test_signs_are_those_of_the_task() -> None:
    forbidden = replace(PROBLEM, reference={**PROBLEM.reference, "ops": "*"})
    assert not TASK.verify(forbidden, "9*7=63\n63-5=58").correct
    assert execute(forbidden, ["9*7=63", "63-5=58"]) == ([(3, 5, 63)], False)


def test_states_are_all_numbers_at_hand_up_to_what_cannot_be_run() -> None:
    assert execute(PROBLEM, ["9*7=63", "63-5=58"]) == ([(3, 5, 63), (3, 58)], True)
    assert execute(PROBLEM, ["9*7=63", "3-5=2", "63-5=58"]) == ([(3, 5, 63)], False)
    assert execute(PROBLEM, ["9*7=63", "63-5=58", "nonsense"]) == ([(3, 5, 63), (3, 58)], True)
    assert execute(PROBLEM, []) == ([], False)


def test_the_answer_says_which_program_it_is() -> None:
    same = [TASK.verify(PROBLEM, text).answer for text in ("9*7=63\n63-5=58", "7*9=63\n63-5=58")]
    assert same[0] == same[1] == "\n".join(plain(["7*9=63", "63-5=58"]))
    assert plain(["3-5=-2", "3+5=8", "x"]) == ("3-5=-2", "5+3=8", "x")


def test_other_orders_of_a_right_program_are_right_and_the_same_steps() -> None:
    rng = random.Random(1)
    seen = set()
    for p in TASK.problems("train", 200):
        lines = str(p.solution).split("\n")
        for _ in range(4):
            other = commuted(p, lines, rng)
            assert sorted(plain(other)) == sorted(plain(lines))
            assert TASK.verify(p, "\n".join(other)).correct
            seen.add((plain(other) == plain(lines), list(other) == lines))
    assert len(seen) == 3, "as it was, with operands swapped, and in another order of lines"
