"""`best-of-n`: several chains of thought, and the one that a score prefers."""

from __future__ import annotations

import math

from trivium.search.lm import LM, Scorer
from trivium.types import Answer, Question


async def best_of_n(
    question: Question, lm: LM, *, n: int | None = 16, temperature: float = 0.7, by: str | Scorer = "logprob"
) -> Answer:
    """Sample n chains of thought and keep the one with the best score; n=none samples until the budget is spent.

    Stiennon et al. 2020, arXiv:2009.01325 and Cobbe et al. 2021, arXiv:2110.14168, who score by a trained model; give
    one as a function of (question, response), or its address `package.module:function`.  `by` is otherwise the name of
    a value, such as `logprob` or `self`; with `oracle`, the task's own verifier, this is an upper bound and no method.
    Chains with an answer come before chains without, and whole ones before one that the budget cut short, which would
    be read by its scratch work; ties go to the first sampled.
    """
    chains = await lm.sample(question, n=n, temperature=temperature)
    answers = {chain.node: lm.answer(chain) for chain in chains}
    chains = [c for c in chains if answers[c.node] is not None] or chains
    chains = [c for c in chains if c.finish != "budget"] or chains
    best, best_rank = chains[0], (-math.inf, 0)
    lm.offer(best.answering(answers[best.node]))

    async def judge(i: int) -> None:
        nonlocal best, best_rank
        rank = (await lm.value(chains[i], by, question=question), -i)
        if rank > best_rank:
            best, best_rank = chains[i], rank
            lm.offer(best.answering(answers[best.node]))

    await lm.map(judge, range(len(chains)))
    return best.answering(answers[best.node])
