"""Difficulty filtering: learn only from prompts that the policy solves about half the time, as just measured.

Idea
----
With a 0/1 reward the signal of a prompt is the variance p(1-p) of its pass rate p.  Groups that all succeed or all fail
say nothing; groups near one half say most.  So sample more prompts than needed, and keep those in a band around 0.5.

Algorithm
---------
1. Sample G rollouts for each of B prompts and take the share that is right as p.
2. Keep a prompt if low <= p <= high; sample further prompts until B are kept, at most `rounds` times.
3. One GRPO step on the rollouts that were kept: those that measured p are those that are learned from.

Departs from the paper
----------------------
A small model on sums of four or five numbers, after a supervised start on other sums, in place of a 3B model on
mathematics.  The refill is not asynchronous.  The paper's thresholds are unverified; 0.25 to 0.75 is the band here.

Details that matter
-------------------
- Every arm may sample the same number of tokens, those of rejected rollouts included: by optimiser steps alone a filter
  wins for free.
- `random-filter` rejects prompts whatever their pass rate (null), about as many as the band does.  `mixed-only` drops
  only groups without any signal, as DAPO does; `easy-only` and `hard-only` are the skewed bands.
- A group looks half solved by chance as well: selecting and learning from the same sample biases the advantage.

At full size
------------
`trivium learn --objective dapo --refill 4 --warmup-steps 0 --policy hf:FOLDER --task file:...` filters groups without
signal; any mathematics with levels and a 3B model after a supervised start.

References
----------
Bae et al. 2025, arXiv:2504.03380 (abstract of v1 and v2; no official code was found).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from trivium.claims import Claim
from trivium.lab.bases import Lesson, base
from trivium.lab.lab import Lab, Scored
from trivium.lab.measure import greedy_accuracy
from trivium.lab.recipe import Paper, Recipe
from trivium.lab.train import reinforce
from trivium.learn.batch import Rollout

EASIER, TASK = "sums:terms=6,min_terms=3,digits=1,ops=+", "sums:terms=5,min_terms=4,digits=1"


@dataclass(frozen=True)
class Size:
    """Each arm samples `allowance` tokens of the lesson's last task in steps of `prompts` groups of `samples`."""

    lesson: Lesson = Lesson((EASIER, TASK), "100k", 2000, 500, lr=8e-3, offset=1_000_000)
    prompts: int = 8
    samples: int = 16
    allowance: int = 200_000
    rounds: int = 4
    lr: float = 1e-4
    test: int = 500


SIZES = {
    "smoke": Size(Lesson(("sums:terms=3,digits=1",), "30k", 16, 2, 8), 2, 2, 100, 2, test=8),
    "lab": Size(),
    "full": Size(prompts=64, samples=16, allowance=20_000_000, lr=1e-6),
}


def learn(lab: Lab[Size], *, band: tuple[float, float] | None = None, chance: float = 1.0) -> Scored:
    """GRPO on the groups within a band of pass rates, or on a random share of all groups."""
    s, rng = lab.size, random.Random(lab.seed)
    task = lab.task(s.lesson.tasks[-1])
    policy = base(lab, s.lesson)

    def keep(group: Sequence[Rollout]) -> bool:
        if band is None:
            return rng.random() < chance
        return band[0] <= sum(r.correct for r in group) / len(group) <= band[1]

    reinforce(
        lab, policy, task, steps=10_000, prompts=s.prompts, samples=s.samples, lr=s.lr, max_tokens=task.max_tokens,
        keep=keep, rounds=s.rounds if band or chance < 1 else 1, allowance=s.allowance,
        watch=lambda step, drawn, report: lab.at("accuracy of rollouts", step, drawn.mean("accuracy")),
    )  # fmt: skip
    lab.note(updates=lab.spent["optimiser_steps"])
    return greedy_accuracy(lab, policy, task, lab.problems(task, "test", s.test))


RECIPE = Recipe(
    slug="difficulty-filtering",
    paper=Paper(49, arxiv="2504.03380"),
    says="Learning only from prompts that are solved about half the time beats learning from all, at equal tokens.",
    arms={
        "plain": learn,
        "balanced": partial(learn, band=(0.25, 0.75)),
        "mixed-only": partial(learn, band=(0.01, 0.99)),
        "hard-only": partial(learn, band=(0.01, 0.5)),
        "easy-only": partial(learn, band=(0.5, 0.99)),
        "random-filter": partial(learn, chance=0.47),
    },
    sizes=SIZES,
    claims=[
        Claim(
            "a balanced band of pass rates beats plain GRPO at equal sampled tokens",
            better="balanced", worse="plain", margin=0.02, matched=("pretrain_tokens", "sampled_tokens"),
            null="random-filter", rivals=("mixed-only", "hard-only", "easy-only"),
            paper="plain GRPO's best reward in 60% of its training time and data; 4 points on average at equal steps",
        ),
    ],
    seeds=5,
    tried=4,
)  # fmt: skip
