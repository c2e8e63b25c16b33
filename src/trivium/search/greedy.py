"""`greedy`: one chain of thought, the most likely token each time."""

from __future__ import annotations

from trivium.search.lm import LM
from trivium.types import Answer, Question


async def greedy(question: Question, lm: LM) -> Answer:
    """One chain of thought at temperature 0.

    Wei et al. 2022, arXiv:2201.11903.  The question's own messages ask for the work to be shown.
    """
    [chain] = await lm.sample(question, temperature=0.0, top_p=1.0, top_k=0)
    return chain.answering(lm.answer(chain))
