"""Training loops for experiments: imitate, reinforce, prefer.  Each changes a policy in place and counts its tokens."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch

from trivium.data.pool import Pool
from trivium.lab.lab import Lab
from trivium.learn import OBJECTIVES
from trivium.learn.batch import Demonstration, Rollout, by_group
from trivium.learn.fit import Example, Learner, Optimiser, StepReport, fit
from trivium.learn.preference import Preference
from trivium.learn.types import Objective
from trivium.models.decoder import Decoder
from trivium.policies.local import LocalPolicy
from trivium.rewards.composite import Composite, parse_rewards
from trivium.search.driver import Judge
from trivium.teach.parts import make_objective
from trivium.teach.rollout import Rollouts, Sampler
from trivium.types import Problem, Sampling, Task

T = TypeVar("T")

FRESH = 100_000
"""Added to the seed of the problems that reinforcement samples: bases were taught those of the seed itself."""
MICRO_TOKENS = 4096
"""Tokens computed at a time: what small models run fastest with on one thread."""

Choose = Callable[[int], Sequence[Problem]]
"""The problems of a step."""
Keep = Callable[[Sequence[Rollout]], bool]
"""Whether a group of rollouts is learned from."""
Watch = Callable[[int, Rollouts, StepReport | None], None]
"""Told of every step: its number, what was sampled, and what the optimiser did, if anything."""


def demonstrations(policy: LocalPolicy, shown: Sequence[tuple[Problem, str]]) -> list[Demonstration]:
    """Problems and responses as token ids, each response closed by the end token."""
    return [
        Demonstration(policy.encode(problem.question.messages), policy.encode_response(text)) for problem, text in shown
    ]


def solutions(problems: Sequence[Problem]) -> list[tuple[Problem, str]]:
    """Problems with the solutions that programs wrote for them."""
    return [(problem, str(problem.solution)) for problem in problems]


def batches(items: Sequence[T], batch: int, steps: int, seed: int) -> Iterator[list[T]]:
    """`steps` batches: every item once in each pass over all of them, in an order of that pass; none without items."""
    order: list[T] = []
    for step in range(steps if items else 0):
        while len(order) < batch:
            again = list(items)
            random.Random(f"{seed}/{step}/{len(order)}").shuffle(again)
            order += again
        yield order[:batch]
        del order[:batch]


def falling(lr: float, steps: int, weight_decay: float = 0.0) -> Optimiser:
    """The rate rises for a twentieth of the steps and falls to a tenth of itself, along a cosine."""
    return Optimiser(
        lr=lr, steps=steps, lr_warmup=max(1, steps // 20), schedule="cosine", lr_floor=0.1, beta2=0.95,
        weight_decay=weight_decay,
    )  # fmt: skip


def imitate(
    lab: Lab[Any],
    policy: LocalPolicy,
    shown: Sequence[Demonstration],
    *,
    steps: int,
    batch: int,
    lr: float,
    objective: Objective[Any] | Callable[[int], Objective[Any]] | str = "sft",
    weight_decay: float = 0.0,
    watch: Callable[[int], None] = lambda step: None,
    made: Callable[[int, Demonstration], Demonstration] | None = None,
) -> None:
    """`steps` supervised steps of `batch` demonstrations, the rate rising for a twentieth and then falling to a tenth.

    `objective` may be a function of the step, for noise that grows, and `made` says what a step makes of an example.
    `watch` is told of every step.
    """
    chosen = OBJECTIVES.build(objective) if isinstance(objective, str) else objective
    optimiser = falling(lr, steps, weight_decay)
    learner = Learner(policy.model, optimiser, MICRO_TOKENS, seed=lab.seed)
    for step, examples in enumerate(batches(shown, batch, steps, lab.seed)):
        now = chosen if hasattr(chosen, "kind") else chosen(step)
        shown_now = examples if made is None else [made(step, example) for example in examples]
        _count(lab, learner.step(shown_now, now))  # type: ignore[arg-type]
        watch(step + 1)
    _moved(policy)


def prefer(
    lab: Lab[Any],
    policy: LocalPolicy,
    pairs: Sequence[Preference],
    *,
    steps: int,
    batch: int,
    lr: float,
    objective: str = "dpo",
    reference: LocalPolicy | None = None,
) -> None:
    """`steps` preference steps of `batch` pairs; the reference is the policy as it comes unless another is given."""
    made = OBJECTIVES.build(objective)
    learner = Learner(policy.model, falling(lr, steps), MICRO_TOKENS, seed=lab.seed)
    if made.needs_ref:
        frozen = copy.deepcopy(policy.model) if reference is None else reference.model
        learner.reference = frozen.requires_grad_(False)
    for (report,) in fit(learner, batches(pairs, batch, steps, lab.seed), made):
        _count(lab, report)
    _moved(policy)


def reinforce(
    lab: Lab[Any],
    policy: LocalPolicy,
    task: Task,
    *,
    steps: int,
    prompts: int,
    samples: int,
    lr: float,
    max_tokens: int,
    objective: Objective[Any] | str = "grpo",
    reward: Composite | str = "outcome=1",
    temperature: float = 1.0,
    choose: Choose | None = None,
    keep: Keep | None = None,
    rounds: int = 1,
    allowance: int | None = None,
    watch: Watch = lambda step, drawn, report: None,
) -> None:
    """`steps` steps of reinforcement learning on `prompts` groups of `samples` rollouts.

    Problems come from the task's training pool in turn, or from `choose`.  With `keep`, only the groups it accepts are
    learned from, and up to `rounds` rounds of problems are sampled until a step has `prompts` of them.  With an
    `allowance` of sampled tokens no step begins beyond it, and `steps` is only the most there can be.
    """
    chosen = make_objective(objective, max_tokens) if isinstance(objective, str) else objective
    paid = parse_rewards(reward, max_tokens=max_tokens) if isinstance(reward, str) else reward
    sampler = Sampler(
        policy, Judge(task), paid, Sampling(temperature=temperature, max_tokens=max_tokens), samples
    )  # fmt: skip
    pool, dealt, spent = Pool(task, lab.seed + FRESH), 0, 0
    drawn: Rollouts  # what `watch` is told of

    def draw(step: int) -> list[Rollout] | None:
        nonlocal dealt, spent, drawn
        if allowance is not None and spent >= allowance:
            return None
        kept: list[Rollout] = []
        groups = 0
        for part in range(rounds):
            if choose is None:
                asked: Sequence[Problem] = pool.take(dealt, prompts)
                dealt += prompts
            else:
                asked = choose(step)
            lab.seen.update(p.question.id for p in asked)
            drawn = sampler.sample(asked, (lab.seed * 1_000_003 + step) * 64 + part, part * prompts)
            lab.charge("sampled_tokens", drawn.sampled_tokens)
            spent += drawn.sampled_tokens
            for group in by_group(drawn.rollouts):
                if groups < prompts and (keep is None or keep(group)):
                    kept += group
                    groups += 1
            if groups >= prompts:
                break
        return kept

    learn_from(
        lab, policy, draw, steps=steps, lr=lr, objective=chosen, temperature=temperature,
        watch=lambda step, report: watch(step, drawn, report),
    )  # fmt: skip


def learn_from(
    lab: Lab[Any],
    policy: LocalPolicy,
    draw: Callable[[int], Sequence[Rollout] | None],
    *,
    steps: int,
    lr: float,
    objective: Objective[Any],
    temperature: float = 1.0,
    hold: float = 1.0,
    watch: Callable[[int, StepReport | None], None] = lambda step, report: None,
) -> None:
    """`steps` optimiser steps, each on what `draw` of its number samples with the policy as it is then.

    `temperature` is the one that `draw` samples at.  The reference of an objective that has one is the policy as it
    comes; after every step `hold` of it stays, and the rest is the policy's: 1 leaves it where it is.  What is sampled
    is for `draw` to charge; a step without rollouts is none, and `None` in place of them ends it all.
    """
    optimiser = Optimiser(lr=lr, steps=steps, lr_warmup=min(3, steps), beta2=0.95)
    learner = Learner(policy.model, optimiser, MICRO_TOKENS, temperature, seed=lab.seed)
    if objective.needs_ref:
        learner.reference = copy.deepcopy(policy.model).requires_grad_(False)
    for step in range(steps):
        rollouts = draw(step)
        if rollouts is None:
            break
        report = None
        if rollouts:
            report = step_with(lab, learner, rollouts, objective)
            _moved(policy)
            if learner.reference is not None and hold < 1:
                follow(learner.reference, policy.model, hold)
        watch(step + 1, report)


@torch.no_grad()
def follow(anchor: Decoder, model: Decoder, hold: float) -> None:
    """anchor <- hold anchor + (1 - hold) model, weight by weight: an exponential moving average."""
    for held, now in zip(anchor.parameters(), model.parameters(), strict=True):
        held.lerp_(now, 1 - hold)


def step_with(lab: Lab[Any], learner: Learner, examples: Sequence[Example], objective: Objective[Any]) -> StepReport:
    """One step of a learner that the caller holds, counted."""
    report = learner.step(examples, objective)
    _count(lab, report)
    return report


def _count(lab: Lab[Any], report: StepReport) -> None:
    lab.charge("trained_tokens", report.trained_tokens)
    lab.charge("optimiser_steps", 1)


def _moved(policy: LocalPolicy) -> None:
    """Name the new weights, so that segments tell which sampled them."""
    policy.weights_version += 1
