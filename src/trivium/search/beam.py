"""`beam`: several beginnings of a solution side by side, of which the best-valued are kept after each step."""

from __future__ import annotations

from trivium.search import check_counts
from trivium.search.lm import LM, Scorer
from trivium.search.tree import Ends, Steps, each
from trivium.types import Answer, Question


async def beam(
    question: Question,
    lm: LM,
    *,
    width: int = 4,
    branch: int = 4,
    depth: int = 8,
    by: str | Scorer = "logprob",
    temperature: float = 0.7,
    delimiter: str = "\n",
) -> Answer:
    """Grow solutions step by step, keep the best-valued beginnings, and answer with the best finished one.

    Xie et al. 2023, arXiv:2305.00633, whose beam is guided by `by=self` times the likelihood of the steps, and is
    sampled; here `by` alone ranks, without noise.  Each of at most `width` beginnings gets `branch` next steps, equal
    ones taken once.  A finished chain takes its place in the beam with it and competes at the end; what is unfinished
    after `depth` steps is continued to its end, once.  Abstains where no end has an answer; gives no confidence.
    """
    check_counts("beam", width=width, branch=branch, depth=depth)
    steps, ends = Steps(lm, delimiter, temperature), Ends(lm)
    frontier, places = [lm.begin(question)], width
    for level in range(depth + 1):
        last = level == depth
        grown = await each(lm, steps.finish if last else lambda chain: steps.next(chain, branch), frontier)
        kids = [kid for group in grown for kid in group]
        values = await each(lm, lambda kid: lm.value(kid, by, question=question), kids)
        # Python's sort is stable: ties go to the first sampled.
        ranked = sorted(zip(kids, values, strict=True), key=lambda rated: -rated[1])
        frontier = []
        for kid, value in ranked[:places]:
            lm.note(kid, value=value)
            ended = last or steps.ended(kid)
            ends.add(kid, value, ended)
            if not ended:
                frontier.append(kid)
        places = len(frontier)
        if not frontier:
            break
    return ends.answer()
