"""Searching Countdown in one line of thought, or by a parent with children: two methods that a policy is taught.

The question is `9:1 3 4 8>36`: how many searches are asked for, the numbers, the target.  Both methods speak the
language of `data.countdown_search`, with three or four numbers, + - and *.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from trivium.data.countdown_search import (
    NOTHING,
    Move,
    after,
    best,
    first_found,
    in_turn,
    joined,
    looked,
    returned,
    state,
)
from trivium.lab.reworded import Reworded
from trivium.learn.batch import Demonstration
from trivium.policies.chat import Chat
from trivium.search.lm import LM
from trivium.tasks.base import ask
from trivium.types import Answer, Problem, Question, Task

SIGNS = "+-*"
CHILD_WIDTH = 3
"""Operations that the search of three numbers goes on from; of two numbers it is all that they make."""
WIDTHS = (2, 9)
"""First operations that a demonstration tries, at least and at most."""
FREE, WIDE = "?", "9"
"""In place of a width: as many as the policy likes; and the largest width."""
MOST_CHILDREN, ORDERED = 10, "|"


class Way(Protocol):
    """A method with a context of `cap` tokens."""

    __name__: str

    async def __call__(self, question: Question, lm: LM, /, *, cap: int, temperature: float = 0.0) -> Answer: ...


async def serial(question: Question, lm: LM, /, *, cap: int, temperature: float = 0.0) -> Answer:
    """One line of thought, whose last line is the answer if it comes to an end within the context."""
    [said] = await lm.sample(question, temperature=temperature, max_tokens=_room(lm, cap, question))
    return _concluded(lm, said.text.rpartition("\n")[2], said.finish == "stop", said.node)


async def threads(
    question: Question, lm: LM, /, *, cap: int, temperature: float = 0.0, crossed: bool = False
) -> Answer:
    """A parent orders searches, children read only where theirs begins, and the parent answers by what was found.

    Parent and children have a context of `cap` tokens each.  What a child claims is taken at its word, and an order
    that is no operation on the question's numbers is left out.  `crossed` gives every child's result to the order after
    its own, as a control.
    """
    numbers, _, target = question.messages[-1].content.partition(":")[2].partition(">")
    [called] = await lm.sample(question, stop=(ORDERED,), temperature=temperature, max_tokens=_room(lm, cap, question))
    orders = called.text.removesuffix(ORDERED).split(";")[:MOST_CHILDREN] if called.text.endswith(ORDERED) else []
    moves = [move for order in orders if (move := after(order, [int(x) for x in numbers.split()]))]
    if not moves:
        return Answer(None, "", called.node)

    async def child(move: Move) -> str:
        own = replace(question, messages=ask(state(move.left, int(target))))
        [said] = await lm.sample(own, temperature=temperature, max_tokens=_room(lm, cap, own))
        return said.text

    tried = await lm.map(child, moves)
    if crossed:
        tried = tried[-1:] + tried[:-1]
    heard = lm.tell(called, returned(first_found([move.text for move in moves], tried)))
    [end] = await lm.extend(heard, temperature=temperature, max_tokens=_room(lm, cap, question, heard.response))
    return _concluded(lm, end.text, end.finish == "stop", end.node)


def puzzle(task: Task, width: str) -> Reworded:
    """A task of Countdown in this language, with a width, `WIDE` or `FREE`."""
    return Reworded(task, partial(_asked, width))


def lessons(policy: Chat, problems: Sequence[Problem], way: Way) -> list[Demonstration]:
    """The program's searches as sequences to imitate, one for every call of a policy; half of them name their width.

    Of a problem both ways show the same searches, but the serial one stops at the first success.
    """
    shown = []
    for problem in problems:
        rng, numbers, target = random.Random(problem.key), problem.reference["numbers"], problem.reference["target"]
        width = rng.randint(*WIDTHS)
        kept = best(numbers, target, SIGNS, width, rng)
        tried = [looked(move.left, target, SIGNS, CHILD_WIDTH, rng) for move in kept]
        prompt = policy.encode(ask(_asked(rng.choice([FREE, str(width)]), problem)))
        if way is serial:
            shown.append(Demonstration(prompt, policy.encode_response(in_turn(kept, tried, target))))
            continue
        path = first_found([move.text for move in kept], tried)
        called = policy.encode_text(";".join(move.text for move in kept) + ORDERED)
        read = prompt + called + policy.encode_text(returned(path))
        shown.append(Demonstration(prompt, called))
        shown.append(Demonstration(read, policy.encode_response(joined(path) if path else NOTHING)))
        shown += [
            Demonstration(policy.encode(ask(state(move.left, target))), policy.encode_response(search))
            for move, search in zip(kept, tried, strict=True)
        ]
    return shown


def _asked(width: str, problem: Problem) -> str:
    return f"{width}:{state(problem.reference['numbers'], problem.reference['target'])}"


def _concluded(lm: LM, last: str, ended: bool, node: int) -> Answer:
    """The answer in the last words, if they came to an end."""
    return Answer(lm.answer(last), last, node) if ended else Answer(None, "", node)


def _room(lm: LM, cap: int, question: Question, said: str = "") -> int:
    """The tokens that a context has left after a question, whose two turns take one each, and what was said since."""
    return max(1, cap - 2 - len(lm.encode(question.messages[-1].content + said)))
