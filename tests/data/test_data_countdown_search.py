"""The program's searches are true, end as they say, and a path becomes an expression that the task accepts."""

from __future__ import annotations

import random

import pytest

from trivium.data.countdown_search import (
    FOUND,
    Move,
    after,
    best,
    first_found,
    in_turn,
    joined,
    looked,
    moves,
    returned,
    state,
    success,
)
from trivium.tasks import task
from trivium.verify.expression import equation, holds

COUNTDOWN = task("countdown:numbers=4,largest=9,target=99,ops=+*,use_all=true")


def test_moves_join_two_numbers_and_leave_the_others_in_order() -> None:
    assert moves((2, 8), "+-*") == [Move("8+2=10", (10,)), Move("8-2=6", (6,)), Move("8*2=16", (16,))]
    assert [m.text for m in moves((50, 50), "+-*")] == [], "100, 0 and 2500 are no results to write"
    assert Move("8*3=24", (2, 7, 24)) in moves((2, 3, 7, 8), "*")
    assert len(moves((3, 3, 3), "+*")) == 2, "equal operations are one"


@pytest.mark.parametrize("text", ["8*3=24", "8+3=12"])
def test_a_written_operation_is_taken_at_its_word(text: str) -> None:
    result = int(text.partition("=")[2])
    assert after(text, (2, 3, 7, 8)) == Move(text, tuple(sorted((2, 7, result))))


@pytest.mark.parametrize("text", ["9*3=27", "3*3=9", "8*3", "", "8*3=24;"])
def test_what_is_no_operation_on_these_numbers_is_none(text: str) -> None:
    assert after(text, (2, 3, 7, 8)) is None


def test_the_best_moves_leave_numbers_near_factors_of_the_target() -> None:
    kept = best((5, 7, 9), 60, "+*", 2, random.Random(0))
    assert {move.text for move in kept} == {"7+5=12", "9+7=16"}, "1 away from factors of 60, all others more"
    assert best((2, 3, 7, 8), 48, "+*", 99, random.Random(0)) != best((2, 3, 7, 8), 48, "+*", 99, random.Random(1))


def test_searches_are_true_and_their_successes_are_solutions() -> None:
    found = 0
    for problem in COUNTDOWN.problems("dev", 60):
        rng, numbers, target = random.Random(problem.key), problem.reference["numbers"], problem.reference["target"]
        kept = best(numbers, target, "+*", 5, rng)
        tried = [looked(move.left, target, "+*", 3, rng) for move in kept]
        for search in tried:
            written = search.removesuffix(FOUND).replace(":", ",").replace(";", ",").split(",")
            assert all((claim := equation(text)) is not None and holds(*claim) for text in written if text)
            assert search.endswith(f"={target}{FOUND}") == (success(search) is not None)
        text, path = in_turn(kept, tried, target), first_found([move.text for move in kept], tried)
        last = text.rpartition("\n")[2]
        assert last == (joined(path) if path else "none")
        assert COUNTDOWN.verify(problem, last).correct == (path is not None)
        found += path is not None
    assert 20 < found < 60


def test_of_two_numbers_a_search_is_all_that_they_make() -> None:
    assert looked((3, 8), 24, "+*", 3, random.Random(0)) == "8+3=11,8*3=24!"
    assert looked((3, 8), 40, "+*", 3, random.Random(0)) == "8+3=11,8*3=24"
    assert success("8+3=11,8*3=24!") == ["8*3=24"]
    assert first_found(["6+2=8"], ["8+3=11,8*3=24!"]) == ["6+2=8", "8*3=24"]


def test_a_line_of_thought_ends_with_its_first_success() -> None:
    kept, tried = [Move("8+7=15", (2, 3, 15)), Move("8*3=24", (2, 7, 24))], ["3+2=5:15+5=20", "7+2=9:24+9=33!"]
    assert in_turn(kept, [tried[0], tried[0]], 33).endswith("\nnone")
    assert in_turn(kept, tried, 33) == ("8+7=15>2 3 15>33|3+2=5:15+5=20\n8*3=24>2 7 24>33|7+2=9:24+9=33!\n(8*3)+(7+2)")
    assert in_turn(kept[1:], tried[1:], 33).count("\n") == 1


def test_a_parent_hears_the_first_whole_path_or_nothing() -> None:
    path = first_found(["8+7=15", "8*3=24"], ["3+2=5:15+5=20", "7+2=9:24+7=31,24+9=33!"])
    assert path == ["8*3=24", "7+2=9", "24+9=33"]
    assert (returned(path), returned(first_found(["8+7=15"], ["3+2=5:15+5=20"]))) == ("8*3=24:7+2=9:24+9=33\n", "-\n")
    assert state((2, 7, 24), 33) == "2 7 24>33"


def test_a_result_that_stands_for_two_numbers_is_put_in_once() -> None:
    assert joined(["4+3=7", "7+7=14", "14*2=28"]) == "((4+3)+7)*2"
    assert joined(["7+3=10", "8*2=16", "16+10=26"]) == "(8*2)+(7+3)"
