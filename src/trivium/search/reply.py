"""What a policy says next in a conversation about a question, for methods that talk in several turns."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from trivium.errors import BudgetExhausted, ContextFull
from trivium.search.lm import LM, Chain, turn
from trivium.types import Answer, Message, Question

T = TypeVar("T")


async def reply(question: Question, lm: LM, *talk: Message, temperature: float) -> Chain | None:
    """The reply to a question with more turns after it, or `None` where the conversation cannot go on.

    That is where `if_room` finds none; the method then answers with what it has.
    """
    return await if_room(lm.sample(turn(question, *talk), temperature=temperature))


async def if_room(call: Awaitable[list[Chain]]) -> Chain | None:
    """The one chain of a call; `None` where neither the budget nor the policy's context has room for it."""
    try:
        chains = await if_it_fits(call)
    except BudgetExhausted:
        return None
    return None if chains is None else chains[0]


async def if_it_fits(call: Awaitable[T]) -> T | None:
    """The result of a call; `None` where what it asks does not fit into the policy's context."""
    try:
        return await call
    except ContextFull:
        return None


def adopted(lm: LM, before: str | None, chain: Chain | None) -> Answer | None:
    """The answer of a later chain if it may replace the one `before`: it has one, and is not cut short where there was
    one before.
    """
    if chain is None or (before is not None and chain.finish == "budget"):
        return None
    value = lm.answer(chain)
    return None if value is None else chain.answering(value)
