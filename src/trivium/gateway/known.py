"""What has been said before: which conversation a request goes on with, and from where in it.

Two things decide.  The messages say what a request means to go on with: it begins with those of an earlier one and the
answer to that.  The token ids say whether it does: the prompt that the upstream read must begin with the ids that were
recorded.  A chat template that drops the thoughts of earlier turns reads other ids, and then no recorded sample is a
part of the new prompt, whatever the messages say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import orjson

from trivium.gateway.turns import Digest, digest

T = TypeVar("T")
MOST_KNOWN = 500_000
"""Places that are remembered.  What goes on with one that was forgotten begins a trace of its own."""
PROMPT = -1
"""Stands for the end of a prompt, where a choice's index stands for the end of its answer."""


class Mark(NamedTuple):
    """The ids up to a place: how many, and their digest."""

    length: int
    digest: Digest

    @classmethod
    def of(cls, ids: Sequence[int]) -> Mark:
        return cls(len(ids), digest(orjson.dumps(ids)))

    def begins(self, ids: Sequence[int]) -> bool:
        """Whether `ids` begin with those that are marked."""
        return self.length <= len(ids) and Mark.of(ids[: self.length]) == self


class Place(NamedTuple):
    """The end of an exchange's prompt or of one of its answers; `mark` is `None` where ids are not known."""

    conversation: str
    exchange: int
    choice: int
    mark: Mark | None


class Found(NamedTuple):
    """Where an exchange belongs.

    `place` is the prompt that it shares, or the answer that it goes on from; `None` begins a trace.  `turn` is how many
    of its messages are behind that place.  `apart`: by its messages it belonged further on, but not by its ids.
    """

    place: Place | None
    turn: int
    apart: bool


@dataclass(slots=True)
class Known:
    """All places by the digests of the messages that lead to them."""

    _prompts: dict[Digest, list[Place]] = field(init=False, default_factory=dict)
    _answers: dict[Digest, list[Place]] = field(init=False, default_factory=dict)

    def add(self, prompt: Digest, at: Place, answers: Sequence[tuple[Digest, Place]]) -> None:
        """Remember an exchange: its prompt, and the answers that can be gone on from."""
        remember(self._prompts, prompt, []).append(at)
        for key, place in answers:
            remember(self._answers, key, []).append(place)

    def conversation(self, chain: Sequence[Digest]) -> str | None:
        """Which conversation messages are of, as far as they alone tell."""
        return next((place.conversation for _, place in self._candidates(chain)), None)

    def find(self, chain: Sequence[Digest], ids: Sequence[int] | None, conversation: str) -> Found:
        """Where in a conversation an exchange with these messages and prompt ids belongs: as far on as can be."""
        apart = False
        for turn, place in self._candidates(chain):
            if place.conversation != conversation:
                continue
            if _fits(place, ids):
                return Found(place, turn, apart)
            apart = True
        return Found(None, 0, apart)

    def _candidates(self, chain: Sequence[Digest]) -> Iterator[tuple[int, Place]]:
        """Places that messages lead to, the furthest first, and how many messages lead there."""
        turns = len(chain)
        yield from ((turns, place) for place in reversed(self._prompts.get(chain[-1], [])) if chain)
        for turn in range(turns, 0, -1):
            yield from ((turn, place) for place in reversed(self._answers.get(chain[turn - 1], [])))


def _fits(place: Place, ids: Sequence[int] | None) -> bool:
    """Whether the ids of a prompt go on from a place: all of one with ids, none of one without."""
    if ids is None or place.mark is None:
        return ids is None and place.mark is None
    if place.choice == PROMPT:
        return place.mark == Mark.of(ids)
    return place.mark.begins(ids)


def remember(known: dict[Digest, T], key: Digest, value: T) -> T:
    """The value of a key, now `value` where there was none; the oldest is forgotten when there are too many."""
    if key not in known and len(known) >= MOST_KNOWN:
        del known[next(iter(known))]
    return known.setdefault(key, value)
