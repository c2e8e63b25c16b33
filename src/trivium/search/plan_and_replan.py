"""`plan-and-replan`: look ahead in an imagined world, do the first action alone, and plan again from what was seen."""

from __future__ import annotations

from dataclasses import dataclass

from trivium.search import check_counts
from trivium.search.acting import SOLVED, play, say
from trivium.search.lm import LM, Chain, Scorer
from trivium.types import Answer, Question
from trivium.verify.parse import plain_action


@dataclass(frozen=True, slots=True)
class _Plan:
    """An imagined course: its end, and its first action, which is the real one if the plan is chosen."""

    end: Chain
    first: Chain


async def plan_and_replan(
    question: Question,
    lm: LM,
    *,
    depth: int = 2,
    breadth: int = 3,
    keep: int = 1,
    by: str | Scorer = "self:n=3",
    temperature: float = 0.7,
    max_steps: int = 50,
    max_tokens: int = 48,
    solved: str = SOLVED,
) -> Answer:
    """Propose actions, imagine what follows, judge, do the first action of the best plan alone, plan anew (RAFA).

    Liu et al. 2023, arXiv:2309.17382: one model proposes (their Elite, `breadth` ways), predicts the observation
    (Model) and judges (Critic, the value `by`), each of them reading all that really happened; `keep` plans survive a
    level, of `depth` levels.  The critic's 3 polls are theirs, where a policy cannot score.  Departures: the memory is
    the episode itself, without written lessons; every step is planned anew, where their theory waits until enough was
    learnt; the first action alone is done, where their game of 24 sends the whole plan.  Feedback is what the
    environment says and no more.  Where all proposals agree nothing is imagined.  The trace keeps what was imagined,
    and its values, beside what happened.  Abstention and confidence as in `act`.
    """
    check_counts("plan-and-replan", depth=depth, breadth=breadth, keep=keep)

    async def propose(chain: Chain) -> list[Chain]:
        said = await say(lm, chain, "Action", n=breadth, max_tokens=max_tokens, temperature=temperature)
        first = {plain_action(c.text): c for c in reversed(said)}  # of equal actions the first said
        return [c for c in said if first[plain_action(c.text)] is c]

    async def imagine(plan: _Plan) -> _Plan:
        [end] = await say(lm, plan.end, "Observation", max_tokens=max_tokens)
        return _Plan(end, plan.first)

    async def grow(plan: _Plan) -> list[_Plan]:
        if solved in plan.end.text:
            return [plan]
        return await lm.map(imagine, [_Plan(chain, plan.first) for chain in await propose(plan.end)])

    async def decide(chain: Chain) -> Chain:
        firsts = await propose(chain)
        if len(firsts) == 1:
            return firsts[0]
        plans = await lm.map(imagine, [_Plan(first, first) for first in firsts])
        for level in range(depth):
            if level:
                plans = [plan for grown in await lm.map(grow, plans) for plan in grown]
            values = await lm.values([plan.end for plan in plans], by, question=question)
            for plan, value in zip(plans, values, strict=True):
                lm.note(plan.end, value=value)
            best = sorted(range(len(plans)), key=lambda i: -values[i])
            plans = [plans[i] for i in best[:keep]]
        return plans[0].first

    return (await play(question, lm, decide, max_steps=max_steps, solved=solved)).answer(lm)
