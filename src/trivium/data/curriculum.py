"""Which of several sources of problems to learn from next, decided by how much their last rollouts taught.

Standard library only.  A curriculum is told what it needs to know and keeps nothing else, so its state is small.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from trivium.errors import UserError


@dataclass(eq=False)
class SourceBandit:
    """A bandit over sources: those whose rollouts carry much signal, or were drawn rarely, are drawn more often.

    With L_d the mean of the last `window` signals of source d, n_d the signals it ever had and n their sum,

        score_d = L_d + sqrt(2 ln(n + 1) / (n_d + 1)),    share_d = softmax(score / temperature)_d

    score_d being the upper confidence bound UCB1 (Auer et al. 2002) of L_d.  The signal of a rollout is whatever the
    caller takes for its worth, such as the size of its advantage.  Temperature 0 draws the best source only, and equal
    ones alike.  What is drawn follows from `seed`, the place asked for and the signals so far.
    """

    sources: int
    seed: int = 0
    window: int = 300
    temperature: float = 0.1
    counts: list[int] = field(init=False)
    _recent: list[deque[float]] = field(init=False)

    def __post_init__(self) -> None:
        if self.sources < 1 or self.window < 1 or not self.temperature >= 0:
            raise UserError(
                f"a curriculum over {self.sources} sources with window {self.window} and temperature"
                f" {self.temperature}; expected at least 1, 1 and 0"
            )
        self.counts = [0] * self.sources
        self._recent = [deque(maxlen=self.window) for _ in range(self.sources)]

    def observe(self, source: int, signals: Iterable[float]) -> None:
        """Take note of what rollouts of a source were worth."""
        for signal in signals:
            self.counts[source] += 1
            self._recent[source].append(signal)

    def scores(self) -> list[float]:
        """Mean signal and bonus of every source; a source without a signal has a mean of 0."""
        log = math.log(sum(self.counts) + 1)
        return [
            sum(recent) / max(1, len(recent)) + math.sqrt(2 * log / (count + 1))
            for recent, count in zip(self._recent, self.counts, strict=True)
        ]

    def shares(self) -> list[float]:
        """The probability of every source to be drawn; they add up to 1."""
        scores = self.scores()
        top = max(scores)
        if self.temperature == 0:
            weights = [float(score == top) for score in scores]
        else:
            weights = [math.exp((score - top) / self.temperature) for score in scores]
        return [weight / sum(weights) for weight in weights]

    def draw(self, n: int, place: int) -> list[int]:
        """The sources of `n` problems; `place` is the step's number, so that no state of a generator is kept."""
        return random.Random(f"{self.seed}/{place}").choices(range(self.sources), self.shares(), k=n)
