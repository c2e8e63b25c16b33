"""The guide of a grid world: it leads to the goal, by what is seen, and what is seen takes few words."""

from __future__ import annotations

import random

import pytest

from trivium.tasks.grid import COMMANDS
from trivium.tasks.guided_grid import GuidedGrid, GuidedRooms, demonstration, named
from trivium.types import Problem

NEAR = GuidedGrid(rooms=2, size=4, things=3, locked=True, most=12)
FAR = GuidedGrid(rooms=3, size=3, things=3, locked=True, least=14)


def world(**changes: object) -> GuidedRooms:
    """Two rooms of 3 by 3 and a locked door at (4, 2): the agent in the north-west corner, heading east."""
    given = {
        "size": 3, "start": [1, 1, 1], "doors": [["red door", 4, 2, True]],
        "things": [["red key", 3, 1], ["blue ball", 5, 3], ["grey box", 1, 3]], "mission": ["pick up", "blue ball"],
        "limit": 40,
    }  # fmt: skip
    return GuidedRooms(**{**given, **changes})  # type: ignore[arg-type]


def led(episode: GuidedRooms) -> list[tuple[str, str]]:
    """What the guide said, all the way to the end of the episode."""
    said = []
    while not episode.over:
        guided = episode.guide()
        assert guided is not None
        said.append(guided)
        episode.step(guided[1])
    return said


def test_what_is_seen_takes_few_words() -> None:
    episode = world()
    assert episode.reset() == "east grey box rr red key ff red door locked fff r"
    assert episode.step("forward") == ("east grey box b rr red key f red door locked ff r", False)
    assert episode.step("open")[0] == "east grey box b rr red key f red door locked ff r", "there is no door in front"
    assert episode.step("pick up")[0] == "east grey box b rr red door locked ff r have red key"
    assert episode.step("dance")[0].startswith("That cannot be done.")


def test_the_guide_says_what_it_wants_until_it_is_done() -> None:
    said = led(episode := world())
    wishes = list(dict.fromkeys(wish for wish, _ in said))
    assert wishes == ["pick up the red key", "open the red door", "go through the red door", "pick up the blue ball"]
    assert episode.score() == 1.0
    assert [action for wish, action in said if wish == "go through the red door"] == ["forward"]


def test_a_door_that_is_open_or_has_no_lock_takes_no_key() -> None:
    episode = world(doors=[["red door", 4, 2, False]])
    assert {wish for wish, _ in led(episode)} == {
        "open the red door", "go through the red door", "pick up the blue ball",
    }  # fmt: skip
    assert "red door shut" in episode.reset()


def test_it_turns_back_when_it_was_led_past_its_target() -> None:
    episode = world(mission=["go to", "grey box"], start=[5, 2, 1], doors=[["red door", 4, 2, False]])
    episode.reset()
    for action in ("left", "left", "open", "right", "right"):
        episode.step(action)
    guided = episode.guide()
    assert guided is not None
    assert guided[0] == "go through the red door"
    assert led(episode)[-1][0] == "go to the grey box"


def test_it_says_nothing_where_things_block_the_way() -> None:
    blocked = world(things=[["red key", 3, 1], ["blue ball", 5, 3], ["grey box", 3, 2]])
    blocked.reset()
    for action in ("forward", "pick up"):
        blocked.step(action)
    assert blocked.guide() is None


@pytest.mark.parametrize("task", [NEAR, FAR], ids=["near", "far"])
def test_the_guide_solves_every_problem_within_its_steps(task: GuidedGrid) -> None:
    for p in task.problems("train", 60):
        episode = task.environment(p)
        said = led(episode)
        assert episode.score() == 1.0, p.question.messages[-1].content
        assert task.verify(p, "\n".join(f"Action: {action}" for _, action in said)).correct
        assert task.least <= p.level <= (task.most or p.level)
        assert keys_are_before_their_doors(p)


def keys_are_before_their_doors(problem: Problem) -> bool:
    width = problem.reference["size"] + 1
    places = {name: x for name, x, _ in problem.reference["things"]}
    return all(
        places[name.replace("door", "key")] // width == x // width - 1 for name, x, *_ in problem.reference["doors"]
    )


def test_demonstrations_show_how_to_find_back_and_no_random_moves() -> None:
    rng, solved = random.Random(0), 0
    for p in NEAR.problems("train", 40):
        calm, noisy = (demonstration(NEAR.environment(p), rng, noise) for noise in (0.0, 0.2))
        assert [(wish, action) for _, wish, action in calm] == led(NEAR.environment(p))
        assert calm[0].seen == NEAR.environment(p).reset()
        solved += bool(noisy) and noisy[-1].wish == calm[-1].wish
        assert {action for _, _, action in noisy} <= {*COMMANDS}
    assert solved >= 30, "few episodes run out of steps"


def test_what_was_taken_or_opened_may_have_been_named() -> None:
    steps = [(wish, action) for _, wish, action in demonstration(world(), random.Random(0), 0.0)]
    assert named(world(), steps) == [True, True, True]
    assert named(world(), [("", action) for _, action in steps]) == [False] * 3
    mixed = [("go through the red door" if action == "open" else "", action) for _, action in steps]
    assert named(world(), mixed) == [False, True, False]
    assert named(world(), [("open the red door", "open"), ("pick up the red key", "pick up")]) == [], "nothing happened"


def test_problems_are_dealt_as_by_any_task() -> None:
    assert NEAR.problems("test", 10) == NEAR.problems("test", 20)[:10]
    assert NEAR.problems("test", 10) != NEAR.problems("test", 10, 1)
    assert all(p.split == "dev" for p in NEAR.problems("dev", 5))
