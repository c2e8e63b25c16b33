"""Reinforcement learning for recipes that sample in ways of their own, and a reference that may follow the policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any

from trivium.data.threads import thread_rollouts
from trivium.lab.lab import Lab
from trivium.lab.measure import right
from trivium.lab.train import learn_from
from trivium.lab.unseen import unseen
from trivium.learn.batch import Rollout
from trivium.learn.policy_gradient import PolicyGradient, grpo
from trivium.policies.local import LocalPolicy
from trivium.rewards import Reward
from trivium.rewards.composite import Composite, Term
from trivium.search.driver import Judge, Method, solve
from trivium.teach.rollout import Sampler
from trivium.types import Problem, Sampling, Task, Trace


def reinforce_anchored(
    lab: Lab[Any],
    policy: LocalPolicy,
    task: Task,
    *,
    steps: int,
    prompts: int,
    samples: int,
    lr: float,
    max_tokens: int,
    objective: PolicyGradient,
    reward: Reward,
    temperature: float = 1.0,
    hold: float = 1.0,
) -> None:
    """`steps` steps on `prompts` groups of `samples` answers to problems that the lab has not seen (see `unseen`).

    As `train.reinforce`, with a reference that may follow: see `learn_from` for `hold`.
    """
    paid, asked = Composite((Term("reward", 1.0, reward),)), unseen(lab, task, steps * prompts)
    sampler = Sampler(policy, Judge(task), paid, Sampling(temperature, max_tokens=max_tokens), samples)

    def draw(step: int) -> Sequence[Rollout]:
        drawn = sampler.sample(asked[step * prompts :][:prompts], lab.seed * 1_000_003 + step)
        lab.charge("sampled_tokens", drawn.sampled_tokens)
        lab.charge("rollouts", len(drawn.traces))
        lab.at("accuracy of rollouts", step + 1, drawn.mean("accuracy"))
        lab.at("tokens a rollout", step + 1, drawn.sampled_tokens / len(drawn.traces))
        return drawn.rollouts

    learn_from(lab, policy, draw, steps=steps, lr=lr, objective=objective, temperature=temperature, hold=hold)


def reinforce_method(
    lab: Lab[Any],
    policy: LocalPolicy,
    task: Task,
    method: Method,
    *,
    steps: int,
    prompts: int,
    samples: int,
    lr: float,
) -> None:
    """GRPO on whole attempts of a method, which must sample at temperature 1: every call of an attempt learns from
    whether its answer was right, in equal parts (see `thread_rollouts`).  The problems are none that the lab has seen.
    """
    asked = unseen(lab, task, steps * prompts)

    def draw(step: int) -> Sequence[Rollout]:
        mine = asked[step * prompts :][:prompts]
        groups = several(lab, policy, task, mine, method, samples, seed=lab.seed * 1_000_003 + step)
        lab.charge("rollouts", prompts * samples)
        return thread_rollouts([[(t, r) for t in group if (r := right(t)) is not None] for group in groups])

    objective = replace(grpo(), advantage=attrgetter("reward"), grouped=False)
    learn_from(lab, policy, draw, steps=steps, lr=lr, objective=objective)


def several(
    lab: Lab[Any],
    policy: LocalPolicy,
    task: Task,
    problems: Sequence[Problem],
    method: Method,
    n: int,
    *,
    seed: int,
    unit: str = "sampled_tokens",
) -> list[list[Trace]]:
    """`n` attempts at every problem by a method, all at once, each with draws of its own; a group for every problem."""
    # What an attempt draws follows from its question's id, so each needs one of its own.
    asked = [replace(p, question=replace(p.question, id=f"{p.question.id}/{i}")) for p in problems for i in range(n)]
    traces = solve(method, asked, policy, task=task, seed=seed)
    lab.charge(unit, sum(trace.usage.sampled_tokens for trace in traces))
    return [traces[i : i + n] for i in range(0, len(traces), n)]
