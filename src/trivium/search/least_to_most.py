"""`least-to-most`: decompose a problem into easier questions, and solve them in order."""

from __future__ import annotations

import re
from dataclasses import replace

from trivium.search import check_counts
from trivium.search.lm import LM
from trivium.search.reply import reply
from trivium.types import Answer, Message, Question

DECOMPOSE = (
    "Do not solve this problem yet. List the smaller questions to answer first, from the easiest on, one on each line, "
    "each ending in a question mark."
)
LAST = "Now solve the problem itself with these answers, in the form that it asks for:"
_ITEM = re.compile(
    r"^(?:[-*>]\s+)?(?:(?:step|(?:sub-?)?question)\s*)?\d{1,2}\s*[.):](?!\d)\s*|^[-*>]\s+", re.IGNORECASE
)
_EMPHASIS = " \t*_`\"'"


async def least_to_most(question: Question, lm: LM, *, steps: int = 8, temperature: float = 0.0) -> Answer:
    """Ask for the smaller questions in a problem, answer them in order, then the problem with all answers in view.

    Zhou et al. 2022, arXiv:2205.10625: greedy, every earlier subquestion with its answer in context, the problem itself
    last.  They show worked decompositions; we ask in a sentence, and keep the first `steps` whole lines that are items
    of a list or end in a question mark.  Where there is none, or the talk outgrows the policy's context, this is a
    chain of thought; where the budget ends before the problem itself is reached it abstains, as the answer to a part is
    not the answer.  Gives no confidence.
    """
    check_counts("least-to-most", steps=steps)
    *before, asked = question.messages
    blank = replace(question, messages=tuple(before))
    plan = await reply(blank, lm, _ask(f"{asked.content}\n\n{DECOMPOSE}"), temperature=temperature)
    listed = "" if plan is None else plan.response if plan.finish == "stop" else plan.response.rpartition("\n")[0]
    talk: list[Message] = []
    for part in parts(listed)[:steps]:
        ask = _ask(part if talk else f"{asked.content}\n\nFirst: {part}")
        said = await reply(blank, lm, *talk, ask, temperature=temperature)
        if said is None:
            break
        lm.note(said, note=f"answer to: {part}")
        talk += [ask, Message("assistant", said.response)]
    last = _ask(f"{LAST}\n{asked.content}")
    chain = await reply(blank, lm, *talk, last, temperature=temperature) if talk else None
    if chain is None:
        [chain] = await lm.sample(question, temperature=temperature)
    return chain.answering(lm.answer(chain))


def parts(plan: str) -> list[str]:
    """The different lines of a plan that are numbered, are list items or end in a question mark, bare and in order."""
    lines = (line.strip(_EMPHASIS) for line in plan.splitlines())
    listed = (_ITEM.sub("", line).strip(_EMPHASIS) for line in lines if _ITEM.match(line) or line.endswith("?"))
    return list(dict.fromkeys(text for text in listed if any(ch.isalnum() for ch in text)))


def _ask(text: str) -> Message:
    return Message("user", text)
