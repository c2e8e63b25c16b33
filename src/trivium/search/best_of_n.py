"""`best-of-n`: several chains of thought, and the one that a score prefers."""

from __future__ import annotations

import math
from statistics import fmean
from typing import Literal

from trivium.errors import UserError
from trivium.search.ballots import Ballot, cast, one_by_one
from trivium.search.driver import Method
from trivium.search.lm import LM, Scorer
from trivium.search.value import ASKING
from trivium.search.vote import elect
from trivium.types import Answer, Question

Over = Literal["response", "min-step", "mean-step"]


async def best_of_n(
    question: Question,
    lm: LM,
    *,
    n: int | None = 16,
    temperature: float = 0.7,
    by: str | Scorer = "logprob",
    over: Over = "response",
    of: str | Method | None = None,
) -> Answer:
    """Sample n chains of thought and keep the one with the best score; n=none samples until the budget is spent.

    Stiennon et al. 2020, arXiv:2009.01325 and Cobbe et al. 2021, arXiv:2110.14168, who score by a trained model; give
    one as a function of (question, response), or its address `package.module:function`.  `by` is otherwise the name of
    a value, such as `logprob` or `self`; with `oracle`, the task's own verifier, this is an upper bound and no method.
    Chains with an answer come before chains without, and whole ones before one that the budget cut short, which would
    be read by its scratch work; ties go to the first sampled.  With n=none and a value that asks the policy, and so is
    paid from the same budget, each chain is judged before the next is drawn.  Where the budget ends before any is
    judged, the answer is that of `vote`.  `over` is an outcome reward (`response`), or a process
    reward: the least or mean value of the beginnings that end with each line (Lightman et al. 2023, arXiv:2305.20050;
    Wang et al. 2023, arXiv:2312.08935, for whom `by=rollout` stands).  With `of`, the candidates are runs of that
    method instead of chains.
    """
    best: Ballot | None = None
    best_rank = (False, False, -math.inf, 0)

    async def judge(i: int, ballot: Ballot) -> None:
        nonlocal best, best_rank
        standing = (ballot.value is not None, not ballot.cut)
        if standing < best_rank[:2]:
            return
        rank = (*standing, await _worth(question, lm, ballot, by, over), -i)
        if best is None or rank > best_rank:
            best, best_rank = ballot, rank
            lm.offer(ballot.answer)

    if n is None and isinstance(by, str) and by.partition(":")[0] in ASKING:
        async for ballot in one_by_one(question, lm, temperature=temperature, of=of):
            if best is None:
                lm.offer(ballot.answer)
            await judge(0, ballot)  # they come in order, and a later one has to be better
    else:
        ballots = await cast(question, lm, n=n, temperature=temperature, of=of)
        lm.offer(elect(ballots))
        ballots = [b for b in ballots if b.value is not None] or ballots
        ballots = [b for b in ballots if not b.cut] or ballots
        await lm.map(lambda item: judge(*item), enumerate(ballots))
    assert best is not None  # `cast` gives one at least, or raises
    return best.answer


async def _worth(question: Question, lm: LM, ballot: Ballot, by: str | Scorer, over: Over) -> float:
    if over == "response":
        return await lm.value(ballot.source, by, question=question)
    if by == "logprob":
        raise UserError(
            f"over={over} judges beginnings as texts; choose by=self, by=rollout or package.module:function"
        )
    beginning, beginnings = lm.begin(question), []
    for line in ballot.answer.response.splitlines(keepends=True):
        beginning = lm.tell(beginning, line)
        if line.strip():
            beginnings.append(beginning)
    values = await lm.values(beginnings or [ballot.source], by, question=question)
    return min(values) if over == "min-step" else fmean(values)
