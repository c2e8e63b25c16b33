"""Acting in an environment, turn by turn: what `act`, `act-with-state`, `plan-and-replan` and `reflect` share.

A turn is lines such as `Thought: ...`, then `Action: ...` and `Observation: ...`.  The labels are told, so that a weak
model keeps the form; the rest of each line is sampled; an observation is told as the environment's, so that learning
can tell it from what the model said.  The actions in a response are those that were done, in order.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from trivium.search.lm import LM, Chain
from trivium.types import Answer, Question

SOLVED = "Solved."
"""What the last observation of an episode says if the goal was reached; an option `solved` has it for other worlds."""

Decide = Callable[[Chain], Awaitable[Chain]]
"""Goes on from all that was said and seen up to an action, which is the last line sampled."""


@dataclass(frozen=True, slots=True)
class Played:
    """An episode: all that was `said` and seen, the chain that ends it, the actions done, and whether the environment
    said that it is solved, or that it is not (`None`: it was not over).
    """

    chain: Chain
    said: str
    steps: int
    solved: bool | None

    def answer(self, lm: LM) -> Answer:
        """The actions done; confidence 1 where the environment said `solved`, 0 where it ended otherwise."""
        confidence = None if self.solved is None else float(self.solved)
        return Answer(lm.answer(self.said), self.said, self.chain.node, confidence)


async def play(
    question: Question,
    lm: LM,
    decide: Decide,
    *,
    max_steps: int,
    solved: str,
    history: int = 0,
    repeats: int = 0,
    offer: bool = True,
) -> Played:
    """One episode, from `reset` until it is over or `max_steps` actions are done.

    With `history`, only so many turns are in view, told anew below the question.  With `repeats`, an episode in which
    the same action meets the same observation more than so many times in a row is given up.  What was done so far is
    offered as the answer after each action, if `offer` allows.  Raises UserError for a task without an environment.
    """
    async with lm.episode:
        seen = await lm.reset()
        chain = _observe(lm, lm.begin(question), seen)
        played, turns = Played(chain, chain.response, 0, None), [chain.response]
        last, again = ("", ""), 0
        while played.solved is None and played.steps < max_steps and not 0 < repeats < again:
            if 0 < history < len(turns):
                chain = lm.tell(lm.begin(question), "".join(turns[-history:]), source="prompt")
            before = len(chain.response)
            chain = await decide(chain)
            action = chain.text.strip()
            seen, over = await lm.act(action)
            chain = _observe(lm, chain, seen)
            turns.append(chain.response[before:])
            played = Played(chain, "".join(turns), played.steps + 1, solved in seen if over else None)
            last, again = (action, seen), again + 1 if last == (action, seen) else 1
            if offer:
                lm.offer(played.answer(lm))
    return played


async def say(
    lm: LM, chain: Chain, label: str, *, max_tokens: int, n: int = 1, temperature: float = 0.0
) -> list[Chain]:
    """Sample the rest of a line that begins with `label:`, in `n` ways."""
    start = lm.tell(chain, f"{_newline(chain)}{label}:", source="prompt")
    return await lm.extend(start, n=n, stop="\n", max_tokens=max_tokens, temperature=temperature)


def after(lm: LM, labels: tuple[str, ...], *, max_tokens: int, temperature: float) -> Decide:
    """Decides by one line for each label, and then the action, each of at most `max_tokens`."""

    async def decide(chain: Chain) -> Chain:
        for label in (*labels, "Action"):
            [chain] = await say(lm, chain, label, max_tokens=max_tokens, temperature=temperature)
        return chain

    return decide


def _observe(lm: LM, chain: Chain, seen: str) -> Chain:
    return lm.tell(chain, f"{_newline(chain)}Observation: {seen}\n", source="environment")


def _newline(chain: Chain) -> str:
    """What is missing to begin a line: a model may end one without a line break."""
    return "" if chain.response.endswith("\n") or not chain.response else "\n"
