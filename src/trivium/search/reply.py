"""What a policy says next in a conversation about a question, for methods that talk in several turns."""

from __future__ import annotations

from trivium.errors import BudgetExhausted, UnknownName, Unsupported, UserError
from trivium.search.lm import LM, Chain, turn
from trivium.types import Message, Question


async def reply(question: Question, lm: LM, *talk: Message, temperature: float) -> Chain | None:
    """The reply to a question with more turns after it, or `None` where the conversation cannot go on.

    That is where the budget has no room for it, or the talk no longer fits into the policy's context; the method then
    answers with what it has.
    """
    try:
        [chain] = await lm.sample(turn(question, *talk), temperature=temperature)
    except (UnknownName, Unsupported):
        raise
    except (BudgetExhausted, UserError):
        return None
    return chain


def adopted(lm: LM, before: str | None, chain: Chain) -> bool:
    """Whether a later chain may replace an answer: it has one, and is not cut short where there was one before."""
    return lm.answer(chain) is not None and (before is None or chain.finish != "budget")
