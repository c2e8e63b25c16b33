"""Training examples from answers that nobody checked: where two voices agree, and what a confident vote prefers."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from trivium.learn.preference import Preference


@dataclass(frozen=True, slots=True)
class Reply:
    """A prompt and a response as token ids; `answer` is `None` where none can be read or the response was cut off."""

    prompt: tuple[int, ...]
    ids: tuple[int, ...]
    answer: str | None


def agreeing(pairs: Sequence[tuple[Reply, Reply]]) -> list[tuple[Reply, Reply]]:
    """The questions to which two voices give the same answer; where neither answers, they do not agree."""
    return [(a, b) for a, b in pairs if a.answer is not None and a.answer == b.answer]


def vote_pair(
    said: Reply, samples: Sequence[Reply], rng: random.Random, *, keep: float = 0.6, overrule: float = 0.8
) -> Preference | None:
    """A preference between a response of doubtful origin and samples of a better model, decided by the samples' vote.

    The most common answer of the samples has a share of all of them.  From `keep` on, a response that says the same is
    preferred to a random sample that does not; from `overrule` on, a random sample of the majority is preferred to a
    response that says something else.  Otherwise, and where no sample disagrees, there is nothing to learn.  Yang et
    al. 2024, arXiv:2407.13647.
    """
    counted = Counter(r.answer for r in samples if r.answer is not None)
    winner, votes = max(counted.items(), key=lambda item: item[1], default=("", 0))
    share, others = votes / max(1, len(samples)), [r for r in samples if r.answer != winner]
    if not votes or share < keep:
        return None
    if said.answer == winner:
        return Preference(said.prompt, said.ids, rng.choice(others).ids) if others else None
    if share < overrule:
        return None
    return Preference(said.prompt, rng.choice([r for r in samples if r.answer == winner]).ids, said.ids)
