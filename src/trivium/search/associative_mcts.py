"""`associative-mcts`: tree search in which each step calls to mind something that helps to go on."""

from __future__ import annotations

from contextlib import suppress

from trivium.errors import BudgetExhausted
from trivium.search import check_counts
from trivium.search.lm import LM, Scorer, turn
from trivium.search.mcts import Final, conclude, evaluator, simulate
from trivium.search.reply import if_it_fits
from trivium.search.tree import Ends, Rule, Steps, Tree, TreeNode
from trivium.types import Answer, Message, Question

ASSOCIATE = (
    "Which fact or rule, not said above, helps to go on from here? Reply with one short sentence, and do not solve the "
    "rest."
)


async def associative_mcts(
    question: Question,
    lm: LM,
    *,
    n: int | None = 16,
    branch: int = 3,
    depth: int = 6,
    select: Rule = "uct",
    exploration: float = 1.4,
    beta: float = 0.1,
    rollouts: int = 0,
    by: str | Scorer = "self",
    voice: str | None = None,
    final: Final = "value",
    temperature: float = 0.7,
    association_tokens: int = 32,
    delimiter: str = "\n",
) -> Answer:
    """Search a tree whose steps are each followed by an association, a short fact that helps to go on from there.

    CoAT (Pan et al. 2025, arXiv:2502.02390): UCT, V(n) = F_g(question, step) + beta F_a(step, association), running
    means, the answer of the best path.  The association is asked for in a context of its own, of the policy or of
    another `voice` (their external brain), and told into the response before the next step; one that is empty or
    repeats what was said is left out.  Both qualities are judged by `by`, never by the reference.  The constants are
    ours: the paper's were not at hand.  Otherwise as `mcts`, whose `final` and confidence it has; with rollouts=0 only
    a finished step is an end, and where there is none the most visited beginning is gone on with, greedily.
    """
    check_counts("associative-mcts", branch=branch, depth=depth, association_tokens=association_tokens)
    steps, ends, tree = Steps(lm, delimiter, temperature), Ends(lm), Tree(lm, lm.begin(question))
    brain, judge = lm if voice is None else lm.voice(voice), evaluator(question, steps, ends, by, rollouts)

    async def associate(node: TreeNode) -> float:
        """Tell the node an association; how good it is, 0 for none."""
        asked = turn(question, Message("assistant", node.chain.response), Message("user", ASSOCIATE))
        stop = (*lm.sampling.stop, "\n")
        thoughts = await if_it_fits(
            brain.sample(asked, stop=stop, temperature=temperature, max_tokens=association_tokens)
        )
        if thoughts is None:
            return 0.0
        [thought] = thoughts
        said = " ".join(thought.text.split())
        if not said or said in node.chain.response:
            return 0.0
        node.tip = lm.tell(node.chain, said + steps.delimiter)
        value = await brain.value(thought, by, question=asked)
        lm.note(thought, value=value, note="association")
        return value

    async def evaluate(node: TreeNode) -> float:
        if node.ended or node.visits:
            return await judge(node)
        bonus = beta * await associate(node)
        return await judge(node) + bonus

    with suppress(BudgetExhausted):
        await simulate(tree, steps, evaluate, n=n, branch=branch, depth=depth, select=select, exploration=exploration)
    return await conclude(tree, steps, ends, final)
