"""What tree searches share: how responses grow by steps, which of them have ended, the best end so far, and a tree that
remembers visits and values.

A node keeps the `Chain` it stands for, whose `response` is all the text since the prompt; a response has at most
`max_tokens` tokens whatever the depth, so memory grows linearly with the number of nodes.  Token ids and log-probs are
shared with the trace.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from trivium.errors import BudgetExhausted, UserError
from trivium.search.lm import LM, Chain
from trivium.search.vote import majority
from trivium.types import Answer

A = TypeVar("A")
B = TypeVar("B")
Rule = Literal["uct", "puct"]


class Steps:
    """How chains grow: a step ends with `delimiter`, and a chain that ends without one has ended for good.

    On the command line a line break in `delimiter` is written `\\n`.
    """

    def __init__(self, lm: LM, delimiter: str, temperature: float) -> None:
        self.lm, self.temperature = lm, temperature
        self.delimiter = delimiter.replace("\\n", "\n")
        if not delimiter:
            raise UserError("delimiter is empty; expected what ends a step, such as a line break")

    async def next(self, chain: Chain, n: int) -> list[Chain]:
        """Up to `n` next steps, those of equal text but for white space taken once; none where the response is full.

        Over all its steps a response gets the `max_tokens` of the run, as a plain sample does.  An empty line is no
        step: what comes after it is.
        """
        steps: list[Chain] = []
        while n and (room := self._room(chain)) > 0:
            drawn = await self.lm.extend(chain, n=n, stop=self.delimiter, temperature=self.temperature, max_tokens=room)
            empty = [step for step in drawn if not step.text.strip() and not self.ended(step)]
            steps += [step for step in drawn if step not in empty]
            chain, n = empty[0] if empty else chain, len(empty)
        return distinct(steps)

    async def finish(self, chain: Chain, n: int = 1, temperature: float | None = None) -> list[Chain]:
        """`n` continuations to the end; the chain itself where the response is full."""
        room = self._room(chain)
        if room < 1:
            return [chain]
        temperature = self.temperature if temperature is None else temperature
        return await self.lm.sample(chain, n=n, temperature=temperature, max_tokens=room)

    def ended(self, step: Chain) -> bool:
        """Whether no step comes after this one: the policy ended the response, or ran out of tokens."""
        return step.finish != "stop" or self.delimiter not in step.text

    def _room(self, chain: Chain) -> int:
        return self.lm.sampling.max_tokens - self.lm.sampled(chain)


def distinct(chains: Iterable[Chain]) -> list[Chain]:
    """The first chain of each text, white space around it apart."""
    first: dict[str, Chain] = {}
    for chain in chains:
        first.setdefault(chain.text.strip(), chain)
    return list(first.values())


async def each(lm: LM, function: Callable[[A], Awaitable[B]], items: Sequence[A]) -> list[B]:
    """`lm.map`; but items that take turns, or stand alone, are no branches: they are numbered in the search itself.

    Only so do equal seeds grow the trees that were measured before `map` took turns.
    """
    if len(items) == 1 or lm.limited:
        return [await function(item) for item in items]
    return await lm.map(function, items)


class Ends:
    """The finished chains of an attempt.  The best so far is offered, so that a cut budget returns it.

    Those with an answer come before those without, then those that ended by themselves, then those of higher value;
    ties go to the first.
    """

    def __init__(self, lm: LM) -> None:
        self.lm = lm
        self.best: Chain | None = None
        self.finished = 0
        self._best: tuple[tuple[bool, bool, float], str | None] = ((False, False, -math.inf), None)
        self._read: dict[int, str | None] = {}
        self._ballots: list[str] = []
        self._speakers: dict[str, tuple[float, Chain]] = {}

    def add(self, chain: Chain, value: float, ended: bool = True) -> str | None:
        """Take a chain with its value, and give its answer.  `ended=False`: it is only a beginning, and has no vote."""
        if chain.node not in self._read:
            self._read[chain.node] = self.lm.answer(chain)
        answer, whole = self._read[chain.node], ended and chain.finish == "stop"
        self.finished += ended
        rank = (answer is not None, whole, value)
        if self.best is None or rank > self._best[0]:
            self.best, self._best = chain, (rank, answer)
            self.lm.offer(self.answer())
        if whole and answer is not None:
            self._ballots.append(answer)
            if answer not in self._speakers or value > self._speakers[answer][0]:
                self._speakers[answer] = value, chain
        return answer

    def answer(self) -> Answer:
        """The best chain's answer.  Raises BudgetExhausted where there is no chain: only a budget ends so early."""
        if self.best is None:
            raise BudgetExhausted("the budget was spent before any response had ended")
        return self.best.answering(self._best[1])

    def vote(self) -> Answer:
        """The answer most ends give, from the best chain that gives it, with its share of the votes as confidence."""
        winner, share = majority(self._ballots)
        return self.answer() if winner is None else self._speakers[winner][1].answering(winner, share)


