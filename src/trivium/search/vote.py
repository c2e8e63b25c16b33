"""`vote`: several chains of thought, and the answer that most of them reach (self-consistency)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from trivium.search.lm import LM
from trivium.types import Answer, Question


async def vote(question: Question, lm: LM, *, n: int | None = 16, temperature: float = 0.7) -> Answer:
    """Sample n chains of thought and return the most common answer; n=none samples until the budget is spent.

    Wang et al. 2022, arXiv:2203.11171: unweighted votes, temperature 0.7 as in their GPT-3 runs.  A chain without an
    answer abstains, and so does one that the budget cut short unless nothing else answers: it would be read by its
    scratch work.  Ties go to the answer seen first.  The confidence is the winner's share of the votes.
    """
    chains = await lm.sample(question, n=n, temperature=temperature)
    answers = [lm.answer(chain) for chain in chains]
    whole = [None if c.finish == "budget" else a for c, a in zip(chains, answers, strict=True)]
    ballots = answers if all(a is None for a in whole) else whole
    winner, share = majority(ballots)
    return chains[ballots.index(winner)].answering(winner, share)


def majority(ballots: Sequence[str | None]) -> tuple[str | None, float]:
    """The most common answer and its share of the votes cast; `None` abstains, and wins only where nobody votes."""
    votes = Counter(b for b in ballots if b is not None)
    if not votes:
        return None, 0.0
    # `most_common` keeps the order of first appearance among equals.
    winner, count = votes.most_common(1)[0]
    return winner, count / votes.total()
