"""`vote`: several chains of thought, and the answer that most of them reach (self-consistency)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from trivium.search.ballots import Ballot, cast, voting
from trivium.search.driver import Method
from trivium.search.lm import LM
from trivium.types import Answer, Question


async def vote(
    question: Question, lm: LM, *, n: int | None = 16, temperature: float = 0.7, of: str | Method | None = None
) -> Answer:
    """Sample n chains of thought and return the most common answer; n=none samples until the budget is spent.

    Wang et al. 2022, arXiv:2203.11171: unweighted votes, temperature 0.7 as in their GPT-3 runs.  A chain without an
    answer abstains, and so does one that the budget cut short unless nothing else answers: it would be read by its
    scratch work.  Ties go to the answer seen first.  The confidence is the winner's share of the votes.  With `of`,
    each ballot is a run of that method instead of a chain.
    """
    return elect(await cast(question, lm, n=n, temperature=temperature, of=of))


def elect(ballots: Sequence[Ballot], weights: Sequence[float] | None = None) -> Answer:
    """The first ballot for the majority's answer, with its share of the votes, or of their weights, as confidence."""
    said = voting(ballots)
    winner, share = majority(said, weights)
    return replace(ballots[said.index(winner)].answer, confidence=share)


def majority(said: Sequence[str | None], weights: Sequence[float] | None = None) -> tuple[str | None, float]:
    """The answer of most votes, or of most weight, and its share of all that was cast; ties go to the first seen.

    `None` abstains, and wins only where nobody votes.
    """
    total: dict[str, float] = {}
    for answer, weight in zip(said, weights or [1.0] * len(said), strict=True):
        if answer is not None:
            total[answer] = total.get(answer, 0.0) + weight
    winner = max(total, key=total.__getitem__, default=None)
    return winner, total[winner] / sum(total.values()) if winner is not None and total[winner] else 0.0