@dataclass(slots=True, eq=False)
class TreeNode:
    """A step in a search tree.  The sum of the values backed up through it is `total`.

    `tip` is the chain that its children go on from.  `ended`: nothing comes after it.
    `end` is the best finished chain that its own evaluation saw.  There is no way up: a search knows its path.
    """

    chain: Chain
    tip: Chain
    depth: int = 0
    ended: bool = False
    prior: float = 1.0
    children: list[TreeNode] = field(default_factory=list)
    visits: int = 0
    total: float = 0.0
    end: Chain | None = None

    @property
    def value(self) -> float:
        return self.total / self.visits if self.visits else 0.0


class Tree:
    """Nodes with visits and mean values, which the trace's nodes get too.

    Values are scaled by the lowest and highest seen before they are weighed against exploration, as MuZero does
    (Schrittwieser et al. 2020, arXiv:1911.08265), so that judgements of any range can be used.
    """

    def __init__(self, lm: LM, root: Chain) -> None:
        self.lm, self.root = lm, TreeNode(root, root)
        self._low, self._high = math.inf, -math.inf

    def descend(self, rule: Rule, exploration: float) -> list[TreeNode]:
        """The path from the root to a leaf along the children that the rule prefers; ties go to the first."""
        score = SCORES[rule]
        path = [self.root]
        while children := path[-1].children:
            visits = path[-1].visits
            path.append(max(children, key=lambda child: score(child, self._scaled(child), visits, exploration)))
        return path

    def backup(self, path: list[TreeNode], value: float) -> None:
        """Book one visit of this value on every node of a path from the root."""
        self._low, self._high = min(self._low, value), max(self._high, value)
        for node in reversed(path):
            node.visits += 1
            node.total += value
            self.lm.note(node.chain, visits=node.visits, value=node.value)

    def most_visited(self) -> tuple[TreeNode, Chain | None]:
        """Where the most visited path leads, and the deepest end that its nodes saw; `None` if they saw none."""
        node, end = self.root, self.root.end
        while tried := [child for child in node.children if child.visits]:
            node = max(tried, key=lambda child: child.visits)
            end = node.end or end
        return node, end

    def _scaled(self, node: TreeNode) -> float:
        spread = self._high - self._low
        return (node.value - self._low) / spread if node.visits and spread > 0 else 0.0


def uct(node: TreeNode, value: float, parent_visits: int, c: float) -> float:
    """Q + c sqrt(ln N / n); what was never visited comes first.  Kocsis and Szepesvari 2006."""
    return value + c * math.sqrt(math.log(parent_visits) / node.visits) if node.visits else math.inf


def puct(node: TreeNode, value: float, parent_visits: int, c: float) -> float:
    """Q + c P sqrt(N) / (1 + n), P being the node's prior.  Rosin 2011; Silver et al. 2017, arXiv:1712.01815."""
    return value + c * node.prior * math.sqrt(parent_visits) / (1 + node.visits)


SCORES: dict[Rule, Callable[[TreeNode, float, int, float], float]] = {"uct": uct, "puct": puct}


def likelihood(chain: Chain) -> float:
    """exp(mean log p) of what the chain's last call sampled; 1 where the policy gives no log-probs."""
    return math.exp(sum(chain.logprobs) / len(chain.logprobs)) if chain.logprobs else 1.0
