"""Answers as server-sent events: pieces as they are drawn, or a method's progress and then its answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import orjson

from trivium.errors import UserError
from trivium.policies.pieces import Piece
from trivium.serve.answer import (
    Choice,
    Heading,
    Token,
    attempts,
    chat_logprobs,
    choice_of,
    finish_reason,
    prompts_told,
    sampled_fields,
    text_logprobs,
    token_texts,
    usage_fields,
    used_by,
)
from trivium.serve.asked import Asked
from trivium.serve.errors import of_user_error
from trivium.serve.watched import Watched
from trivium.types import Policy, Trace, Usage

PROGRESS_SECONDS = 0.5
DONE = b"data: [DONE]\n\n"


def event(data: Mapping[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(data) + b"\n\n"


async def events(asked: Asked, watched: Watched, voices: Mapping[str, Policy]) -> AsyncGenerator[bytes, None]:
    """All events of an answer, the last but for the end being its usage where that was asked for.

    Raises ApiError for what the policy or the method refuses.
    """
    writer = Writer(asked)
    told = 0
    traces: list[Trace] | None = None
    try:
        if asked.method is None:
            async with aclosing(_pieces(asked, watched)) as steps:
                async for at, pieces in steps:
                    for piece in pieces:
                        told += 0 if piece.completion is None else piece.completion.usage.sampled_tokens
                        if said := writer.piece(at * asked.n + piece.index, piece, watched):
                            yield said
        else:
            call = asyncio.ensure_future(attempts(asked, watched, voices))
            try:
                while not (await asyncio.wait({call}, timeout=PROGRESS_SECONDS))[0]:
                    yield writer.progress(watched)
                traces = await call
            finally:
                call.cancel()
                await asyncio.gather(call, return_exceptions=True)
            yield writer.progress(watched)
            for index, choice in enumerate(choice_of(trace, asked) for trace in traces):
                told += choice.told
                yield writer.whole(index, choice)
    except UserError as error:
        raise of_user_error(error, asked.prompt_field, asked.given) from error
    if asked.include_usage:
        yield writer.usage(watched.tally.used if traces is None else used_by(traces), told)
    yield DONE


class Writer:
    """Writes the events of one answer.  What comes again in each is written once."""

    def __init__(self, asked: Asked) -> None:
        self._chat, self._logprobs = asked.chat, asked.logprobs
        kind = "chat.completion.chunk" if asked.chat else "text_completion"
        self._fields = Heading.of(asked).fields(kind) | ({"usage": None} if asked.include_usage else {})
        self._head = b"data: " + orjson.dumps(self._fields)[:-1] + b',"choices":['
        self._begun: set[int] = set()
        self._offsets: dict[int, int] = {}
        self._token_ids, self._prompts, self._n = asked.token_ids, prompts_told(asked), asked.n
        self._drawn: dict[int, tuple[list[int], list[float]]] = {}
        self._ids_told: dict[int, int] = {}

    def piece(self, index: int, piece: Piece, watched: Watched) -> bytes:
        """What is new of a choice; nothing where nothing is."""
        tokens = token_texts(watched, piece.ids, piece.logprobs) if self._logprobs else None
        if self._token_ids:
            ids, logprobs = self._drawn.setdefault(index, ([], []))
            ids += piece.ids
            logprobs += piece.logprobs
        said = self._choice(index, piece.text, tokens, None, self._new_ids(index)) if piece.text or tokens else b""
        if piece.completion is not None:
            if self._token_ids:
                self._drawn[index] = list(piece.completion.segment.ids), list(piece.completion.segment.logprobs)
            said += self._choice(index, "", None, finish_reason(piece.completion.finish), self._new_ids(index))
        return said

    def _new_ids(self, index: int) -> dict[str, Any]:
        """The ids of a choice that no event had yet."""
        if not self._token_ids:
            return {}
        ids, logprobs = self._drawn[index]
        told, self._ids_told[index] = self._ids_told.get(index, 0), len(ids)
        return sampled_fields(ids[told:], logprobs[told:])

    def whole(self, index: int, choice: Choice) -> bytes:
        """A method's answer, which is there at once."""
        extra = {} if choice.answer is None else {"answer": choice.answer}
        return self._choice(index, choice.text, None, None) + self._choice(index, "", None, choice.finish, extra)

    def progress(self, watched: Watched) -> bytes:
        """How far a method is: an empty piece, to which clients that know nothing of it add nothing."""
        spent = {"sampled_tokens": watched.tally.sampled, "calls": watched.tally.used.calls}
        choice = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": None}
        return event(self._fields | {"choices": [choice], "progress": spent})

    def usage(self, used: Usage, told: int) -> bytes:
        return event(self._fields | {"choices": [], "usage": usage_fields(used, told)})

    def _choice(
        self, index: int, text: str, tokens: Sequence[Token] | None, finish: str | None, extra: Mapping[str, Any] = {}
    ) -> bytes:
        choice: dict[str, Any] = {"index": index, "finish_reason": finish, "logprobs": None}
        begins = not self._begun if self._chat else index not in self._begun
        beginning = self._prompts[index // self._n] if begins and self._token_ids else {}
        if self._chat:
            delta: dict[str, Any] = {} if finish is not None and index in self._begun else {"content": text}
            if index not in self._begun:
                delta["role"] = "assistant"
            choice["delta"] = delta
            if tokens:
                choice["logprobs"] = chat_logprobs(tokens)
        else:
            choice |= {"text": text, **beginning}
            if tokens:
                offset = self._offsets.get(index, 0)
                choice["logprobs"] = text_logprobs(tokens, offset)
                self._offsets[index] = offset + sum(len(text) for text, _ in tokens)
        self._begun.add(index)
        end = b"]," + orjson.dumps(beginning)[1:] if beginning and self._chat else b"]}"
        return self._head + orjson.dumps({**choice, **extra}) + end + b"\n\n"


async def _pieces(asked: Asked, watched: Watched) -> AsyncGenerator[tuple[int, list[Piece]], None]:
    """The pieces of each request, with its place."""
    if len(asked.requests) > 1:
        async with aclosing(_merged([watched.stream(request) for request in asked.requests])) as several:
            async for step in several:
                yield step
    else:
        async with aclosing(watched.stream(asked.requests[0])) as steps:
            async for pieces in steps:
                yield 0, pieces


async def _merged(
    sources: Sequence[AsyncGenerator[list[Piece], None]],
) -> AsyncGenerator[tuple[int, list[Piece]], None]:
    """What several generators give, as it comes, each with its place; one that fails ends all."""
    queue: asyncio.Queue[tuple[int, list[Piece] | Exception | None]] = asyncio.Queue(maxsize=len(sources))

    async def read(at: int) -> None:
        try:
            async with aclosing(sources[at]) as source:
                async for item in source:
                    await queue.put((at, item))
        except Exception as error:
            await queue.put((at, error))
        else:
            await queue.put((at, None))

    readers = [asyncio.ensure_future(read(at)) for at in range(len(sources))]
    left = len(readers)
    try:
        while left:
            at, item = await queue.get()
            if isinstance(item, Exception):
                raise item
            if item is None:
                left -= 1
            else:
                yield at, item
    finally:
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
