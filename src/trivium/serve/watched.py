"""A policy as seen by one request: whatever it spends is known at any moment, also if the request does not end well."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from trivium.policies.pieces import Piece, Streams, before_stop
from trivium.serve.around import Around
from trivium.serve.asked import most_read, prompt_tokens
from trivium.types import Completion, Policy, Request, Segment, Usage


@dataclass(slots=True)
class Tally:
    """What one request has spent, through all its policies.

    `used` is what finished calls took, `drawing` counts the tokens of those under way, where the policy tells them, and
    `lost` is what calls took that were broken off: their prompt and what was drawn, or where that is not known all that
    they were allowed, as a call must not be free because its client left.
    """

    used: Usage = field(default_factory=Usage)
    lost: Usage = field(default_factory=Usage)
    drawing: int = 0

    @property
    def sampled(self) -> int:
        """Tokens sampled up to now."""
        return self.used.sampled_tokens + self.drawing + self.lost.sampled_tokens

    @property
    def total(self) -> Usage:
        return self.used + self.lost


class Watched(Around):
    """`policy`, with an account of what was asked of it; `as_json` holds all its samples to JSON."""

    def __init__(self, policy: Policy, tally: Tally, as_json: bool = False) -> None:
        super().__init__(policy)
        self.tally, self._as_json = tally, as_json

    async def sample(self, request: Request) -> list[Completion]:
        drawn = 0

        def draw() -> None:
            nonlocal drawn
            drawn += 1
            self.tally.drawing += 1

        counted = isinstance(self._policy, Streams)
        try:
            if isinstance(self._policy, Streams):
                completions = await self._policy.count(request, draw, self._as_json)
            else:
                completions = await self._policy.sample(request)
        except asyncio.CancelledError:
            self._lose(request, drawn if counted else request.n * request.sampling.max_tokens)
            raise
        finally:
            self.tally.drawing -= drawn
        for completion in completions:
            self.tally.used += completion.usage
        return completions

    async def stream(self, request: Request) -> AsyncGenerator[list[Piece], None]:
        """As the policy's own, or its samples whole where it has none."""
        if not isinstance(self._policy, Streams):
            completions = enumerate(await self.sample(request))
            yield [Piece(i, before_stop(c.text, request.sampling.stop), completion=c) for i, c in completions]
            return
        drawn = dict.fromkeys(range(request.n), 0)
        try:
            async with aclosing(self._policy.stream(request, self._as_json)) as steps:
                async for pieces in steps:
                    for piece in pieces:
                        self.tally.drawing += piece.drawn - drawn[piece.index]
                        drawn[piece.index] = piece.drawn
                        if piece.completion is not None:
                            self.tally.used += piece.completion.usage
                            self.tally.drawing -= drawn.pop(piece.index)
                    yield pieces
        except (asyncio.CancelledError, GeneratorExit):
            # The first of a group pays for the prompt, unless it has ended and done so.
            self._lose(request, sum(drawn.values()), prompt=0 in drawn)
            raise
        finally:
            self.tally.drawing -= sum(drawn.values())

    async def score(self, request: Request, continuations: Sequence[Segment]) -> list[tuple[float, ...]]:
        scores = await self._policy.score(request, continuations)
        read = prompt_tokens(self._policy, request) + sum(len(c.ids) for c in continuations)
        self.tally.used += Usage(prompt_tokens=read, calls=1)
        return scores

    def _lose(self, request: Request, sampled: int, prompt: bool = True) -> None:
        read = most_read(self._policy, request) if prompt else 0
        self.tally.lost += Usage(prompt_tokens=read, sampled_tokens=sampled)

    async def close(self) -> None:
        """Nothing of its own to close."""
