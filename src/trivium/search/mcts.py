"""`mcts`: Monte Carlo tree search over the steps of a solution, by UCT or PUCT, with rollouts or values by name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Literal

from trivium.errors import BudgetExhausted, UserError
from trivium.search import check_counts
from trivium.search.lm import LM, Scorer
from trivium.search.tree import Ends, Rule, Steps, Tree, TreeNode, distinct, each, likelihood
from trivium.types import Answer, Question

Final = Literal["vote", "visits", "value"]
Evaluate = Callable[[TreeNode], Awaitable[float]]
IDLE = 64
"""Simulations in a row that asked the policy nothing, after which a search without a number of them has settled."""


async def mcts(
    question: Question,
    lm: LM,
    *,
    n: int | None = 32,
    branch: int = 4,
    depth: int = 6,
    select: Rule = "puct",
    exploration: float = 1.5,
    rollouts: int = 1,
    by: str | Scorer = "logprob",
    final: Final = "vote",
    temperature: float = 0.7,
    delimiter: str = "\n",
) -> Answer:
    """Search where visits and values promise most, in n simulations; n=none simulates until the budget is spent.

    Kocsis and Szepesvari 2006 (UCT), Rosin 2011 (PUCT).  Depth 6, exploration 1.5 and the prior of a step, exp of its
    mean log-prob, are those of CPL (Wang et al. 2024, arXiv:2409.08642), who sample 3 to 5 steps a node.  A leaf is
    valued at its first visit and expanded at its second (the root at once) into at most `branch` distinct steps, at
    `depth` into whole ends; then the likeliest of them is valued.  A value is the mean `by` of `rollouts` continuations
    to the end, one without an answer being worth at most 0; with rollouts=0 it is `by` of the beginning itself.  A
    finished step keeps its value, and costs nothing when it is visited again.  Departs from CPL in that values are
    scaled by those seen, finished steps are visited again, and nothing is trained.

    `final`: `vote` is the answer that most simulations ended with, their share being the confidence; `visits` is the
    end of the most visited path, and `value` the end of highest value.  Abstains where no end has an answer.
    """
    check_counts("mcts", branch=branch, depth=depth)
    steps, ends, tree = Steps(lm, delimiter, temperature), Ends(lm), Tree(lm, lm.begin(question))
    evaluate = evaluator(question, steps, ends, by, rollouts)
    with suppress(BudgetExhausted):
        await simulate(tree, steps, evaluate, n=n, branch=branch, depth=depth, select=select, exploration=exploration)
    return await conclude(tree, steps, ends, final)


async def simulate(
    tree: Tree,
    steps: Steps,
    evaluate: Evaluate,
    *,
    n: int | None,
    branch: int,
    depth: int,
    select: Rule,
    exploration: float,
) -> None:
    """Grow a tree by `n` simulations, one after the other; `None`: until the budget is spent or the search has settled.

    Raises BudgetExhausted in the midst of a simulation, which then counts nothing, and UserError for an impossible n.
    """
    if n is not None and n < 1:
        raise UserError(f"n={n} simulations; expected 1 or more, or none for as many as the budget allows")
    if n is None:
        steps.lm.need_limit()
    simulated = idle = 0
    while idle < IDLE if n is None else simulated < n:
        path = tree.descend(select, exploration)
        leaf = path[-1]
        if not leaf.ended and (leaf.visits or leaf is tree.root):
            leaf.children = await _expand(leaf, steps, branch, depth)
            if leaf.children:
                leaf = max(leaf.children, key=lambda child: child.prior)
                path.append(leaf)
            else:
                leaf.ended = True  # the response is full
        idle = idle + 1 if leaf.ended and leaf.visits else 0
        tree.backup(path, await evaluate(leaf))
        simulated += 1


def evaluator(question: Question, steps: Steps, ends: Ends, by: str | Scorer, rollouts: int) -> Evaluate:
    """What gives a node its value, and `ends` every end that it meets on the way: see `mcts`."""
    if rollouts < 0:
        raise UserError(f"rollouts={rollouts}; expected 1 or more, or 0 to judge beginnings by themselves")
    lm = steps.lm

    async def evaluate(node: TreeNode) -> float:
        if node.ended and node.visits:
            ends.add(node.chain, node.value)
            return node.value
        if not node.ended and not rollouts:
            value = await lm.value(node.tip, by, question=question)
            ends.add(node.tip, value, ended=False)
            return value
        found = [node.chain] if node.ended else await steps.finish(node.tip, rollouts)
        values = await each(lm, lambda end: lm.value(end, by, question=question), found)
        worth = [v if ends.add(end, v) is not None else min(0.0, v) for end, v in zip(found, values, strict=True)]
        for end, v in zip(found, worth, strict=True):
            lm.note(end, value=v)
        node.end = found[worth.index(max(worth))]
        return sum(worth) / len(worth)

    return evaluate


async def conclude(tree: Tree, steps: Steps, ends: Ends, final: Final) -> Answer:
    """The answer that `final` stands for; where nothing has ended, that of the most visited beginning gone on greedily.

    Raises BudgetExhausted if the budget ended before there was anything.
    """
    leaf, end = tree.most_visited()
    if end is None and (final == "visits" or not ends.finished):
        with suppress(BudgetExhausted):
            [end] = await steps.finish(leaf.tip, temperature=0.0)
            ends.add(end, leaf.value)
    if final == "visits" and end is not None and (answer := steps.lm.answer(end)) is not None:
        return end.answering(answer)
    return ends.vote() if final == "vote" else ends.answer()


async def _expand(node: TreeNode, steps: Steps, branch: int, depth: int) -> list[TreeNode]:
    last = node.depth == depth
    kids = await (steps.finish(node.tip, branch) if last else steps.next(node.tip, branch))
    return [
        TreeNode(kid, kid, node.depth + 1, last or steps.ended(kid), likelihood(kid))
        for kid in distinct(kids)
        if kid.node != node.tip.node
    ]
