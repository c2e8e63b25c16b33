"""What a recipe is: a paper, the arms of its experiment, the settings of each size, and the claims they decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trivium.claims import Claim
from trivium.errors import UnknownName
from trivium.lab.lab import Arm

HEADINGS = ("Idea", "Algorithm", "Departs from the paper", "Details that matter", "At full size", "References")
"""Of every recipe's docstring, in this order."""


@dataclass(frozen=True, slots=True)
class Paper:
    """A paper by its number among the 138 (`trivium find`), and its arXiv id."""

    number: int
    arxiv: str


@dataclass(frozen=True)
class Recipe:
    """One paper's experiment.

    `arms` map names to functions of a `Lab`; `sizes` map `smoke` (seconds, decides nothing), `lab` (minutes on two
    cores) and `full` (for a policy that the user names, wherever its spec puts it) to settings; the first of `claims`
    is the headline.  `seeds` is how many the lab size takes, from `first_seed` on, where those before it were tuned
    with or looked at; `tried` is how many configurations were tried on dev problems before these were frozen.
    """

    slug: str
    paper: Paper
    says: str
    arms: Mapping[str, Arm]
    sizes: Mapping[str, Any]
    claims: Sequence[Claim]
    seeds: int = 3
    first_seed: int = 0
    tried: int = 1

    def __post_init__(self) -> None:
        for claim in self.claims:
            for arm in claim.arms:
                if arm not in self.arms:
                    raise UnknownName(f"arm of {self.slug}:", arm, self.arms)

    def seeds_from(self, n: int) -> range:
        """The first `n` seeds that claims are decided with."""
        return range(self.first_seed, self.first_seed + n)

    def settings(self, size: str) -> Any:
        """The settings of a size.  Raises UnknownName for one it does not have."""
        if size not in self.sizes:
            raise UnknownName(f"size of {self.slug}:", size, self.sizes)
        return self.sizes[size]
