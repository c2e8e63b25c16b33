"""`self-rethinking`: check one's own reasoning for the usual kinds of mistakes, and answer again if it has one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from trivium.search import check_counts
from trivium.search.lm import LM
from trivium.search.revising import revise
from trivium.types import Answer, Message, Question

Domain = Literal["arithmetic", "commonsense"]

MISTAKES: Mapping[Domain, str] = {
    "arithmetic": (
        "- calculation: a sum, difference, product or quotient is wrong\n"
        "- numeric: a number was copied wrongly, or left out\n"
        "- logical: a step does not follow, or is missing"
    ),
    "commonsense": (
        "- commonsense: something is assumed that is not so in the world\n"
        "- linguistic: a word or phrase of the question is misunderstood\n"
        "- context: something that the question says is overlooked"
    ),
}
AGAIN = Message(
    "user", "Avoid that mistake: solve the problem again from the start, in the same form, with its final answer."
)
_SAYS = re.compile(r"\b(yes|no)\b", re.IGNORECASE)


async def self_rethinking(
    question: Question, lm: LM, *, rounds: int = 1, domain: Domain = "arithmetic", temperature: float = 0.0
) -> Answer:
    """Solve, ask whether the solution makes a mistake of a known kind, and if so solve again.

    Tong et al. 2024, arXiv:2403.20046: at most `rounds` checks, 1 in their main table, and their kinds of mistakes in
    two domains.  They show whole past mistakes; the names of the kinds alone did as well in their ablation, and are all
    that we show, with a line each.  A check counts as a judge call; one that says neither yes nor no, like no, keeps
    the answer.  A second solution without an answer, or cut short by the budget, is dropped and ends the rounds.
    Abstains where no solution has an answer; gives no confidence.  The trace's notes say which solution each later one
    replaced (see `flips`).
    """
    check_counts("self-rethinking", rounds=rounds)
    check = Message(
        "user",
        f"Mistakes of these kinds are common:\n{MISTAKES[domain]}\n"
        "Does your solution make one of them? Reply yes or no first, and if yes say which and where.",
    )
    return await revise(
        question, lm, lm, check=check, again=AGAIN, passes=lambda said: not admits(said), rounds=rounds,
        temperature=temperature,
    )  # fmt: skip


def admits(check: str) -> bool:
    """Whether the first yes or no in a check is a yes."""
    said = _SAYS.search(check)
    return said is not None and said[1].lower() == "yes"
