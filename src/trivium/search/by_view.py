"""Acting by what is seen now alone: at every step the mission and the view are a question of their own.

Without a history a prompt stays short whatever the length of an episode, and steps that look the same are the same.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

from trivium.search.lm import LM
from trivium.types import Answer, Message, Question

Thinking = Literal["none", "before", "after"]
"""Whether a thought is said with an action, and on which side of it."""
THINKING: tuple[Thinking, ...] = get_args(Thinking)


def view(question: Question, seen: str) -> tuple[Message, ...]:
    """What a step is asked: the first sentence of the question, and what is seen."""
    return (Message("user", f"{question.messages[-1].content.partition('.')[0]}: {seen}"),)


def say(thought: str, action: str, thinking: Thinking) -> str:
    """A thought and an action as a response: `open the red door: forward`."""
    said = {"none": (action,), "before": (thought, action), "after": (action, thought)}
    return ": ".join(said[thinking])


async def act_by_view(question: Question, lm: LM, *, thinking: Thinking = "before") -> Answer:
    """Say what `say` says, greedily, until the episode is over or a view comes back.

    A policy without memory would go round for ever from there.  A thought that comes after the action is not waited
    for.  The response has a line `Thought: ` and a line `Action: ` for every step.
    """
    lines, met = list[str](), set[str]()
    async with lm.episode:
        seen, over = await lm.reset(), False
        while not over and seen not in met:
            met.add(seen)
            asked = replace(question, messages=view(question, seen))
            [chain] = await lm.sample(asked, temperature=0.0, stop=(":",) if thinking == "after" else ())
            text = " ".join(chain.text.split())
            thought, _, action = text.rpartition(":") if thinking == "before" else ("", "", text.rstrip(":"))
            lines += [f"Thought: {thought.strip()}", f"Action: {action.strip()}"]
            seen, over = await lm.act(action)
    response = "\n".join(lines)
    return Answer(lm.answer(response), response)


def steps(response: str) -> list[tuple[str, str]]:
    """The (thought, action) of every step of a response of `act_by_view`."""
    said = [line.partition(": ")[2] for line in response.split("\n")]
    return list(zip(said[::2], said[1::2], strict=False))  # an attempt that broke has no response
