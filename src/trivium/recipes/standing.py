"""Which lines of the ledger stand: those of the last run of every recipe, on claims that it makes today."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from trivium.lab.recipe import Recipe
from trivium.recipes.numbers import Line
from trivium.store.ledger import current

NO_VERDICT = "no verdict yet"
WRITTEN = "Written by `trivium board` from the recipes and the ledger: change those and run it again, not this file."


def standing(recipes: Iterable[Recipe], lines: Sequence[Line]) -> dict[tuple[str, str], Line]:
    """By slug and claim, in the recipes' order; a claim without a line is left out.

    A line from before units were said gets that of its claim.
    """
    found = current(lines)
    return {
        key: {"unit": claim.unit, **found[key]}
        for made in recipes
        for claim in made.claims
        if (key := (made.slug, claim.says)) in found
    }
