"""What methods of several speakers share: who speaks, what each says, and what each stands by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trivium.errors import BudgetExhausted, UserError
from trivium.search.ballots import Ballot, ballot
from trivium.search.lm import LM, Chain
from trivium.search.reply import reply
from trivium.types import Question


@dataclass(frozen=True, slots=True)
class Stand:
    """What one speaker says last, how sure it is of it (where that was asked), and what it was asked."""

    chain: Chain
    answer: str | None
    asked: Question
    confidence: float = 1.0


def speakers(question: Question, lm: LM, n: int) -> list[LM]:
    """The policy and the run's further voices in turn, until there are n; each of them once more than that if need be.

    The prompts are written into the trace here, so that its root does not depend on who answers first.
    """
    if n < 1:
        raise UserError(f"n={n} speakers were asked for; expected 1 or more")
    table = [lm, *(lm.voice(name) for name in lm.voices)]
    for speaker in table:
        speaker.begin(question)
    return [table[i % len(table)] for i in range(n)]


async def speak(lm: LM, asked: Question, before: Stand | None, temperature: float) -> Stand | None:
    """One speaker's reply, or what it said before where the reply has no answer, is cut by the budget, or where what is
    to be read does not fit into the policy's context.
    """
    chain: Chain | None
    if before is not None:
        chain = await reply(asked, lm, temperature=temperature)
    else:
        try:
            [chain] = await lm.sample(asked, temperature=temperature)
        except BudgetExhausted:
            chain = None
    if chain is None:
        return before
    now = Stand(chain, lm.answer(chain), asked)
    if before is not None and before.answer is not None and (now.answer is None or chain.finish == "budget"):
        return before
    return now


def ballots(stands: Sequence[Stand]) -> list[Ballot]:
    """What each stands by, to be voted on."""
    return [ballot(s.chain, s.answer) for s in stands]


def agreed(stands: Sequence[Stand]) -> bool:
    """Whether all give one and the same answer."""
    first = stands[0].answer
    return first is not None and all(s.answer == first for s in stands)


def present(stands: Sequence[Stand | None]) -> list[Stand]:
    """Those who spoke.  Raises BudgetExhausted if nobody did."""
    spoke = [s for s in stands if s is not None]
    if not spoke:
        raise BudgetExhausted("the budget has no room for the first speaker")
    return spoke
