"""A control for any reward: the same pay, given to others."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import replace

from trivium.rewards.composite import Composite
from trivium.rewards.judged import Reward
from trivium.types import Trace


def permuted(reward: Reward) -> Reward:
    """What a reward pays a group's traces, dealt among them at random: the same amounts, which say nothing.

    Who gets what follows from the responses, so that a run repeats and all permuted rewards of a group move together.
    Where the verifier failed nothing is paid.
    """

    def pay(group: Sequence[Trace]) -> list[float | None]:
        paid = reward(group)
        known = [i for i, score in enumerate(paid) if score is not None]
        for i, score in zip(known, _dealt([paid[i] for i in known], group), strict=True):
            paid[i] = score
        return paid

    return pay


def permuted_but(composite: Composite, *kept: str) -> Composite:
    """The composite with every term but the `kept` ones permuted."""
    terms = (t if t.name in kept else replace(t, reward=permuted(t.reward)) for t in composite.terms)
    return Composite(tuple(terms))


def _dealt(scores: list[float | None], group: Sequence[Trace]) -> list[float | None]:
    text = "\x1f".join(f"{trace.question_id}/{trace.response}" for trace in group)
    seed = int.from_bytes(hashlib.blake2b(text.encode(errors="replace"), digest_size=8).digest(), "big")
    return random.Random(seed).sample(scores, len(scores))
