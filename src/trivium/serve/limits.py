"""How much each key may ask for: requests in a minute, and tokens in a day, which a restart does not give back."""

from __future__ import annotations

import asyncio
import datetime
import fcntl
import json
import logging
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from trivium.errors import DataError
from trivium.serve.errors import ApiError
from trivium.serve.keys import Key
from trivium.store.files import write_json

LOG = logging.getLogger("trivium.serve")
MINUTE = 60.0
SAVE_SECONDS = 5.0


@dataclass(slots=True)
class Spending:
    """Tokens that each key has spent today (UTC), kept in a file; without a path only in memory.

    Servers may share the file: `save` adds what this one spent since the last time to what stands there, and learns
    from it what the others spent.
    """

    path: Path | None = None
    today: Callable[[], str] = lambda: datetime.datetime.now(datetime.UTC).date().isoformat()
    _day: str = field(init=False, default="")
    _spent: dict[str, int] = field(init=False, default_factory=dict)
    _unsaved: dict[str, int] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._day = self.today()
        self._spent = self._read()

    def spent(self, key: Key) -> int:
        self._turn()
        return self._spent.get(key.hash, 0)

    def spend(self, key: Key, tokens: int) -> None:
        self._turn()
        for counts in (self._spent, self._unsaved):
            counts[key.hash] = counts.get(key.hash, 0) + tokens

    def save(self) -> None:
        """Write what was spent since the last time.  Raises DataError for a file that is no such count."""
        self._turn()
        if self.path is None or not (self._unsaved or self.path.exists()):
            return
        with open(self.path.with_name(f".{self.path.name}.lock"), "ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # for as long as reading and writing take
            found = self._read()
            for name, tokens in self._unsaved.items():
                found[name] = found.get(name, 0) + tokens
            if self._unsaved:
                write_json(self.path, {"day": self._day, "tokens": found})
        self._spent, self._unsaved = found, {}

    async def keep_saving(self) -> None:
        """Save every few seconds."""
        while True:
            await asyncio.sleep(SAVE_SECONDS)
            try:
                self.save()
            except Exception as error:
                LOG.error("could not write what keys have spent: %s", error)

    def _read(self) -> dict[str, int]:
        """What stands in the file for today."""
        if self.path is None or not self.path.exists():
            return {}
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
            tokens = {str(name): int(tokens) for name, tokens in found["tokens"].items()}
            return tokens if found["day"] == self._day else {}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{self.path}, field tokens: {error}; delete the file to begin the day anew") from error

    def _turn(self) -> None:
        if (day := self.today()) != self._day:
            self._day, self._spent, self._unsaved = day, {}, {}


@dataclass(slots=True)
class Account:
    """What one key may still do.  What a request may take is set aside until it is known what it took."""

    spending: Spending
    clock: Callable[[], float] = time.monotonic
    _asked: deque[float] = field(init=False, default_factory=deque)
    _aside: int = field(init=False, default=0)

    def ask(self, key: Key) -> None:
        """Count a request.  Raises ApiError 429, with the seconds to wait, when there were too many in a minute."""
        if key.requests_per_minute is None:
            return
        now = self.clock()
        while self._asked and now - self._asked[0] >= MINUTE:
            self._asked.popleft()
        if len(self._asked) >= key.requests_per_minute:
            wait = max(1, math.ceil(self._asked[0] + MINUTE - now))
            raise ApiError(
                429, f"this key may ask {key.requests_per_minute} times a minute; try again in {wait} s",
                code="rate_limit_exceeded", kind="requests", headers={"Retry-After": str(wait)},
            )  # fmt: skip
        self._asked.append(now)

    def left(self, key: Key) -> int | None:
        """Tokens that the key has today and that no running request may take; `None` is no limit."""
        if key.tokens_per_day is None:
            return None
        return key.tokens_per_day - self.spending.spent(key) - self._aside

    def set_aside(self, key: Key, tokens: int) -> None:
        """Keep tokens for a request.  Raises ApiError 429 where there are not so many."""
        left = self.left(key)
        if left is not None and tokens > left:
            raise ApiError(
                429, f"this request may take {tokens} tokens and this key has {max(0, left)} left today (UTC); ask for "
                "fewer with max_tokens, n or budget", code="insufficient_quota", kind="insufficient_quota",
            )  # fmt: skip
        self._aside += tokens

    def settle(self, key: Key, aside: int, tokens: int) -> None:
        """A request that had `aside` tokens took `tokens`."""
        self._aside -= aside
        self.spending.spend(key, tokens)
