"""Open-RS: little reinforcement learning on a small distilled reasoner, and what a generation cap makes of more of it.

Idea
----
A small model that was distilled from long chains of thought can be improved by GRPO with a few thousand problems and a
day on four cheap GPUs.  The study asks which parts matter: how hard the problems are, a reward that prefers short right
answers, and the cap on generated tokens, which cuts off what a distilled reasoner writes at length.

Algorithm
---------
1. Start from a policy that imitates verbose solutions.
2. GRPO with 6 samples a prompt, on hard problems or on easy and hard ones.
3. The reward is 1 for a right answer, or a cosine of the length T under the cap L, with c = (1 + cos(pi T / L)) / 2:
   0.5 + 0.5 c if right (short is best), -0.5 - 0.5 c if wrong (long is less bad).
4. Report the last checkpoint, and apart from it the one that is best on dev.

Departs from the paper
----------------------
The reasoner is a 200k-parameter model that imitated sums with every step checked three times in four, in place of
DeepSeek-R1-Distill-Qwen-1.5B on mathematics.  There is no format reward, since there is no tag to close.  Caps are 150%
and 60% of the mean length that the reasoner samples, in place of 3,584 tokens of answers that often exceed them.

Details that matter
-------------------
- The published headline numbers are those of checkpoints 50 and 100 of 500, all of which were evaluated on the test
  sets, one of which has 30 questions.  Here the choice is made on dev and both numbers are reported.
- Every arm answers the test under the same generous cap, whatever cap it was trained with.
- The released cosine counts characters against a cap in tokens, is not clamped and swaps the two ends for wrong answers
  (huggingface/open-r1#312, knoveleng/open-rs#4); the term here counts tokens and is clamped.
- `random-reward` learns from coin flips (null).  `capped-any` is a checkpoint of the capped run at random: the same
  choice without dev (null of the second claim).  `more-sft` imitates solutions for as many steps (the trivial rival).

At full size
------------
`trivium claim open-rs --size full --policy hf:FOLDER`; for the paper's own setting a `file:` task of its 7,000
problems, 12 prompts of 6 samples a step, temperature 0.7, rate 1e-6, and at least 16 samples a question of a small
benchmark.

References
----------
Dang and Ngo 2025, arXiv:2503.16219; code, settings and logs of every checkpoint: knoveleng/open-rs.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor

from trivium.claims import Claim
from trivium.lab.bases import blank, given, taught
from trivium.lab.lab import Lab, Scored
from trivium.lab.measure import greedy_accuracy, verdicts
from trivium.lab.recipe import Paper, Recipe
from trivium.lab.select import Best, put, weights
from trivium.lab.train import demonstrations, imitate, reinforce
from trivium.learn.fit import StepReport
from trivium.policies.local import LocalPolicy
from trivium.teach.rollout import Rollouts
from trivium.types import Problem

COSINE = "outcome=2,length(shape=cosine,among=all)=0.5,length(shape=cosine)=-1"
"""1 - u / 2 if right and u / 2 - 1 if wrong, up to a constant that a group's mean takes away; u is 1 - c."""


@dataclass(frozen=True)
class Size:
    """`lesson` steps on `examples` verbose solutions, then `steps` of `prompts` groups of `samples`."""

    mixed: str = "sums:terms=7,min_terms=3,digits=1,ops=+"
    hard: str = "sums:terms=7,min_terms=6,digits=1,ops=+"
    model: str = "200k"
    examples: int = 3000
    lesson: int = 320
    checked: float = 0.75
    prompts: int = 12
    samples: int = 6
    steps: int = 160
    lr: float = 5e-5
    checks: int = 8
    dev: int = 200
    test: int = 512


SIZES = {
    "smoke": Size(
        "sums:terms=3,digits=1", "sums:terms=3,digits=1", "30k", 16, 2, prompts=2, samples=2, steps=2, checks=2, dev=4,
        test=8,
    ),
    "lab": Size(),
    "full": Size(steps=500, lr=1e-6, dev=500, test=2000),
}  # fmt: skip


def verbose(problem: Problem, rate: float) -> str:
    """A solution in which a step is followed by its inverse with probability `rate`."""
    rng, lines = random.Random(problem.key), []
    for line in str(problem.solution).split("\n"):
        lines.append(line)
        if rng.random() < rate:
            left, result = line.split("=")
            sign = "+" if "+" in left else "-"
            a, b = left.rsplit(sign, 1)
            lines.append(f"{result}{'-' if sign == '+' else '+'}{b}={a}")
    return "\n".join([*lines, f"Answer: {problem.gold}"])


def reasoner(lab: Lab[Size]) -> LocalPolicy:
    """The distilled model that every arm starts from."""

    def make(inner: Lab[Size]) -> LocalPolicy:
        s = inner.size
        shown = [(p, verbose(p, s.checked)) for p in inner.problems(s.mixed, "train", s.examples, seed=1000 + lab.seed)]
        return taught(inner, shown, s.model, s.lesson, 32, 5e-3)

    return given(lab.policy_spec) if lab.policy_spec else lab.policy("reasoner", make)


