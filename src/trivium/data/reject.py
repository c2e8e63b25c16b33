"""Rejection sampling: of what was sampled, keep what the verifier accepts, and imitate it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from trivium.data.trees import Path, Tree, responses
from trivium.errors import UserError
from trivium.learn.batch import Demonstration


@dataclass(frozen=True, kw_only=True)
class Reject:
    """Correct responses to imitate, each once, at most `k` a question.

    Of more than `k`, `random` draws without preference, `shortest` keeps those with the fewest sampled tokens (which
    teaches to leave steps out where that still succeeds), `likely` those with the highest mean log-probability (which
    sharpens what the policy does anyway); ties go to the first sampled.  What a tool or the environment said is read
    and not imitated.  A question without a correct response gives nothing.

    Zelikman et al. 2022 (STaR), arXiv:2203.14465, keep one; Yuan et al. 2023 (RFT), arXiv:2308.01825, keep every
    response whose equations differ, where we compare token ids.
    """

    k: int = 4
    choose: Literal["random", "shortest", "likely"] = "random"
    objective: ClassVar[str] = "sft"

    def __post_init__(self) -> None:
        if self.k < 1:
            raise UserError(f"reject: k={self.k}; expected at least 1 response a question")

    def __call__(self, trees: Sequence[Tree], seed: int) -> list[Demonstration]:
        """`seed` decides the random choice, together with the question's id."""
        made = []
        for question, judged in responses(trees).items():
            right = [path for path, correct in judged if correct and any(path.mask)]
            made += [_demonstration(path) for path in self._best(right, random.Random(f"{seed}/{question}"))]
        return made

    def _best(self, right: list[Path], rng: random.Random) -> list[Path]:
        if len(right) <= self.k:
            return right
        if self.choose == "random":
            return rng.sample(right, self.k)
        if self.choose == "shortest":
            return sorted(right, key=lambda path: sum(path.mask))[: self.k]
        if not all(path.logprobs for path in right):
            raise UserError("reject: choose=likely needs log-probs, which this policy does not give; choose=random")
        return sorted(right, key=lambda path: -sum(path.logprobs) / len(path.logprobs))[: self.k]


def _demonstration(path: Path) -> Demonstration:
    return Demonstration(path.prompt, path.ids, None if all(path.mask) else path.mask)
