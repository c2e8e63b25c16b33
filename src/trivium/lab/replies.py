"""What a policy says to questions where no verifier may be asked: the ids as sampled, and the answer a parser reads."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trivium.lab.lab import Lab
from trivium.types import Policy, Question, Request, Sampling
from trivium.verify.parse import parse_answer


@dataclass(frozen=True, slots=True)
class Reply:
    """A prompt and a response as token ids; `answer` is `None` where none can be read or the response was cut off."""

    prompt: tuple[int, ...]
    ids: tuple[int, ...]
    answer: str | None


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

    async def every() -> list[list[Reply]]:
        requests = [Request(q.messages, sampling, n, lab.seed * 1_000_003 + i) for i, q in enumerate(questions)]
        groups = await asyncio.gather(*(policy.sample(request) for request in requests))
        return [
            [
                Reply(
                    c.prompt.ids, c.segment.ids,
                    parse_answer(question.answer_format, c.text) if c.finish == "stop" else None,
                )
                for c in group
            ]
            for question, group in zip(questions, groups, strict=True)
        ]  # fmt: skip

    drawn = asyncio.run(every())
    lab.charge(unit, sum(len(reply.ids) for group in drawn for reply in group))
    return drawn