def trained(lab: Lab[Size], *, cap: float = 1.5, hard: bool = False, reward: str = "outcome=1") -> dict[str, Any]:
    """A run of GRPO, made once: weights at the end (`last`), where dev is best (`best`), at a random check (`any`)."""

    def make(inner: Lab[Size]) -> dict[str, Any]:
        s, policy = inner.size, reasoner(inner)
        task, mixed = inner.task(s.hard if hard else s.mixed), inner.task(s.mixed)
        dev = inner.problems(mixed, "dev", s.dev)
        drawn = verdicts(inner, policy, mixed, dev, n=2, unit="dev_tokens")
        limit = max(1, round(cap * inner.spent["dev_tokens"] / sum(map(len, drawn))))
        every = s.steps // s.checks
        best, some = Best(inner, policy, mixed, dev, every), every * random.Random(inner.seed).randint(1, s.checks)
        kept: dict[str, dict[str, Tensor]] = {}

        def watch(step: int, sampled: Rollouts, report: StepReport | None) -> None:
            best(step)
            if step == some:
                kept["any"] = weights(policy)
            if step % every == 0:
                cut = sum(trace.finish == "length" for trace in sampled.traces)
                inner.at("share of rollouts cut off", step, cut / len(sampled.traces))

        reinforce(
            inner, policy, task, steps=s.steps, prompts=s.prompts, samples=s.samples, lr=s.lr, max_tokens=limit,
            reward=reward, watch=watch,
        )  # fmt: skip
        kept["last"] = weights(policy)
        best.restore()
        inner.note(cap=limit)
        return {**kept, "best": weights(policy), "curves": inner.curves}

    return lab.data(f"cap-{cap}-hard-{hard}-{reward}", make)


def reinforced(lab: Lab[Size], *, which: str = "last", **how: Any) -> Scored:
    """Test accuracy of a checkpoint of a run."""
    run = trained(lab, **how)
    policy = given(lab.policy_spec) if lab.policy_spec else blank(lab, lab.size.model, [])
    put(policy, run[which])
    lab.curves.update(run["curves"])
    return tested(lab, policy)


def distilled(lab: Lab[Size], *, more: bool = False) -> Scored:
    """The reasoner as it is, or after imitating as many further batches of verbose solutions."""
    s, policy = lab.size, reasoner(lab)
    if more:
        fresh = lab.problems(s.mixed, "train", s.steps * s.prompts, seed=2000 + lab.seed)
        shown = demonstrations(policy, [(p, verbose(p, s.checked)) for p in fresh])
        imitate(lab, policy, shown, steps=s.steps, batch=s.prompts * s.samples, lr=s.lr)
    return tested(lab, policy)


def tested(lab: Lab[Size], policy: LocalPolicy) -> Scored:
    task = lab.task(lab.size.mixed)
    return greedy_accuracy(lab, policy, task, lab.problems(task, "test", lab.size.test), max_tokens=2 * task.max_tokens)


SPENT = ("pretrain_tokens", "optimiser_steps")
ARMS: dict[str, Callable[[Lab[Any]], Scored]] = {
    "distilled": distilled,
    "accuracy": reinforced,
    "cosine": partial(reinforced, reward=COSINE),
    "hard-only": partial(reinforced, hard=True),
    "capped": partial(reinforced, cap=0.6),
    "capped-best": partial(reinforced, cap=0.6, which="best"),
    "capped-any": partial(reinforced, cap=0.6, which="any"),
    "random-reward": partial(reinforced, reward="random=1"),
    "more-sft": partial(distilled, more=True),
}
RECIPE = Recipe(
    slug="open-rs",
    paper=Paper(15, arxiv="2503.16219"),
    says="A short run of GRPO improves a small distilled reasoner; under a cap that truncates, more of it does harm.",
    arms=ARMS,
    sizes=SIZES,
    claims=[
        Claim(
            "a short run of GRPO with an accuracy reward improves the distilled reasoner",
            better="accuracy", worse="distilled", margin=0.03, matched=("pretrain_tokens",), null="random-reward",
            rivals=("more-sft",),
            paper="AMC23 from 63 to 80% and AIME24 46.7% with 7,000 problems, by the best checkpoints on the tests",
        ),
        Claim(
            "under a cap that truncates, stopping early (where dev is best) beats training to the end",
            better="capped-best", worse="capped", margin=0.03, matched=SPENT, null="capped-any", rivals=("accuracy",),
            paper="gains within 50 to 100 steps, then instability; AIME24 from 46.7 to 30.0 by step 400",
        ),
        Claim(
            "a cosine of the length makes answers shorter than the accuracy reward does",
            better="cosine", worse="accuracy", margin=2.0, metric="tokens", lower=True, matched=SPENT,
            paper="shorter completions with the cosine reward, and the best average of the three models",
        ),
        Claim(
            "easy and hard problems together beat hard ones alone",
            better="accuracy", worse="hard-only", margin=0.02, matched=SPENT,
            paper="a mix of easy and hard problems starts faster and is more stable than the hard set",
        ),
    ],
    seeds=5,
)  # fmt: skip
