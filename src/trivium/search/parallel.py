"""`parallel`: one line of thought spawns several, which go on side by side and are joined again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from trivium.errors import BudgetExhausted
from trivium.search import check_counts
from trivium.search.ballots import ballot, voting
from trivium.search.lm import LM, Chain
from trivium.search.reply import if_room
from trivium.search.tree import Steps
from trivium.search.vote import majority
from trivium.types import Answer, Question

NOTHING = "no solution"
CALL_END = "])"

_QUOTED = re.compile(r"\"([^\"]*)\"|'([^']*)'")


@dataclass(frozen=True, slots=True)
class Thread:
    """A child that has ended: what its answer is read from, what it returns to its parent, and tokens it sampled."""

    chain: Chain
    said: str
    returned: str
    answer: str | None
    tokens: int


async def parallel(
    question: Question,
    lm: LM,
    *,
    children: int = 10,
    spawns: int = 1,
    by: Literal["steps", "policy"] = "steps",
    join: Literal["policy", "vote"] = "policy",
    temperature: float = 1.0,
) -> Answer:
    """Let threads go on side by side from one shared beginning, and answer from what they return.

    APR, Learning Adaptive Parallel Reasoning with Language Models; up to 10 children, temperature 1.  by=policy is for
    a policy trained to it: where its text says `spawn(["...", "..."])`, at most `spawns` times, every message becomes
    a thread, which returns what it says in `join("...")`, or else its answer; the parent reads that and goes on.
    by=steps spawns for any policy, once: `children` first lines are drawn, and each different one is a thread, as each
    candidate first operation is in the paper's demonstrations; the parent reads their answers and gives its own.
    join=vote asks nobody: the majority of the threads decides.

    Departs: a child sees all that its parent said, not its message alone, so that this is computed once; children do
    not spawn.  A thread without an answer returns `no solution` and abstains.  The answer is read from what the
    parent says after the last join; where that has none, the threads' majority decides, ties to the first.  The
    confidence is the share of the answering threads that agree.  The parent's last node in the trace notes how
    many of the sampled tokens had to wait for one another, which is the latency of a machine wide enough.
    """
    check_counts("parallel", children=children, spawns=spawns)
    parent, threads, waited, heard = lm.begin(question), list[Thread](), 0, 0
    for _ in range(spawns if by == "policy" else 1):
        parent, new = await (_obey if by == "policy" else _branch)(lm, parent, children, temperature)
        if not new:
            break  # the parent has said all that it had to say
        threads += new
        waited += max(thread.tokens for thread in new)
        heard = len(parent.response)
        lm.offer(_conclude(lm, threads, parent, ""))
        if join == "vote":
            break
        returned = "\n".join(f"Thread {i}: {thread.returned}" for i, thread in enumerate(new, start=1))
        parent = lm.tell(parent, f"\nThe threads returned:\n{returned}\nGoing by these, ")
        heard = len(parent.response)
    else:
        parent = await _more(lm, parent, temperature) or parent
    lm.note(parent, note=f"{lm.sampled(parent) + waited} tokens in sequence")
    return _conclude(lm, threads, parent, parent.response[heard:])


def spawned(text: str) -> list[str]:
    """The messages of the last `spawn(["...", "..."])` in a text; quotes may be left out."""
    _, found, rest = text.rpartition("spawn([")
    if not found:
        return []
    quoted = [a or b for a, b in _QUOTED.findall(rest)]
    return [m.strip() for m in quoted or rest.removesuffix(CALL_END).split(",") if m.strip()]


def joined(text: str) -> str:
    """The message of the last `join("...")` in a text; empty where there is none."""
    return text.rpartition("join(")[2].strip(" \n\"')") if "join(" in text else ""


async def _more(lm: LM, chain: Chain, temperature: float, stop: tuple[str, ...] = ()) -> Chain | None:
    """The chain gone on with, where there is room."""
    return await if_room(lm.extend(chain, stop=stop, temperature=temperature))


async def _branch(lm: LM, parent: Chain, children: int, temperature: float) -> tuple[Chain, list[Thread]]:
    """The parent as it is, and a thread for every different first line after it, each gone on with to its end."""
    steps = Steps(lm, "\n", temperature)

    async def finish(first: Chain) -> Thread:
        whole = first
        if not steps.ended(first):
            try:
                [whole] = await steps.finish(first)
            except BudgetExhausted:
                return Thread(first, first.response, NOTHING, None, lm.sampled(first))
        answer = lm.answer(whole)
        return Thread(whole, whole.response, answer or NOTHING, answer, lm.sampled(whole))

    return parent, await lm.map(finish, await steps.next(parent, children))


async def _obey(lm: LM, parent: Chain, children: int, temperature: float) -> tuple[Chain, list[Thread]]:
    """The parent up to where it spawns or ends, and a thread for every message, each up to what it joins."""
    if parent.response:
        called = await _more(lm, parent, temperature, (CALL_END,))
    else:
        [called] = await lm.extend(parent, stop=CALL_END, temperature=temperature)
    if called is None:
        return parent, []
    orders = spawned(called.text)[:children]
    if not orders and called.text.endswith(CALL_END):
        return await _more(lm, called, temperature) or called, []  # it was some other bracket

    async def child(order: Chain) -> Thread:
        end = await _more(lm, order, temperature, ('")', "')"))
        if end is None:
            return Thread(order, "", NOTHING, None, 0)
        said = joined(end.text) or end.text
        answer = None if said.lower().startswith(NOTHING) else lm.answer(said)
        tokens = lm.sampled(end) - lm.sampled(order)
        return Thread(end, said, joined(end.text) or answer or NOTHING, answer, tokens)

    told = [lm.tell(called, f"\nThread {i}: {order}\n") for i, order in enumerate(orders, start=1)]
    return called, await lm.map(child, told)


def _conclude(lm: LM, threads: Sequence[Thread], parent: Chain, last_words: str) -> Answer:
    """What the parent says last, or else the threads' majority; what the budget cut short comes after what is whole."""
    votes = voting([ballot(thread.chain, thread.answer) for thread in threads])
    (winner, share), answer = majority(votes), lm.answer(last_words)
    cast = len(votes) - votes.count(None)
    if not threads or (answer is not None and (parent.finish != "budget" or not cast)):
        sure = votes.count(answer) / cast if cast else None
        return Answer(answer, last_words, parent.node, sure)
    thread = threads[votes.index(winner)]
    return Answer(winner, thread.said, thread.chain.node, share)
