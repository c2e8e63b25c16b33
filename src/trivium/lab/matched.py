"""Budgets that make one way of answering cost what another one took."""

from __future__ import annotations

from trivium.lab.lab import Scored
from trivium.types import Budget


def cost_of(other: Scored) -> Budget:
    """The sampled tokens that an attempt of another arm took on average: for methods that go on until all is spent."""
    taken = [tokens for tokens in other.scores["tokens"] if tokens is not None]
    return Budget(sampled_tokens=max(1, round(sum(taken) / len(taken))))
