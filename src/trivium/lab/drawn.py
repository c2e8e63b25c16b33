"""Groups of judged samples, drawn once: what offline learning, and steps that a recipe takes itself, begin with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trivium.lab.lab import Lab
from trivium.policies.local import LocalPolicy
from trivium.rewards.composite import parse_rewards
from trivium.search.driver import Judge
from trivium.teach.rollout import Rollouts, Sampler
from trivium.types import Problem, Sampling, Task


def draw(lab: Lab[Any], policy: LocalPolicy, task: Task, problems: Sequence[Problem], *, n: int, seed: int) -> Rollouts:
    """`n` responses at temperature 1 to each training problem, paid 1 where right; counted as tokens and `rollouts`."""
    lab.seen.update(problem.question.id for problem in problems)
    reward, sampling = parse_rewards("outcome=1", max_tokens=task.max_tokens), Sampling(max_tokens=task.max_tokens)
    drawn = Sampler(policy, Judge(task), reward, sampling, n).sample(problems, seed)
    lab.charge("sampled_tokens", drawn.sampled_tokens)
    lab.charge("rollouts", len(drawn.traces))
    return drawn
