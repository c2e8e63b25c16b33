"""Moves between states: the same problems in two alphabets and two forms, and what is right in each."""

from __future__ import annotations

import itertools

import pytest

from trivium.errors import UserError
from trivium.tasks.moves import ALPHABETS, MOVES, Alphabet, Moves, after, shortest, trail
from trivium.types import Problem, Question

PLAN, STATES = Moves(), Moves(form="states")


def problem(start: str, goal: str) -> Problem:
    return Problem(Question("q", ()), {"start": start, "goal": goal}, "", "k", "train", "moves")


def test_moves_raise_a_symbol_in_its_ring_or_turn_the_state_round() -> None:
    assert trail("193", ["A", "B", "X", "C"]) == ["293", "203", "302", "303"]
    assert trail("bjd", ["A", "B", "X", "C"]) == ["cjd", "cad", "dac", "dad"]
    assert after("199", "C") == "190"


def test_shortest_plans_are_shortest_and_the_first_of_their_length() -> None:
    assert shortest("123", "321") == ["X"]
    assert shortest("123", "233") == ["A", "B"]
    assert shortest("123", "123") == []
    for plan in itertools.product(MOVES, repeat=3):
        goal = trail("258", plan)[-1]
        found = shortest("258", goal)
        assert ["258", *trail("258", found)][-1] == goal
        shorter = [p for n in range(len(found)) for p in itertools.product(MOVES, repeat=n)]
        assert goal not in [["258", *trail("258", p)][-1] for p in shorter]


@pytest.mark.parametrize(
    ("task", "response", "right"),
    [
        (PLAN, "A\nB\n223 233", True),
        (PLAN, "B\nA\n133 233", True),
        (PLAN, "X\nX\nB\nA\n321 123 133 233", True),  # a longer way
        (PLAN, "X\nX\nX\nX\nX\nX\n321 123 321 123 321 123", False),  # six moves, and not there
        (PLAN, "X\nX\nX\nX\nB\nA\n321 123 321 123 133 233", True),
        (PLAN, "X\nX\nX\nX\nX\nX\nA\nB\n321 123 321 123 321 123 223 233", False),  # eight moves
        (PLAN, "A\nB\n233", False),  # the way is not worked out
        (PLAN, "A\nC\n223 233", False),  # nor is this what the plan leads to
        (PLAN, "A\n223", False),
        (PLAN, "A\nD\n223 233", False),
        (PLAN, "223 233", False),
        (PLAN, "", False),
        (STATES, "223\n233", True),
        (STATES, "321\n123\n223\n233", True),
        (STATES, "233", False),
        (STATES, "A\nB\n223 233", False),
        (STATES, "223\n233\n", False),
        (STATES, "", False),
    ],
)
def test_what_is_right(task: Moves, response: str, right: bool) -> None:
    assert task.verify(problem("123", "233"), response).correct is right


def test_a_broken_reference_is_no_wrong_answer() -> None:
    assert PLAN.verify(Problem(Question("q", ()), None, "", "k", "train", "moves"), "A\n223").status == "error"


@pytest.mark.parametrize("alphabet", [*ALPHABETS])
def test_both_forms_are_dealt_the_same_problems_and_their_solutions_are_right(alphabet: Alphabet) -> None:
    plan, states = Moves(alphabet, "plan", 2, 4), Moves(alphabet, "states", 2, 4)
    dealt, same = plan.problems("dev", 60, 1), states.problems("dev", 60, 1)
    assert [p.question for p in dealt] == [p.question for p in same]
    for a, b in zip(dealt, same, strict=True):
        assert plan.verify(a, str(a.solution)).correct
        assert states.verify(b, str(b.solution)).correct
        assert str(a.solution).split("\n")[-1].split() == str(b.solution).split("\n")
        assert 2 <= a.level == len(str(b.solution).split("\n")) <= 4
        assert len(str(a.solution)) < plan.max_tokens


def test_alphabets_share_no_problem_and_no_symbol() -> None:
    digits, letters = Moves().problems("train", 50), Moves(alphabet="letters").problems("train", 50)
    assert not {p.key for p in digits} & {p.key for p in letters}
    said = [{c for p in dealt for c in str(p.solution)} for dealt in (digits, letters)]
    assert said[0] & said[1] == {*MOVES, "\n", " "}


def test_distances_that_cannot_be() -> None:
    with pytest.raises(UserError, match="near=0"):
        Moves(near=0)
    with pytest.raises(UserError, match="far=7"):
        Moves(far=7)
