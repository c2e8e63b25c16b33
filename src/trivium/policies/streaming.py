"""A policy over weights that are here which tells every token as it is drawn, and goes on from raw text.

It is a `LocalPolicy` whose engine has listeners: the samples that are listened to run in the same batch as all others.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from trivium.engine.engine import Engine, Job, Row
from trivium.errors import UserError
from trivium.models.decoder import Decoder
from trivium.policies.local import LocalPolicy
from trivium.policies.pieces import Piece, Unfolding
from trivium.types import Completion, Message, Policy, Request, Segment

Hear = Callable[[Row, bool], None]
"""Is told of a row after every new token, and whether that was its last."""

_HEAR: contextvars.ContextVar[Hear | None] = contextvars.ContextVar("trivium_policies_hear", default=None)
"""Who hears of the job that the current task submits."""


class TellingEngine(Engine):
    """An engine that tells whoever listens of every token of their job."""

    def __init__(self, model: Decoder, **options: Any) -> None:
        super().__init__(model, **options)
        self.listeners: dict[Job, Hear] = {}
        self._left: dict[Job, int] = {}

    def submit(self, job: Job) -> None:
        super().submit(job)
        hear = _HEAR.get()
        if hear is not None:
            self.listeners[job], self._left[job] = hear, job.n

    def cancel(self, job: Job) -> None:
        self._forget_listener(job)
        super().cancel(job)

    def reset(self) -> None:
        self.listeners.clear()
        self._left.clear()
        super().reset()

    def step(self) -> list[Row]:
        ended = super().step()
        if self.listeners:
            for row, over in itertools.chain(((row, False) for row in self.rows), ((row, True) for row in ended)):
                hear = self.listeners.get(row.job)
                if hear is None:
                    continue
                hear(row, over)
                if over:
                    self._left[row.job] -= 1
                    if not self._left[row.job]:
                        self._forget_listener(row.job)
        return ended

    def _forget_listener(self, job: Job) -> None:
        if self.listeners.pop(job, None) is not None:
            del self._left[job]


@dataclass(eq=False, kw_only=True)
class StreamingPolicy(LocalPolicy):
    """A `LocalPolicy` that streams; made by `streaming`."""

    def __post_init__(self) -> None:
        self.engine = TellingEngine(self.model, eos=self.eos, decode=self.decode, max_rows=self.max_rows)

    def encode(self, messages: Sequence[Message]) -> tuple[int, ...]:
        """As every policy does; without messages no template has a say, and the prefix is all there is."""
        return super().encode(messages) if messages else ()

    def raw(self, text: str | Sequence[int]) -> Segment:
        """A prompt as it is: the prefix of a request without messages.  Raises UserError for ids that do not exist."""
        if isinstance(text, str):
            return Segment("prompt", tuple(self.tokenizer.encode(text)), text=text)
        if any(not 0 <= i < self.model.c.vocab for i in text):
            most = self.model.c.vocab - 1
            raise UserError(f"the prompt has token ids that {self.name} does not know; expected 0 to {most}")
        return Segment("prompt", tuple(text), text=self.decode(text))

    async def count(self, request: Request, drawn: Callable[[], None]) -> list[Completion]:
        """As `sample`, and `drawn` is called for every token when it is drawn: also of a call that is broken off."""
        before = _HEAR.set(lambda row, over: drawn())
        try:
            return await self.sample(request)
        finally:
            _HEAR.reset(before)

    async def stream(self, request: Request) -> AsyncGenerator[list[Piece], None]:
        """What `sample` gives, as it is drawn: after each step the new pieces of this request's samples.

        Who reads slowly gets longer pieces.  Closing the generator takes the samples out of the batch.  Raises what
        `sample` raises, at the latest in place of the last piece.
        """
        fresh, news = dict[int, tuple[Row, bool]](), asyncio.Event()

        def hear(row: Row, over: bool) -> None:
            fresh[row.index] = row, over
            news.set()

        context = contextvars.copy_context()
        context.run(_HEAR.set, hear)
        call = asyncio.get_running_loop().create_task(self.sample(request), context=context)
        call.add_done_callback(lambda _: news.set())
        texts = [Unfolding(self.decode, request.sampling.stop) for _ in range(request.n)]
        shared: Segment | None = None
        try:
            while fresh or not call.done():
                await news.wait()
                news.clear()
                pieces = []
                for row, over in fresh.values():
                    if over and shared is None:
                        shared = self.prompt_segment(row.job.prompt, self.version)
                    pieces.append(self._piece(texts[row.index], row, shared if over else None))
                fresh.clear()
                if pieces:
                    yield pieces
            await call
        finally:
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)

    def _piece(self, text: Unfolding, row: Row, shared: Segment | None) -> Piece:
        """What is new of a row; its last piece where `shared`, the prompt, is given."""
        told = text.told_tokens
        if shared is None:
            said, completion = text.more(row.ids), None
        else:
            completion = self._completion(shared, row)
            said = text.rest(row.ids[:-1] if row.ids[-1] in self.eos else row.ids, completion.text)
        new = slice(told, text.told_tokens)
        return Piece(row.index, said, tuple(row.ids[new]), tuple(row.logprobs[new]), len(row.ids), completion)


def streaming(policy: Policy) -> Policy:
    """The same weights behind a policy that streams, where the weights are here; any other policy as it is."""
    if not isinstance(policy, LocalPolicy) or isinstance(policy, StreamingPolicy):
        return policy
    return StreamingPolicy(**{f.name: getattr(policy, f.name) for f in fields(policy) if f.init})
