"""One right and one wrong response to each prompt, paid by how often its group was right; and outcomes shuffled."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from trivium.learn.batch import Demonstration, Rollout, by_group

Pay = Callable[[bool, float, int], float]
"""What a rollout earns: whether it is right, the share of its group that is, and how many the group has."""


def succeeded(rollout: Rollout) -> bool:
    """Whether it is right and came to its end."""
    return rollout.correct and not rollout.truncated


def right_ones(rollouts: Sequence[Rollout]) -> list[Demonstration]:
    """Every different right response once, to be imitated.  Yuan et al. 2023 (RFT), arXiv:2308.01825."""
    return [Demonstration(*row) for row in dict.fromkeys((r.prompt, r.ids) for r in rollouts if succeeded(r))]


def one_of_each(rollouts: Sequence[Rollout], pay: Pay) -> list[Rollout]:
    """The first right and the first wrong rollout of every group that has both, each earning what `pay` says.

    Samples of one prompt come in no order, so the first is as good as a random one.
    """
    made = []
    for group in by_group(rollouts):
        right, wrong = ([r for r in group if succeeded(r) == ok] for ok in (True, False))
        if right and wrong:
            rate = len(right) / len(group)
            made += [replace(r, reward=pay(succeeded(r), rate, len(group))) for r in (right[0], wrong[0])]
    return made


def even(right: bool, rate: float, size: int) -> float:
    """1 and -1."""
    return 1.0 if right else -1.0


def only_right(right: bool, rate: float, size: int) -> float:
    """1 and 0: wrong responses teach nothing."""
    return float(right)


def by_failures(right: bool, rate: float, size: int, *, wrong: float = 0.5) -> float:
    """1 and -wrong (1 - p): a failure weighs as much as the prompt fails often.

    To imitate the right ones of n samples is to imitate the best of n; wrong ones are then worth (1 - p) times what
    they are in the policy's own distribution.  Lyu et al. 2025, arXiv:2502.06781, section 2; `wrong` is from its code.
    """
    return 1.0 if right else -wrong * (1 - rate)


def against_others(right: bool, rate: float, size: int, *, wrong: float = 0.5) -> float:
    """The reward of 1 or -1 less the mean of the group's others, times `wrong` where it is wrong.

    2 (1 - p) K / (K - 1) and -2 wrong p K / (K - 1): rare successes and rare failures weigh most.  What the code of
    arXiv:2502.06781 does, unlike its text.
    """
    scale = 2 * size / (size - 1)
    return scale * (1 - rate) if right else -wrong * scale * rate


def shuffled_outcomes(rollouts: Sequence[Rollout], seed: int) -> list[Rollout]:
    """Outcomes and rewards dealt anew within each group: a control in which only whose they are is lost."""
    made = []
    for group in by_group(rollouts):
        order = list(group)
        random.Random(f"{seed}/{group[0].group}").shuffle(order)
        made += [
            replace(r, correct=other.correct, truncated=other.truncated, reward=other.reward)
            for r, other in zip(group, order, strict=True)
        ]
    return made
