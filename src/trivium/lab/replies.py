"""What a policy says to questions where no verifier may be asked: the ids as sampled, and the answer a parser reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trivium.data.unlabelled import Reply
from trivium.lab.lab import Lab
from trivium.search.driver import together
from trivium.types import Policy, Question, Request, Sampling, Segment
from trivium.verify.parse import parse_answer


def replies(
    lab: Lab[Any],
    policy: Policy,
    questions: Sequence[Question],
    *,
    max_tokens: int,
    n: int = 1,
    temperature: float = 0.0,
    unit: str = "sampled_tokens",
) -> list[list[Reply]]:
    """`n` responses to every question, greedy unless a temperature is given; their tokens are counted under `unit`."""
    sampling = Sampling(temperature=temperature, max_tokens=max_tokens)

    requests = [Request(q.messages, sampling, n, lab.seed * 1_000_003 + i) for i, q in enumerate(questions)]
    groups = together(policy.sample(request) for request in requests)
    drawn = [
        [
            Reply(
                c.prompt.ids, c.segment.ids,
                parse_answer(question.answer_format, c.text) if c.finish == "stop" else None,
            )
            for c in group
        ]
        for question, group in zip(questions, groups, strict=True)
    ]  # fmt: skip
    lab.charge(unit, sum(len(reply.ids) for group in drawn for reply in group))
    return drawn


def continued(
    lab: Lab[Any],
    policy: Policy,
    questions: Sequence[Question],
    beginnings: Sequence[str],
    *,
    max_tokens: int,
    temperature: float,
    seed: int,
    unit: str = "sampled_tokens",
) -> list[str]:
    """One response to each question, its beginning put into the policy's mouth; what is sampled after it is counted."""
    sampling = Sampling(temperature=temperature, max_tokens=max_tokens)

    async def one(i: int, question: Question, begun: str) -> str:
        prefix = (Segment("tool", text=begun),) if begun else ()
        [drawn] = await policy.sample(Request(question.messages, sampling, 1, seed * 1_000_003 + i, prefix))
        lab.charge(unit, len(drawn.segment.ids))
        return begun + drawn.text

    asked = zip(questions, beginnings, strict=True)
    return together(one(i, question, begun) for i, (question, begun) in enumerate(asked))
