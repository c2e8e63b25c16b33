"""Acting by the view: what is asked and done at every step, and when it ends."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from trivium.policies.scripted import Scripted, Turn
from trivium.search.by_view import THINKING, Thinking, act_by_view, say, steps, view
from trivium.search.driver import solve
from trivium.tasks.guided_grid import GuidedGrid
from trivium.types import Message, Problem, Question, Trace

TASK = GuidedGrid(rooms=1, size=3, things=1)
[DEALT] = TASK.problems("test", 1)
WORLD = {"size": 3, "start": [1, 1, 1], "doors": [], "things": [["red key", 3, 2]], "mission": ["pick up", "red key"]}
QUESTION = replace(DEALT.question, messages=(Message("user", "pick up the red key. You can: left."),))
PROBLEM: Problem = replace(DEALT, question=QUESTION, reference={**WORLD, "limit": 20})
WAY = {
    "east red key ff r": "forward",
    "east red key f r": "forward",
    "east red key r": "right",
    "south red key f": "pick up",
}


def attempt(says: dict[str, str], thinking: Thinking = "none") -> tuple[Trace, list[str]]:
    """An attempt by what is said to each view (else `dance`), and all that was asked."""
    asked = []

    def script(turn: Turn) -> str:
        asked.append(turn.question)
        return says.get(turn.question.removeprefix("pick up the red key: "), "dance")

    [trace] = solve(partial(act_by_view, thinking=thinking), [PROBLEM], Scripted(script), task=TASK)
    return trace, asked


def test_each_step_is_asked_by_the_mission_and_the_view() -> None:
    trace, asked = attempt(WAY)
    assert asked == [f"pick up the red key: {seen}" for seen in WAY]
    assert trace.verdict is not None
    assert trace.verdict.correct
    assert steps(trace.response) == [("", action) for action in WAY.values()]
    assert trace.usage.tool_steps == 4


@pytest.mark.parametrize(("thinking", "thought"), [("before", "get it"), ("after", "")])
def test_a_thought_is_said_and_only_the_action_done(thinking: Thinking, thought: str) -> None:
    trace, _ = attempt({seen: say("get it", action, thinking) for seen, action in WAY.items()}, thinking)
    assert trace.verdict is not None
    assert trace.verdict.correct
    assert steps(trace.response) == [(thought, action) for action in WAY.values()]


def test_after_the_action_nothing_is_waited_for() -> None:
    said = {seen: say("get it", action, "after") for seen, action in WAY.items()}
    trace, _ = attempt(said, "after")
    assert trace.usage.sampled_tokens == sum(len(f"{action}:") for action in WAY.values())


def test_it_ends_where_a_view_comes_back() -> None:
    turning, _ = attempt({"east red key ff r": "left", "north red key b rr": "right"})
    assert [action for _, action in steps(turning.response)] == ["left", "right"]
    against, _ = attempt({"east red key ff r": "pick up"})
    assert [action for _, action in steps(against.response)] == ["pick up"]
    nonsense, _ = attempt({})
    assert [action for _, action in steps(nonsense.response)] == ["dance", "dance"]
    assert not any(t.verdict.correct for t in (turning, against, nonsense) if t.verdict)


def test_what_is_said_in_which_order() -> None:
    assert [say("why", "left", thinking) for thinking in THINKING] == ["left", "why: left", "left: why"]
    assert view(Question("q", (Message("system", "x"), Message("user", "go. You can: a."))), "b") == (
        Message("user", "go: b"),
    )
