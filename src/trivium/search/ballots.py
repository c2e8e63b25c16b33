"""Ballots: several answers to one question, each a sample of the policy or a run of an inner method."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from trivium.errors import BudgetExhausted, UserError
from trivium.search import of as inner_method
from trivium.search.driver import Method
from trivium.search.lm import LM, Chain
from trivium.types import Answer, Question


class Ballot(NamedTuple):
    """One answer; `value` `None` abstains.

    `source` is what a value judges: the chain that the answer was read from, or its text where the method names no
    node.  `cut` says that the budget may have ended it early, so that it may have been read by scratch work.  `given`
    is what an inner method answered; a chain's answer is made of it when it is asked for, as most never are.
    """

    value: str | None
    source: Chain | str
    cut: bool
    given: Answer | None = None

    @property
    def answer(self) -> Answer:
        if self.given is not None:
            return self.given
        assert isinstance(self.source, Chain)
        return self.source.answering(self.value)


def ballot(chain: Chain, value: str | None) -> Ballot:
    """What a chain says."""
    return Ballot(value, chain, chain.finish == "budget")


async def cast(
    question: Question, lm: LM, *, n: int | None, temperature: float, of: str | Method | None = None
) -> list[Ballot]:
    """`n` ballots, or as many as the budget allows; `n=None` goes on until it is spent.

    Each is a chain of thought at `temperature`, or with `of` a run of that method, which has its own options.  Raises
    BudgetExhausted when there is no ballot at all, UserError for n=None without a limit on tokens or seconds.
    """
    if of is None:
        chains = await lm.sample(question, n=n, temperature=temperature)
        return [ballot(chain, lm.answer(chain)) for chain in chains]
    if n is None:
        return [ballot async for ballot in one_by_one(question, lm, temperature=temperature, of=of)]
    if n < 1:
        raise UserError(f"n={n} runs were asked for; expected 1 or more")
    method = inner_method(of)

    async def run(_: int) -> Ballot | None:
        try:
            answer = await method(question, lm)
        except BudgetExhausted:
            return None
        node, text = answer.node, answer.response
        source = text if node is None else Chain(node, text, text, "stop", ())
        return Ballot(answer.value, source, allowance_left(lm) <= 0, answer)

    ballots = [ballot for ballot in await lm.map(run, range(n)) if ballot is not None]
    if not ballots:
        raise BudgetExhausted("the budget has no room for a run of the inner method")
    return ballots


async def one_by_one(
    question: Question, lm: LM, *, temperature: float, of: str | Method | None = None
) -> AsyncIterator[Ballot]:
    """Ballots until the budget is spent, each cast when what was done with the one before it is paid.

    What one finds no room for, the next would not find either.  Raises BudgetExhausted when there is none at all,
    UserError without a limit on tokens or seconds.
    """
    lm.need_limit()
    left = math.inf
    while allowance_left(lm) < left:
        first, left = left == math.inf, allowance_left(lm)
        try:
            [ballot] = await cast(question, lm, n=1, temperature=temperature, of=of)
        except BudgetExhausted:
            if first:
                raise
            return
        yield ballot


def voting(ballots: Sequence[Ballot]) -> list[str | None]:
    """What each ballot says, `None` where it abstains: a cut one does, unless nothing else answers."""
    whole = [None if ballot.cut else ballot.value for ballot in ballots]
    return [ballot.value for ballot in ballots] if all(value is None for value in whole) else whole


def allowance_left(lm: LM) -> float:
    """What remains of the unit of the budget that will be spent first, as far as one can tell; `inf` without a limit on
    tokens or seconds.
    """
    left = lm.left
    return min(left["sampled_tokens"], left["total_tokens"], left["seconds"])
