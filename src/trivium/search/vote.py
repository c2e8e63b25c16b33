"""`vote`: several chains of thought, and the answer that most of them reach (self-consistency)."""

from __future__ import annotations

from collections import Counter
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


def elect(ballots: Sequence[Ballot]) -> Answer:
    """The first ballot for the majority's answer, its share of the votes as confidence."""
    said = voting(ballots)
    winner, share = majority(said)
    return replace(ballots[said.index(winner)].answer, confidence=share)


def majority(ballots: Sequence[str | None]) -> tuple[str | None, float]:
    """The most common answer and its share of the votes cast; `None` abstains, and wins only where nobody votes."""
    votes = Counter(b for b in ballots if b is not None)
    if not votes:
        return None, 0.0
    # `most_common` keeps the order of first appearance among equals.
    winner, count = votes.most_common(1)[0]
    return winner, count / votes.total()
