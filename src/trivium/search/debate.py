"""`debate`: several speakers read each other's solutions and answer again; the majority decides."""

from __future__ import annotations

from collections.abc import Sequence

from trivium.errors import UserError
from trivium.search.lm import LM, turn
from trivium.search.panel import Stand, agreed, ballots, present, speak, speakers
from trivium.search.vote import elect
from trivium.types import Answer, Message, Question


async def debate(
    question: Question, lm: LM, *, n: int = 3, rounds: int = 2, temperature: float = 1.0, until_agreed: bool = True
) -> Answer:
    """Let n speakers answer, read the others' last answers and answer again, and return the majority's answer.

    Du et al. 2023, arXiv:2305.14325: three agents; of the `rounds`, two in their code, the first is spoken alone.  A
    speaker keeps its own words in mind and sees the last words of the others, the problem once more below them.  The
    speakers are the policy and the run's voices in turn; without voices one policy speaks with n seeds.

    Departs: as in Liang et al. 2023, arXiv:2305.19118, the debate ends when all agree (until_agreed=false: never before
    the last round).  A reply without an answer leaves its speaker with the one before.  Who has none abstains; ties go
    to the first speaker.  The confidence is the winner's share of the votes.
    """
    if rounds < 1:
        raise UserError(f"debate: rounds={rounds}; expected 1 (no debate, a vote) or more")
    seats = speakers(question, lm, n)
    stands = present(await lm.map(lambda seat: speak(seat, question, None, temperature), seats))
    for _ in range(rounds - 1):
        lm.offer(elect(ballots(stands)))
        if len(stands) < n or (until_agreed and agreed(stands)):
            break  # where not all could speak, the budget is gone
        turns = [(seat, _rejoinder(question, stands, i), stands[i]) for i, seat in enumerate(seats)]
        stands = present(await lm.map(lambda call: speak(*call, temperature), turns))
    return elect(ballots(stands))


def _rejoinder(question: Question, stands: Sequence[Stand], speaker: int) -> Question:
    """What a speaker is asked in its next turn, after all that it was asked and said before."""
    mine, others = stands[speaker], [*stands[:speaker], *stands[speaker + 1 :]]
    if others:
        shown = "\n\n".join(f"Another solution:\n{s.chain.response.strip()}" for s in others)
        advice = f"{shown}\n\nUse these solutions as advice, and solve the problem again."
    else:
        advice = "Check your solution, and give it again, corrected where it is wrong."
    return turn(
        mine.asked,
        Message("assistant", mine.chain.response),
        Message("user", f"{advice}\n\n{question.messages[-1].content}"),
    )
