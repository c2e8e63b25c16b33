"""`weighted-vote`: several chains of thought that vote with different weights."""

from __future__ import annotations

import math
from collections.abc import Sequence

from trivium.errors import UserError
from trivium.search.ballots import cast, voting
from trivium.search.driver import Method
from trivium.search.lm import LM, Scorer
from trivium.search.vote import elect
from trivium.types import Answer, Question


async def weighted_vote(
    question: Question,
    lm: LM,
    *,
    n: int | None = 16,
    temperature: float = 0.7,
    by: str | Scorer = "logprob",
    softmax: float | None = None,
    of: str | Method | None = None,
) -> Answer:
    """Sample n chains of thought and return the answer whose chains have the most weight together.

    `by` is the value that weighs a chain: by default `logprob`, the geometric mean of its tokens' probabilities, which
    is the normalised weighted sum of Wang et al. 2022, arXiv:2203.11171, table 1; a verifier's score makes it the vote
    of Li et al. 2022, arXiv:2206.02336.  Weights are the values v_i as they are, or with `softmax=T` exp(v_i / T),
    normalised over the chains that vote, as in Taubenfeld et al. 2025, arXiv:2502.06233 (who tune T; a small one trusts
    the best chain alone, a large one counts heads).  Abstentions, cut chains, ties, n=none and `of` are those of
    `vote`, whose answer this is where the budget ends before all are weighed, or where all weights are 0.  The
    confidence is the winner's share of the weight.  Raises UserError for a value that is no weight.
    """
    if softmax is not None and not softmax > 0:
        raise UserError(f"softmax={softmax:g} is no temperature; expected a number above 0, or none for raw weights")
    ballots = await cast(question, lm, n=n, temperature=temperature, of=of)
    by_number = elect(ballots)
    lm.offer(by_number)
    voters = [i for i, value in enumerate(voting(ballots)) if value is not None]
    values = await lm.values([ballots[i].source for i in voters], by, question=question)
    weight = dict(zip(voters, weights(values, softmax), strict=True))
    by_weight = elect(ballots, [weight.get(i, 0.0) for i in range(len(ballots))])
    return by_weight if by_weight.confidence else by_number


def weights(values: Sequence[float], softmax: float | None) -> list[float]:
    """The values themselves, or exp((v - max v) / softmax).  Raises UserError for what is not finite, or below 0."""
    for value in values:
        if not math.isfinite(value) or (softmax is None and value < 0):
            raise UserError(
                f"a value of {value:g} is no weight; expected 0 or more, or any finite number with softmax=1"
            )
    if softmax is None:
        return list(values)
    top = max(values, default=0.0)
    return [math.exp((value - top) / softmax) for value in values]
