"""`refine`: propose, criticise, revise (Self-Refine)."""

from __future__ import annotations

import re

from trivium.search import check_counts
from trivium.search.lm import LM
from trivium.search.revising import revise
from trivium.types import Answer, Message, Question

CRITICISE = Message(
    "user",
    "Check this solution step by step. If all of it is right, reply with the one word correct. "
    "Otherwise say what is wrong, in one sentence.",
)
REVISE = Message(
    "user", "Put that right: write the whole solution again, in the same form as before, with its final answer."
)
_CONTENT = re.compile(
    r"\W*(?:yes\W+)?(?:(?:it|that|this|everything|all(?: of it)?|(?:the|this|your) (?:solution|answer))"
    r"(?: is|'s| looks)? (?:all )?)?(?:correct|right)\b(?!\W*(?:but|except|however))|\W*no (?:errors?|mistakes?)\b",
    re.IGNORECASE,
)


async def refine(
    question: Question, lm: LM, *, rounds: int = 4, temperature: float = 0.7, critic: str | None = None
) -> Answer:
    """Draft a solution, criticise it and revise it by the critique, until the critic is content.

    Madaan et al. 2023, arXiv:2303.17651: at most 4 rounds, temperature 0.7, all earlier drafts and critiques in
    context.  Their prompts are task-specific examples; ours are two plain sentences.  `critic` names another voice of
    the run; critiques count as judge calls.  An empty critique is a content one, and one that cannot be read is an
    objection.  A revision without an answer is dropped and ends the rounds, as does one that the budget cut short, or a
    talk that has outgrown the policy's context.  Abstains where no draft has an answer; gives no confidence.  The
    trace's notes say which draft each revision replaced (see `flips`).
    """
    check_counts("refine", rounds=rounds)
    judge = lm if critic is None else lm.voice(critic)
    return await revise(
        question, lm, judge, check=CRITICISE, again=REVISE, passes=content, rounds=rounds, temperature=temperature
    )


def content(critique: str) -> bool:
    """Whether a critique has nothing to object to: it is empty, or begins by saying that all is right."""
    return not critique.strip() or _CONTENT.match(critique) is not None
