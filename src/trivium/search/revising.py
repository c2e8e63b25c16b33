"""Draft, check, revise: what `refine` and `self-rethinking` share."""

from __future__ import annotations

from collections.abc import Callable

from trivium.search.flips import DRAFT, revision_of
from trivium.search.lm import LM
from trivium.search.reply import adopted, reply
from trivium.types import Answer, Message, Question


async def revise(
    question: Question,
    lm: LM,
    judge: LM,
    *,
    check: Message,
    again: Message,
    passes: Callable[[str], bool],
    rounds: int,
    temperature: float,
) -> Answer:
    """Draft a solution, and answer anew as long as it does not pass the `check` that `judge` makes.

    All earlier drafts and checks stay in view.  Checks, at most `rounds`, count as judge calls.  A revision that
    `adopted` refuses is dropped and ends the rounds, as does a talk that cannot go on.  The trace's notes say which
    draft each revision replaced (see `flips`).
    """
    [draft] = await lm.sample(question, temperature=temperature)
    lm.note(draft, note=DRAFT)
    answer = draft.answering(lm.answer(draft))
    lm.offer(answer)
    talk: list[Message] = []
    for _ in range(rounds):
        talk += [Message("assistant", draft.response), check]
        judge.count_judgement()
        found = await reply(question, judge, *talk, temperature=temperature)
        if found is None or passes(found.response):
            break
        talk += [Message("assistant", found.response), again]
        revision = await reply(question, lm, *talk, temperature=temperature)
        better = adopted(lm, answer.value, revision)
        if revision is None or better is None:
            break
        lm.note(revision, note=revision_of(draft.node))
        draft, answer = revision, better
        lm.offer(answer)
    return answer
