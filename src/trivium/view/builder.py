"""The thread that indexes: a block of each wanted index in turn, so that a big one keeps no small one waiting."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from trivium.view.index import TraceIndex, prune

LOG = logging.getLogger("trivium.view")
UNUSED_DAYS = 30
GRACE = 0.5
FRESH = 0.5
"""Seconds for which an index that was just brought up to date is left alone."""


class Builder:
    """Indexes in the background until `stop`."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        self._turn = threading.Condition()
        self._waiting: deque[tuple[TraceIndex, Iterator[None]]] = deque()
        self._active: dict[int, float] = {}
        self._seen: dict[int, float] = {}
        self._stopped = False
        # A daemon: Ctrl-C must not wait for it, and a kill in its midst loses nothing.
        self._thread = threading.Thread(target=self._work, name="indexing", daemon=True)
        self._thread.start()

    def want(self, index: TraceIndex) -> None:
        """Bring an index up to date, if that was not done just now."""
        with self._turn:
            fresh = time.monotonic() - self._seen.get(id(index), -FRESH) < FRESH
            if id(index) in self._active or (fresh and not index.doubted):
                return
            index.wanted = True
            self._active[id(index)] = time.monotonic()
            self._waiting.append((index, index.build()))
            self._turn.notify()

    def building(self, index: TraceIndex) -> bool:
        """Whether it is not up to date yet."""
        return id(index) in self._active

    def settle(self, index: TraceIndex, seconds: float) -> None:
        """Wait for an index to be up to date, until it has been at it for so long."""
        with self._turn:
            left = self._active.get(id(index), 0.0) + seconds - time.monotonic()
            self._turn.wait_for(lambda: id(index) not in self._active, max(0.0, left))

    def finish(self, index: TraceIndex) -> None:
        """Wait for an index to be up to date."""
        with self._turn:
            self._turn.wait_for(lambda: id(index) not in self._active or self._stopped)

    def stop(self) -> None:
        """End the thread, after the block it is at; a block that takes long is left to end with the process."""
        with self._turn:
            self._stopped = True
            self._turn.notify_all()
        self._thread.join(GRACE)

    def _work(self) -> None:
        prune(self.cache, time.time() - UNUSED_DAYS * 86400)
        while True:
            with self._turn:
                self._turn.wait_for(lambda: self._waiting or self._stopped)
                if self._stopped:
                    return
                index, steps = self._waiting.popleft()
            if self._step(steps):
                with self._turn:
                    self._waiting.append((index, steps))
            else:
                with self._turn:
                    del self._active[id(index)]
                    self._seen[id(index)] = time.monotonic()
                    self._turn.notify_all()

    def _step(self, steps: Iterator[None]) -> bool:
        """Whether there is more to do."""
        try:
            next(steps)
        except StopIteration:
            return False
        except Exception:  # one damaged file must not end the thread for all others
            LOG.exception("indexing failed")
            return False
        return True
