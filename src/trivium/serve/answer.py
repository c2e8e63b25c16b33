"""A request to choices: plain sampling straight from the policy, methods through the driver."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

from trivium.errors import UserError
from trivium.policies.pieces import before_stop
from trivium.search.driver import run
from trivium.serve.asked import Asked, prompt_ids
from trivium.serve.errors import ApiError, of_user_error
from trivium.serve.watched import Watched
from trivium.types import Completion, Finish, Policy, Segment, Trace, Usage

T = TypeVar("T")
Token = tuple[str, float]
"""A token's text and its log-probability."""

LOG = logging.getLogger("trivium.serve")


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the answers; `tokens` where log-probs were asked for, `answer` where a method read one.

    `told` is how many sampled tokens the text is made of.  `sampled` is what was drawn, where ids were asked for.
    """

    text: str
    finish: str
    told: int
    tokens: tuple[Token, ...] | None = None
    answer: str | None = None
    sampled: Segment | None = None


def finish_reason(finish: Finish) -> str:
    """`stop` for a sample that ended by itself; a budget that is spent is a `length`."""
    return "stop" if finish == "stop" else "length"


async def answered(asked: Asked, watched: Watched, voices: Mapping[str, Policy]) -> tuple[list[Choice], Usage]:
    """All choices, in order, and what they took.  Raises ApiError for what the policy or the method refuses."""
    try:
        if asked.method is not None:
            traces = await attempts(asked, watched, voices)
            return [choice_of(trace, asked) for trace in traces], used_by(traces)
        groups = await _together([_samples(asked, watched, i) for i in range(len(asked.requests))])
    except UserError as error:
        raise of_user_error(error, asked.prompt_field, asked.given) from error
    return [choice for group in groups for choice in group], watched.tally.used


def used_by(traces: Sequence[Trace]) -> Usage:
    return sum((trace.usage for trace in traces), Usage())


async def attempts(asked: Asked, watched: Watched, voices: Mapping[str, Policy]) -> list[Trace]:
    """One attempt of the method a choice.  Raises UserError, and ApiError for an attempt that failed."""
    assert asked.method is not None
    traces = await run(
        asked.method, asked.problems, watched, voices=voices, budget=asked.budget, seed=asked.seed,
        sampling=asked.sampling,
    )  # fmt: skip
    for trace in traces:
        if trace.error:
            LOG.error("request %s: %s failed: %s", asked.id, asked.served.name, trace.error)
            raise failed(asked)
    return traces


def failed(asked: Asked) -> ApiError:
    """What a client is told of a fault that is not its own."""
    return ApiError(
        500,
        f"{asked.served.name} failed; the server's log says why, for request {asked.id}",
        code="failed",
        kind="server_error",
    )


def choice_of(trace: Trace, asked: Asked) -> Choice:
    """An attempt's answer, without the stop string it may end with."""
    told = 0
    if trace.answer_node is not None:
        for segment in trace.path(trace.answer_node):
            told = 0 if segment.source == "prompt" else told + (len(segment.ids) if segment.source == "model" else 0)
    text = before_stop(trace.response, asked.sampling.stop)
    return Choice(text, finish_reason(trace.finish), told, answer=trace.answer)


async def _samples(asked: Asked, watched: Watched, i: int) -> list[Choice]:
    request = asked.requests[i]
    if not asked.logprobs:
        return [plain(c, asked) for c in await watched.sample(request)]
    tokens: list[list[Token]] = [[] for _ in range(request.n)]
    ended: dict[int, Completion] = {}
    async with aclosing(watched.stream(request)) as steps:
        async for pieces in steps:
            for piece in pieces:
                tokens[piece.index] += token_texts(watched, piece.ids, piece.logprobs)
                if piece.completion is not None:
                    ended[piece.index] = piece.completion
    return [plain(ended[i], asked, tuple(tokens[i])) for i in range(request.n)]


def plain(completion: Completion, asked: Asked, tokens: tuple[Token, ...] | None = None) -> Choice:
    """A sample as a choice."""
    text = before_stop(completion.text, asked.sampling.stop)
    sampled = completion.segment if asked.token_ids else None
    return Choice(text, finish_reason(completion.finish), completion.usage.sampled_tokens, tokens, sampled=sampled)


