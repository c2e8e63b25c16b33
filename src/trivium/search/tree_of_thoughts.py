"""`tree-of-thoughts`: search over steps that the policy itself judges, in breadth or in depth with backtracking."""

from __future__ import annotations

from typing import Literal

from trivium.search import check_counts
from trivium.search.beam import beam
from trivium.search.lm import LM, Chain, Scorer
from trivium.search.tree import Ends, Steps, each
from trivium.types import Answer, Question


async def tree_of_thoughts(
    question: Question,
    lm: LM,
    *,
    search: Literal["bfs", "dfs"] = "bfs",
    breadth: int = 5,
    branch: int = 5,
    depth: int = 6,
    threshold: float = 0.5,
    expansions: int = 100,
    by: str | Scorer = "self",
    temperature: float = 0.7,
    delimiter: str = "\n",
) -> Answer:
    """Let the policy judge partial solutions, and search them in breadth, or in depth with pruning and backtracking.

    Yao et al. 2023, arXiv:2305.10601.  BFS keeps the `breadth` best thoughts of a level (5 in their Game of 24): it is
    `beam` with the policy's judgement.  DFS goes on from the best of `branch` thoughts, drops those valued below
    `threshold`, backtracks where none is left, and ends at the first finished solution that passes, or after
    `expansions` expanded thoughts (100 in their crosswords).  Here a thought is a line, values are P(yes) instead of
    sure, likely or impossible, and thoughts are sampled one by one, never proposed in a list.  What is unfinished at
    `depth` is continued to its end; if everything was dropped, so is the best that was seen.  Abstains where no end has
    an answer; gives no confidence.
    """
    check_counts("tree-of-thoughts", breadth=breadth, branch=branch, depth=depth, expansions=expansions)
    if search == "bfs":
        return await beam(
            question, lm, width=breadth, branch=branch, depth=depth, by=by, temperature=temperature, delimiter=delimiter
        )
    steps, ends = Steps(lm, delimiter, temperature), Ends(lm)
    # Thoughts still to visit, the next one last; a child lies above its parent's other children, so popping backtracks.
    stack: list[tuple[Chain, int, bool]] = [(lm.begin(question), 0, False)]
    for _ in range(expansions):
        while stack and stack[-1][2]:
            if lm.answer(stack.pop()[0]) is not None:
                return ends.answer()
        if not stack:
            break
        chain, level, _ = stack.pop()
        kids = await (steps.next(chain, branch) if level < depth else steps.finish(chain))
        values = await each(lm, lambda kid: lm.value(kid, by, question=question), kids)
        for kid, value in sorted(zip(kids, values, strict=True), key=lambda rated: rated[1]):
            ended, passes = level == depth or steps.ended(kid), value >= threshold
            lm.note(kid, value=value, note=None if passes else "pruned")
            ends.add(kid, value, ended)
            if passes:
                stack.append((kid, level + 1, ended))
    if ends.best is not None and not ends.finished:
        [end] = await steps.finish(ends.best)
        ends.add(end, await lm.value(end, by, question=question))
    return ends.answer()
