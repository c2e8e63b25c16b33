"""`early_answer`: a chain that is stopped after some tokens and asked for its answer."""

from __future__ import annotations

from trivium.search.lm import LM
from trivium.types import Answer, Question


async def early_answer(
    question: Question, lm: LM, *, most: int, ask: str = "\n#### ", reply: int = 8, temperature: float = 0.0
) -> Answer:
    """One chain of at most `most` tokens; if it has not ended, `ask` is put after it and the answer sampled.

    `ask` is what stands before the answer in the responses that the policy knows.  Muennighoff et al. 2025 (s1, budget
    forcing), arXiv:2501.19393.
    """
    [chain] = await lm.sample(question, temperature=temperature, top_p=1.0, top_k=0, max_tokens=most)
    if chain.finish == "length":
        [chain] = await lm.extend(lm.tell(chain, ask), temperature=temperature, top_p=1.0, top_k=0, max_tokens=reply)
    return chain.answering(lm.answer(chain))
