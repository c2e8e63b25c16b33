"""A policy over weights that are here which tells every token as it is drawn, and goes on from raw text.

It is a `LocalPolicy` whose engine has listeners and can hold samples to JSON; they run in one batch with all others.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch

from trivium.engine.engine import Engine, Job, Row
from trivium.errors import Unsupported, UserError
from trivium.models.decoder import Decoder
from trivium.policies.held import JsonDraw
from trivium.policies.json_guide import State
from trivium.policies.local import LocalPolicy
from trivium.policies.pieces import Piece, Unfolding
from trivium.types import Completion, Message, Policy, Request, Segment

Hear = Callable[[Row, bool], None]
"""Is told of a row after every new token, and whether that was its last."""


@dataclass(eq=False, slots=True)
class ToldJob(Job):
    """A job of which somebody hears.  `states` says where each sample is in its JSON object, if it is held to one."""

    hear: Hear = lambda row, over: None
    states: list[State] | None = None


class TellingEngine(Engine):
    """An engine that tells whoever listens of every token of their job, and can hold a job to JSON.

    `texts` gives the text of every token, and is asked when it is first needed.
    """

    def __init__(self, model: Decoder, *, texts: Callable[[], Sequence[str]], **options: Any) -> None:
        super().__init__(model, **options)
        self._json = JsonDraw(self.eos, texts)

    def step(self) -> list[Row]:
        ended = super().step()
        for row, over in itertools.chain(((row, False) for row in self.rows), ((row, True) for row in ended)):
            if isinstance(row.job, ToldJob):
                row.job.hear(row, over)
        return ended

    def _sample(self, logits: torch.Tensor) -> list[Row]:
        """As the engine does; the rows that are held to JSON come with one token to choose from."""
        drawn: list[tuple[Row, float]] = []
        for i, row in enumerate(self.rows):
            states = row.job.states if isinstance(row.job, ToldJob) else None
            if states is None:
                continue
            if not drawn:
                logits = logits.clone()
            token, logprob, states[row.index] = self._json.draw(logits[i], row, states[row.index])
            logits[i] = float("-inf")
            logits[i, token] = 0.0
            drawn.append((row, logprob))
        ended = super()._sample(logits)
        for row, logprob in drawn:
            row.logprobs[-1] = logprob
        return ended


@dataclass(eq=False, kw_only=True)
class StreamingPolicy(LocalPolicy):
    """A `LocalPolicy` that streams; made by `streaming`."""

    def __post_init__(self) -> None:
        self.engine = TellingEngine(self.model, texts=self._texts, **self._limits())

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

    async def count(self, request: Request, drawn: Callable[[], None], as_json: bool = False) -> list[Completion]:
        """As `sample`, and `drawn` is called for every token when it is drawn: also of a call that is broken off.

        `as_json` holds every sample to one JSON object, drawn from the model's distribution over the tokens that can
        come next; a sample that reaches its limit first is the beginning of one.
        """
        return await self._completed(self._told(request, lambda row, over: drawn(), as_json))

    async def stream(self, request: Request, as_json: bool = False) -> AsyncGenerator[list[Piece], None]:
        """What `sample`, or `count`, gives, as it is drawn: after each step the new pieces of this request's samples.

        Who reads slowly gets longer pieces.  Closing the generator takes the samples out of the batch.  Raises what
        `sample` raises, at the latest in place of the last piece.
        """
        fresh, news = dict[int, tuple[Row, bool]](), asyncio.Event()

        def hear(row: Row, over: bool) -> None:
            fresh[row.index] = row, over
            news.set()

        call = asyncio.create_task(self._completed(self._told(request, hear, as_json)))
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

    def _texts(self) -> list[str]:
        every = [[i] for i in range(self.model.c.vocab)]
        return list(self.tokenizer.batch_decode(every, skip_special_tokens=True))

    def _told(self, request: Request, hear: Hear, as_json: bool) -> ToldJob:
        """A request's job.  Raises Unsupported where an object that is closed could not end the sample."""
        if as_json and not self.eos:
            raise Unsupported(f"{self.name} has no token that ends a sample, so none can be held to JSON")
        job = self._job(request)
        states = [State()] * job.n if as_json else None
        return ToldJob(job.prompt, job.sampling, job.n, job.seed, job.keep, hear, states)

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
