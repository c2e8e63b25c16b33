"""Offline learning of a policy and its value by the soft Bellman equation (see `trivium.learn.soft_bellman`)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F

from trivium.lab.lab import Lab
from trivium.lab.train import MICRO_TOKENS, batches, falling, step_with
from trivium.learn.advantage import return_to_go
from trivium.learn.batch import Rollout, pad, step_batch
from trivium.learn.critic import Critic, Squared, critic
from trivium.learn.fit import Learner
from trivium.learn.soft_bellman import Level, action_starts, begins, judged
from trivium.policies.local import LocalPolicy
from trivium.search.lm import Scorer
from trivium.types import Question


def fit_bellman(
    lab: Lab[Any],
    policy: LocalPolicy,
    samples: Sequence[Rollout],
    *,
    steps: int,
    batch: int,
    lr: float,
    critic_lr: float,
    level: Level = "token",
    beta: float = 0.03,
    leash: float = 0.01,
) -> Critic:
    """`steps` steps on `batch` of the samples, which the policy must have drawn as it comes; gives the critic.

    The critic is fitted first, and the policy takes the values from before: in both squares the other side is as it was
    when the batch was met.  The critic's tokens are charged as `critic_tokens`.
    """
    learner = Learner(policy.model, falling(lr, steps), MICRO_TOKENS, seed=lab.seed)
    learner.reference = copy.deepcopy(policy.model).requires_grad_(False)
    judge = critic(policy.model, falling(critic_lr, steps), MICRO_TOKENS)
    breaks = {i for i in {i for row in samples for i in row.ids} if "\n" in policy.decode((i,))}
    for drawn in batches(samples, batch, steps, lab.seed):
        [now] = learner.minibatches(drawn, 1)  # with the policy's own log-probs; those drawn are the reference's
        step = step_batch(now, pad([row.logprobs for row in drawn]))
        starts = action_starts([row.ids for row in now], level, breaks)
        objective = judged(judge.values(now), starts, beta=beta, leash=leash)
        # The state after the last token is no place to act in, and its value is not learned.
        goal, at = F.pad(return_to_go(step, beta=beta), (0, 1)), F.pad(begins(starts, step.mask), (0, 1))
        lab.charge("critic_tokens", judge.learn(now, Squared(goal, at)).trained_tokens)
        step_with(lab, learner, now, objective)
    policy.weights_version += 1
    return judge


def by_value(policy: LocalPolicy, judge: Critic) -> Scorer:
    """A judgement of responses and their beginnings: what the state after them is worth."""

    def worth(question: Question, response: str) -> float:
        said = Rollout(policy.encode(question.messages), policy.encode_text(response), (), 0.0, 0, False, False)
        return float(judge.values([said])[0, -1])

    return worth
