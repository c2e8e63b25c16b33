"""Spoiled pairs are the same pairs, but for what was spoiled."""

from __future__ import annotations

import random
from dataclasses import replace

from trivium.lab.null_pairs import coined, margins_shuffled
from trivium.learn.preference import Preference

PAIRS = [Preference((0,), (i, 1), (i, 2, 3), 1, margin=float(i), chosen_mask=(True, False)) for i in range(40)]


def test_a_coin_turns_about_half_of_the_pairs_with_their_masks() -> None:
    made = coined(PAIRS, random.Random(0))
    turned = [a != b for a, b in zip(PAIRS, made, strict=True)]
    assert 10 < sum(turned) < 30
    for pair, other, turn in zip(PAIRS, made, turned, strict=True):
        back = replace(
            other, chosen=other.rejected, rejected=other.chosen, chosen_mask=other.rejected_mask,
            rejected_mask=other.chosen_mask,
        )  # fmt: skip
        assert pair == (back if turn else other)


def test_margins_change_hands_and_nothing_else_does() -> None:
    made = margins_shuffled(PAIRS, random.Random(0))
    assert sorted(p.margin for p in made) == sorted(p.margin for p in PAIRS)
    assert [p.margin for p in made] != [p.margin for p in PAIRS]
    assert [replace(p, margin=0.0) for p in made] == [replace(p, margin=0.0) for p in PAIRS]
    assert margins_shuffled([], random.Random(0)) == []
