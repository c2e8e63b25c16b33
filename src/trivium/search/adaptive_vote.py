"""`adaptive-vote`: chains of thought in small waves, until the lead of one answer is safe (Adaptive-Consistency)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from trivium.errors import BudgetExhausted, UserError
from trivium.search.ballots import Ballot, allowance_left, cast, voting
from trivium.search.driver import Method
from trivium.search.lm import LM
from trivium.search.vote import elect
from trivium.types import Answer, Question


async def adaptive_vote(
    question: Question,
    lm: LM,
    *,
    n: int | None = 40,
    wave: int = 4,
    threshold: float = 0.95,
    temperature: float = 0.7,
    of: str | Method | None = None,
) -> Answer:
    """Vote with chains of thought drawn in small waves, and stop as soon as the leading answer's lead is safe.

    Aggarwal et al. 2023, arXiv:2305.11860: at most 40 samples, temperature 0.7; safe is a lead with `lead` above the
    threshold of 0.95 (their Beta criterion, which they find as good as their Dirichlet one).  They look after every
    sample; waves of 4 share a batch, and 4 votes that agree are just enough.  A lead that the remaining samples could
    not overtake ends it as well: the answer is then that of all n.  The threshold holds for one look; as there are
    several, the chance of stopping for a wrong leader is somewhat higher.  Abstentions, cut chains, ties, confidence
    and `of` are those of `vote`; n=none draws until the lead is safe or the budget is spent.  Raises UserError for a
    number out of range.
    """
    if wave < 1 or (n is not None and n < 1):
        raise UserError(f"n={n} in waves of {wave}: expected 1 or more of each")
    if not 0.5 <= threshold <= 1:
        raise UserError(f"threshold={threshold:g} is no chance that a leader leads; expected 0.5 to 1")
    if n is None:
        lm.need_limit()
    ballots: list[Ballot] = []
    left, rest = math.inf, math.inf if n is None else n
    while rest > 0 and not (n is None and allowance_left(lm) == left):
        left, size = allowance_left(lm), int(min(wave, rest))
        try:
            drawn = await cast(question, lm, n=size, temperature=temperature, of=of)
        except BudgetExhausted:
            if not ballots:
                raise
            break
        ballots, rest = [*ballots, *drawn], rest - size
        lm.offer(elect(ballots))
        first, second = _top_two(voting(ballots))
        if lead(first, second) > threshold or first > second + rest:
            break
    return elect(ballots)


def lead(first: int, second: int) -> float:
    """The posterior chance that an answer with `first` votes is more common than its rival with `second`.

    P(p > 1/2) for p ~ Beta(first + 1, second + 1), the posterior after a uniform prior over the two answers' shares;
    equal to P(X <= first) for X ~ Binomial(first + second + 1, 1/2), which is exact in whole numbers.
    """
    coins = first + second + 1
    return sum(math.comb(coins, heads) for heads in range(first + 1)) / (1 << coins)


def _top_two(said: Sequence[str | None]) -> tuple[int, int]:
    counts = [count for _, count in Counter(value for value in said if value is not None).most_common(2)]
    first, second = (*counts, 0, 0)[:2]
    return first, second