def token_texts(watched: Watched, ids: Sequence[int], logprobs: Sequence[float]) -> list[Token]:
    """The tokens one by one; a part of a character is U+FFFD."""
    return [(watched.decode([i]), p) for i, p in zip(ids, logprobs, strict=True)]


async def _together(calls: Sequence[Awaitable[T]]) -> list[T]:
    """Like `gather`, but when one fails the others are cancelled and waited for."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class Heading:
    """What all parts of one reply have in common."""

    id: str
    created: int
    model: str
    fingerprint: str

    @classmethod
    def of(cls, asked: Asked) -> Heading:
        name = f"{'chatcmpl' if asked.chat else 'cmpl'}-{asked.id}"
        return cls(name, int(time.time()), asked.model, asked.served.policy.version)

    def fields(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model,
                "system_fingerprint": self.fingerprint}  # fmt: skip


def reply(asked: Asked, heading: Heading, choices: Sequence[Choice], usage: Usage) -> dict[str, Any]:
    """The body of a complete answer."""
    write = _chat_choice if asked.chat else _text_choice
    spent = usage_fields(usage, sum(choice.told for choice in choices))
    kind = "chat.completion" if asked.chat else "text_completion"
    written = [write(i, choice) for i, choice in enumerate(choices)]
    body = heading.fields(kind) | {"choices": written, "usage": spent}
    prompts = prompts_told(asked)
    if asked.chat:
        return body | prompts[0]
    for i, choice in enumerate(written if asked.token_ids else ()):
        choice |= prompts[i // asked.n]
    return body


def prompts_told(asked: Asked) -> list[dict[str, Any]]:
    """The field with the ids of each request's prompt, where they were asked for.

    As vLLM has it, a chat's stands in the answer, and each choice of a completion has its own.
    """
    if not asked.token_ids:
        return [{}]
    return [{"prompt_token_ids": prompt_ids(asked.served.policy, request)} for request in asked.requests]


def sampled_fields(ids: Sequence[int], logprobs: Sequence[float]) -> dict[str, Any]:
    """What was drawn: the tokens whose text is in the answer and the others, such as the one that ended the sample."""
    return {"token_ids": ids, "token_logprobs": logprobs}


def usage_fields(usage: Usage, told: int) -> dict[str, Any]:
    """All that was spent; what was sampled and is not in the answer counts as reasoning."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.sampled_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": max(0, usage.sampled_tokens - told)},
        "spent": {"calls": usage.calls, "tool_steps": usage.tool_steps, "judge_calls": usage.judge_calls},
    }


def chat_logprobs(tokens: Sequence[Token]) -> dict[str, Any]:
    return {"content": [_token(text, p) for text, p in tokens], "refusal": None}


def text_logprobs(tokens: Sequence[Token], offset: int = 0) -> dict[str, Any]:
    offsets = [offset]
    for text, _ in tokens[:-1]:
        offsets.append(offsets[-1] + len(text))
    return {
        "tokens": [text for text, _ in tokens], "token_logprobs": [p for _, p in tokens], "top_logprobs": None,
        "text_offset": offsets[: len(tokens)],
    }  # fmt: skip


def _token(text: str, logprob: float) -> dict[str, Any]:
    whole = "\N{REPLACEMENT CHARACTER}" not in text
    return {"token": text, "logprob": logprob, "bytes": list(text.encode()) if whole else None, "top_logprobs": []}


def _chat_choice(index: int, choice: Choice) -> dict[str, Any]:
    return {
        "index": index, "message": {"role": "assistant", "content": choice.text, "refusal": None},
        "logprobs": None if choice.tokens is None else chat_logprobs(choice.tokens), "finish_reason": choice.finish,
        "answer": choice.answer, **_sampled(choice),
    }  # fmt: skip


def _text_choice(index: int, choice: Choice) -> dict[str, Any]:
    logprobs = None if choice.tokens is None else text_logprobs(choice.tokens)
    fields = {"index": index, "text": choice.text, "logprobs": logprobs, "finish_reason": choice.finish}
    return fields | _sampled(choice)


def _sampled(choice: Choice) -> dict[str, Any]:
    return {} if choice.sampled is None else sampled_fields(choice.sampled.ids, choice.sampled.logprobs)
