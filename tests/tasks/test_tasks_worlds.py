"""Worlds: what each shows and does, that no action breaks one, and that a response is judged by doing it again."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivium.errors import UserError
from trivium.tasks import task
from trivium.tasks.contract import check_task
from trivium.tasks.grid import Rooms
from trivium.tasks.shop import Visit, search
from trivium.tasks.text_graph import Walk
from trivium.tasks.twenty_questions import Game, halve, holds
from trivium.tasks.world import SOLVED, Episode, World, play, written
from trivium.types import Environment, Interactive, Problem
from trivium.verify.parse import action_lines, parse_answer, plain_action

WORLDS = ["grid", "grid:locked=true,rooms=3", "twenty-questions", "shop", "text-graph"]


def world(spec: str) -> World:
    built = task(spec)
    assert isinstance(built, World)
    assert isinstance(built, Interactive)
    return built


def hand(spec: str, n: int = 12) -> list[tuple[Episode, Problem]]:
    built = world(spec)
    return [(built.environment(p), p) for p in built.problems("train", n)]


@pytest.mark.parametrize(
    "spec",
    [
        "grid:rooms=3,locked=true,size=3,things=3",
        "grid:rooms=1,steps=20",
        "twenty-questions:things=30,questions=12",
        "shop:items=60,kinds=2,traits=3",
        "text-graph:rooms=16,loops=5,distance=7",
    ],
)
def test_other_sizes_keep_the_contract_of_tasks(spec: str) -> None:
    assert check_task(task(spec), n=8) == []


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("grid:rooms=7", "rooms=7"),
        ("grid:things=9", "things=9; expected at most 6"),
        ("twenty-questions:things=41", "at most 40"),
        ("twenty-questions:questions=3", "expected 5 or more"),
        ("shop:items=91", "items=91; expected at most 90"),
        ("text-graph:rooms=4", "more than distance=4"),
        ("text-graph:min_distance=5", "above distance"),
    ],
)
def test_options_that_cannot_be(spec: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        task(spec)


@pytest.mark.parametrize("spec", WORLDS)
def test_only_the_last_observation_says_solved(spec: str) -> None:
    for episode, problem in hand(spec):
        assert isinstance(episode, Environment)
        seen = [episode.reset()] + [episode.step(a)[0] for a in action_lines(problem.gold)]
        assert [SOLVED in text for text in seen] == [False] * (len(seen) - 1) + [True]
        assert episode.step("anything") == ("The episode is over.", True)
        assert episode.reset() == seen[0], "an episode can begin again"
        assert not episode.over


@pytest.mark.parametrize("spec", WORLDS)
def test_nonsense_is_answered_counted_and_ends_at_the_limit(spec: str) -> None:
    for episode, problem in hand(spec, 3):
        first = episode.reset()
        for i in range(episode.limit):
            seen, over = episode.step("xyzzy")
            assert seen.startswith("That cannot be done. You can type: ")
            assert over == (i == episode.limit - 1)
        assert seen.endswith("Failed: no steps are left.")
        assert episode.understood == 0
        episode.reset()
        typed = seen.partition("You can type: ")[2].partition(".")[0].partition(", ")[0]
        if not typed.isupper() and "VALUE" not in typed and "WORDS" not in typed:
            episode.step(typed)
            assert episode.understood == 1, f"{typed!r} was offered"
        assert world(spec).environment(problem).reset() == first


@pytest.mark.parametrize("spec", WORLDS)
def test_no_action_makes_a_world_raise(spec: str) -> None:
    hands = hand(spec, 3)
    pieces = [word for _, problem in hands for word in problem.gold.split()] + [
        "go", "open", "next", "back", "buy", "search", "click", "choose", "ask", "or", "and", "guess", "",
    ]  # fmt: skip
    typed = st.one_of(st.text(max_size=30), st.lists(st.sampled_from(pieces), max_size=4).map(" ".join))

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(st.lists(typed, max_size=25), st.sampled_from(hands))
    def act(actions: list[str], given: tuple[Episode, Problem]) -> None:
        episode, problem = given
        shown = [episode.reset()] + [episode.step(a) for a in actions]
        assert shown == [episode.reset()] + [episode.step(a) for a in actions], "equal actions, equal observations"
        assert episode.steps == min(len(actions), episode.steps)
        # What was done is judged alike when it is done again from a response.
        lines = [plain_action(a) for a in actions if plain_action(a)]
        episode.reset()
        play(episode, lines)
        verdict = world(spec).verify(problem, written(lines))
        if lines:
            assert verdict.score == episode.score()
            assert verdict.correct == (episode.score() == 1.0)
        else:
            assert verdict.status == "unparseable"

    act()


def test_actions_are_read_one_a_line_whatever_else_is_said() -> None:
    text = (
        "A door.\nThought: the action: is not here\nAction 1: go[Hall].\n> **Action**: look\n  action:  BUY \nAction:\n"
    )
    assert action_lines(text) == ["go hall", "look", "buy"]
    assert parse_answer("actions", text) == "go hall; look; buy"
    assert parse_answer("actions", "go hall") is None


def test_walking() -> None:
    walk = Walk({"hall": ["attic", "porch"], "attic": ["hall"], "porch": ["hall"]}, "attic", "porch", 3)
    assert walk.reset() == "You are in the attic. Doors lead to: hall."
    assert walk.step("go porch") == ("That cannot be done. You can type: go hall.", False)
    assert walk.step("Go to the HALL!") == ("You are in the hall. Doors lead to: attic, porch.", False)
    assert walk.step("go porch") == ("You are in the porch. Doors lead to: hall. Solved.", True)


def test_every_house_can_be_searched_within_its_limit() -> None:
    for episode, _ in hand("text-graph:rooms=12,loops=0,distance=5", 20):
        seen, way = {episode.reset().split()[4].strip(".")}, list[str]()
        here = next(iter(seen))
        over = False
        while not over:  # depth first, back through the door one came by
            doors = [door.removeprefix("go ") for door in episode.choices().split(", ")]
            fresh = [room for room in doors if room not in seen]
            if fresh:
                way.append(here)
            here = fresh[0] if fresh else way.pop()
            seen.add(here)
            text, over = episode.step(f"go {here}")
        assert text.endswith(SOLVED)


def test_asking() -> None:
    table = {"cup": ["red", "small"], "fan": ["red", "large"], "rope": ["blue", "small"]}
    game = Game(table, "fan", 6)
    assert game.step("ask red") == ("Yes.", False)
    assert game.step("Is it made of glass?")[0].startswith("That cannot be done")
    assert game.step("ask: is it blue or small?") == ("No.", False)
    assert game.step("guess dragon")[0].startswith("That cannot be done")
    assert game.step("guess the cup") == ("No, your guess is cup. Failed: that was not it.", True)
    assert halve(table, "fan") == ["ask blue", "ask large", "guess fan"]
    assert halve({"cup": ["red"], "fan": ["red"]}, "cup") is None


@pytest.mark.parametrize(
    ("question", "truth"),
    [
        ("red", True), ("blue", False), ("red and small", False), ("red and large", True),
        ("blue or large", True), ("blue or red and small", False), ("", None), ("red or", None), ("red large", None),
    ],
)  # fmt: skip
def test_the_grammar_of_questions(question: str, truth: bool | None) -> None:
    assert holds(question.split(), ["red", "large"]) is truth


STOCK = [
    {"id": f"item{i}", "kind": kind, "traits": traits, "colours": ["red", "blue"], "sizes": ["small"], "price": price}
    for i, (kind, traits, price) in enumerate(
        [("lamp", ["steel", "quiet"], 12), ("lamp", ["steel", "light"], 30), ("mug", ["steel", "quiet"], 5)]
    )
]
WISH = {"kind": "lamp", "traits": ["steel", "quiet"], "options": ["red", "small"], "price": 20}


@pytest.mark.parametrize(
    ("actions", "score"),
    [
        (["click item0", "choose red", "choose small", "buy"], 1.0),
        (["click item0", "choose blue", "choose red", "choose small", "buy"], 1.0),
        (["click item0", "choose blue", "choose small", "buy"], 4 / 5),
        (["click item0", "buy"], 3 / 5),
        (["click item1", "buy"], 1 / 5),
        (["click item2", "choose red", "choose small", "buy"], 0.0),
        (["click item1", "back", "click item0", "choose red", "choose small", "buy"], 1.0),
        (["click item0", "choose red", "choose small"], 0.0),
    ],
)
def test_the_reward_of_the_shop(actions: list[str], score: float) -> None:
    visit = Visit(STOCK, WISH, 12)
    play(visit, ["search steel", *actions])
    assert visit.understood == visit.steps == len(actions) + 1
    assert visit.score() == pytest.approx(score)


def test_searching_pages_and_finding_nothing() -> None:
    assert [item["id"] for item in search(STOCK, "quiet mug")] == ["item2", "item0"]
    many = [{**STOCK[0], "id": f"item{i}"} for i in range(7)]
    visit = Visit(many, WISH, 12)
    assert visit.step("search[lamp]")[0].endswith("There are more: next")
    assert visit.step("next")[0].count("\n") == 1
    assert visit.step("next")[0].startswith(
        "That cannot be done. You can type: search WORDS, click item5, click item6."
    )
    assert visit.step("search elephants") == ("Nothing was found.", False)


def test_rooms_keys_and_doors() -> None:
    rooms = Rooms(
        size=3, start=[1, 2, 1], doors=[["red door", 4, 2, True]], mission=["pick up", "blue box"], limit=30,
        things=[["red key", 2, 1], ["blue box", 6, 2]],
    )  # fmt: skip
    assert rooms.reset() == (
        "You see: a red key 1 forward and 1 left, a locked red door 3 forward. In front of you: nothing."
    )
    assert rooms.step("pick up")[0].startswith("There is nothing to pick up")
    rooms.step("go forward")
    rooms.step("forward")
    assert rooms.step("forward")[0].startswith("There is a locked red door in the way.")
    assert rooms.step("open")[0].startswith("The red door is locked.")
    rooms.step("left")
    assert rooms.step("forward")[0].endswith("In front of you: a wall.")
    rooms.step("turn left")
    assert rooms.step("pick up")[0].endswith("In front of you: nothing. You carry: red key.")
    for action in ("left", "forward", "left"):
        rooms.step(action)
    assert "an open red door 1 forward" in rooms.step("open")[0]
    seen, _ = rooms.step("forward")
    assert "blue box 2 forward" in seen, "both rooms are seen from the doorway"
    rooms.step("forward")
    assert rooms.step("pick up")[0].endswith(SOLVED)
    assert rooms.plan() is not None


def test_a_plan_that_is_blocked_is_none() -> None:
    things = [["red box", 1, 1], ["red ball", 2, 1], ["grey ball", 1, 2], ["blue ball", 2, 2]]
    assert Rooms(3, [3, 3, 0], [], things, ["go to", "red box"], 50).plan() is None


@pytest.mark.parametrize("spec", WORLDS)
def test_plans_leave_steps_to_spare_or_just_fit(spec: str) -> None:
    for episode, problem in hand(spec):
        assert 2 <= problem.level == len(action_lines(problem.gold)) <= episode.limit
