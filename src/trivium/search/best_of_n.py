"""`best-of-n`: several chains of thought, and the one that a score prefers."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable

from trivium.errors import Unsupported, UserError
from trivium.search.lm import LM, Chain
from trivium.types import Answer, Question

Scorer = Callable[[Question, str], float]
"""A judgement of a response that needs no reference: higher is better."""


async def best_of_n(
    question: Question, lm: LM, *, n: int | None = 16, temperature: float = 0.7, by: str | Scorer = "logprob"
) -> Answer:
    """Sample n chains of thought and keep the one with the best score; n=none samples until the budget is spent.

    Stiennon et al. 2020, arXiv:2009.01325 and Cobbe et al. 2021, arXiv:2110.14168, who score by a trained model; give
    one as a function of (question, response), or its address `package.module:function`.  `by` is otherwise `logprob`
    (mean log-probability of a chain's tokens), or `oracle`: the task's own verifier, an upper bound and no method,
    which is metered and flagged.  Chains with an answer come before chains without; ties go to the first sampled.
    """
    chains = await lm.sample(question, n=n, temperature=temperature)
    answers = {chain.node: lm.answer(chain) for chain in chains}
    chains = [c for c in chains if answers[c.node] is not None] or chains
    best, best_score = chains[0], -math.inf
    lm.offer(best.answering(answers[best.node]))
    scorer = _import(by) if isinstance(by, str) and ":" in by else by
    for chain in chains:
        score = await _score(question, lm, chain, scorer)
        if score > best_score:
            best, best_score = chain, score
            lm.offer(best.answering(answers[best.node]))
    return best.answering(answers[best.node])


async def _score(question: Question, lm: LM, chain: Chain, by: str | Scorer) -> float:
    if callable(by):
        return by(question, chain.response)
    if by == "oracle":
        verdict = await lm.oracle(chain.response)
        return -math.inf if verdict.score is None else verdict.score
    if by == "logprob":
        return mean_logprob(chain)
    raise UserError(f"best-of-n: by={by!r} is no score; expected logprob, oracle or package.module:function")


def mean_logprob(chain: Chain) -> float:
    """Mean log-probability per token, in nats; -inf for a chain of no tokens."""
    if not chain.logprobs and chain.text:
        raise Unsupported(
            "best-of-n:by=logprob needs log-probs, and this policy gives none; "
            "use --policy tiny, smollm2 or hf:FOLDER, or choose by=package.module:function"
        )
    return sum(chain.logprobs) / len(chain.logprobs) if chain.logprobs else -math.inf


def _import(address: str) -> Scorer:
    module, _, name = address.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"best-of-n: by={address} cannot be imported ({error}); expected package.module:function"
        ) from error
    if not callable(found):
        raise UserError(f"best-of-n: by={address} is no function of (question, response)")
    scorer: Scorer = found
    return scorer
