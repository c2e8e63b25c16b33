"""A sample told while it is drawn: text that is never taken back, piece by piece."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from trivium.types import Completion, Request, Segment

CUT = "\N{REPLACEMENT CHARACTER}"
"""What a character looks like whose bytes have not all been drawn."""
WINDOW = 24
"""Tokens decoded together.  More would cost time at every token, and fewer would lose what spaces depend on."""
OVERLAP = 4
"""Tokens of the last window that the next begins with: some tokenizers drop the space before the first token."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What is new of sample `index`: text, and the tokens whose text is whole by now, with their log-probs.

    `drawn` counts all its tokens so far.  The last piece of a sample has its `completion`.  Joined, the texts are the
    completion's text up to its stop string, and the tokens those of that text; the token that ends a sample is only in
    the completion.
    """

    index: int
    text: str
    ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    drawn: int = 0
    completion: Completion | None = None


@runtime_checkable
class Streams(Protocol):
    """A policy that can tell what it draws while it draws it, and that goes on from any text."""

    def decode(self, ids: Sequence[int]) -> str: ...

    def raw(self, text: str | Sequence[int]) -> Segment:
        """A prompt as it is, given as text or as token ids: the prefix of a request without messages."""

    async def count(self, request: Request, drawn: Callable[[], None], as_json: bool = False) -> list[Completion]:
        """As `sample`, and `drawn` is called for every token when it is drawn: also of a call that is broken off.

        `as_json` holds every sample to one JSON object.
        """

    def stream(self, request: Request, as_json: bool = False) -> AsyncGenerator[list[Piece], None]:
        """What `count` would give, as it is drawn.  Closing the generator ends the request."""


class Unfolding:
    """The text of one sample as its tokens come in.

    A character split over tokens waits for its last byte, and what may become a stop string waits until it cannot.
    `told` is all that was given out, and `told_tokens` how many tokens that text is made of.
    """

    __slots__ = ("_decode", "_known", "_lengths", "_seen", "_start", "_stop", "_text", "told", "told_tokens")

    def __init__(self, decode: Callable[[Sequence[int]], str], stop: Sequence[str] = ()) -> None:
        self._decode, self._stop = decode, tuple(stop)
        self._text = self.told = ""
        self._start = self._known = self._seen = self.told_tokens = 0
        self._lengths: list[int] = []

    def more(self, ids: Sequence[int]) -> str:
        """What can be told now that `ids` are all tokens so far."""
        self._read(ids)
        return self._tell(len(self._text) - waiting(self._text, self._stop))

    def rest(self, ids: Sequence[int], text: str) -> str:
        """What is left to tell of a sample that has ended with `text`, its stop string included."""
        self._read(ids)
        text = before_stop(text, self._stop)
        # A tokenizer that rewrites what it said before would make the two differ; what was told then stays.
        self._text = text if text.startswith(self.told) else self._text[: max(len(self.told), len(text))]
        while len(self._lengths) > self.told_tokens and self._lengths[-1] > len(self._text):
            self._lengths.pop()
        return self._tell(len(self._text))

    def _read(self, ids: Sequence[int]) -> None:
        for n in range(self._seen + 1, len(ids) + 1):
            window = self._decode(ids[self._start : n])
            whole = not window.endswith(CUT)
            if whole:
                self._text += window[self._known :]
                self._known = len(window)
                if n - self._start >= WINDOW:
                    self._start = n - OVERLAP
                    self._known = len(self._decode(ids[self._start : n]))
            # A part of a character belongs to the text that is to come.
            self._lengths.append(len(self._text) + (not whole))
        self._seen = len(ids)

    def _tell(self, end: int) -> str:
        said = self._text[len(self.told) : end]
        self.told += said
        while self.told_tokens < len(self._lengths) and self._lengths[self.told_tokens] <= len(self.told):
            self.told_tokens += 1
        return said


def waiting(text: str, stop: Sequence[str]) -> int:
    """How many characters at the end of a text may yet turn out to be, or already are, of a stop string."""
    found = [at for s in stop if (at := text.find(s)) >= 0]
    if found:
        return len(text) - min(found)
    ends = (n for s in stop for n in range(min(len(s) - 1, len(text)), 0, -1) if text.endswith(s[:n]))
    return max(ends, default=0)


def before_stop(text: str, stop: Sequence[str]) -> str:
    """The text without the stop string that it ends with, as every policy keeps it."""
    return text[: len(text) - max((len(s) for s in stop if text.endswith(s)), default=0)]
