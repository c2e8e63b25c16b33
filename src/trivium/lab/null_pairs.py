"""Controls of preference learning: pairs with their order, or their margins, destroyed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from trivium.learn.preference import Preference


def coined(pairs: Sequence[Preference], rng: random.Random) -> list[Preference]:
    """Each pair as it is or the other way round, by a coin."""
    return [
        replace(
            pair, chosen=pair.rejected, rejected=pair.chosen, chosen_mask=pair.rejected_mask,
            rejected_mask=pair.chosen_mask,
        ) if rng.random() < 0.5 else pair
        for pair in pairs
    ]  # fmt: skip


def margins_shuffled(pairs: Sequence[Preference], rng: random.Random) -> list[Preference]:
    """Each pair with the margin of another."""
    margins = rng.sample([pair.margin for pair in pairs], len(pairs))
    return [replace(pair, margin=margin) for pair, margin in zip(pairs, margins, strict=True)]
