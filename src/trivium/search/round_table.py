"""`round-table`: different policies discuss until they agree, and vote by how sure they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from trivium.errors import BudgetExhausted, UserError
from trivium.search.lm import LM, Scorer, reworded
from trivium.search.panel import Stand, agreed, ballots, present, speak, speakers
from trivium.search.vote import elect
from trivium.types import Answer, Question

Words = Callable[[Sequence[Stand], int], str]
"""What is put before the question for one seat, by its number, after all have spoken."""


async def round_table(
    question: Question,
    lm: LM,
    *,
    n: int = 3,
    rounds: int = 2,
    temperature: float = 0.7,
    by: str | Scorer = "stated",
    weights: str = "1 0.8 0.5 0.3 0.1",
    words: Words | None = None,
) -> Answer:
    """Let n voices answer, discuss for at most `rounds` rounds until they agree, and vote weighted by confidence.

    ReConcile, Chen, Saha and Bansal 2023, arXiv:2309.13007.  Every voice reads all answers, grouped, with how many hold
    each, their explanations and confidences, and answers anew.  A vote counts by the confidence p behind it: `weights`
    for p = 1, p in [0.9, 1), [0.8, 0.9), (0.6, 0.8), and below.  The voices are the policy and the run's voices in
    turn; without voices one policy speaks with n seeds, which the paper finds worse than different ones.

    Departs: the confidence is asked for in a turn of its own (or is any value by name, `by=self`), so that the solution
    keeps its form; all answers are shown, not the two most common; convincing samples need a training set, and come in
    by `words`, a function from what was said and a seat's number to what that seat is told.  A voice without an answer
    abstains, and keeps an earlier answer if it had one; ties go to the first speaker.  The confidence is the winner's
    share of the weights.
    """
    if rounds < 0:
        raise UserError(f"round-table: rounds={rounds}; expected 0 (a weighted vote) or more")
    scale = _scale(weights)
    seats = speakers(question, lm, n)

    async def sit(seat: LM, asked: Question, before: Stand | None) -> Stand | None:
        now = await speak(seat, asked, before, temperature)
        if now is None or now is before or now.answer is None:
            return now
        try:
            sure = await seat.value(now.chain, by, question=asked)
        except BudgetExhausted:
            sure = 0.0
        lm.note(now.chain, value=sure)
        return replace(now, confidence=sure)

    stands = present(await lm.map(lambda seat: sit(seat, question, None), seats))
    for _ in range(rounds):
        lm.offer(_verdict(stands, scale))
        if len(stands) < n or agreed(stands):
            break  # where not all could speak, the budget is gone
        told = [(words or _discussion)(stands, seat) for seat in range(n)]
        turns = [
            (seat, reworded(question, before, ""), stand)
            for seat, before, stand in zip(seats, told, stands, strict=True)
        ]
        stands = present(await lm.map(lambda call: sit(*call), turns))
    return _verdict(stands, scale)


def weight(confidence: float, scale: Sequence[float]) -> float:
    """The weight of a vote: that of the band its confidence lies in."""
    sure, high, good, fair, low = scale
    if confidence >= 0.8:
        return sure if confidence >= 1 else high if confidence >= 0.9 else good
    return fair if confidence > 0.6 else low


def _verdict(stands: Sequence[Stand], scale: Sequence[float]) -> Answer:
    return elect(ballots(stands), [weight(s.confidence, scale) for s in stands])


def _discussion(stands: Sequence[Stand], _: int) -> str:
    held: dict[str, list[Stand]] = {}
    for stand in stands:
        if stand.answer is not None:
            held.setdefault(stand.answer, []).append(stand)
    groups = []
    for answer, holders in held.items():
        said = "\n\n".join(f"{s.chain.response.strip()}\n(confidence {s.confidence:.2f})" for s in holders)
        groups.append(f"{len(holders)} of {len(stands)} say {answer}:\n{said}")
    if not groups:
        return ""
    return "\n\n".join(groups) + (
        "\n\nReview these solutions, say with which you agree and why, and solve the problem again.\n\n"
    )


def _scale(weights: str) -> list[float]:
    try:
        scale = [float(w) for w in weights.split()]
    except ValueError:
        scale = []
    if len(scale) != 5 or not all(0 <= w < float("inf") for w in scale):
        raise UserError(f"round-table: weights={weights!r}; expected five numbers, such as '1 0.8 0.5 0.3 0.1'")
    return scale
