"""Choosing a checkpoint by dev problems, as a practitioner would, with its cost counted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from trivium.lab.lab import Lab, Scored
from trivium.lab.measure import attempts, right
from trivium.models.decoder import Decoder
from trivium.policies.local import LocalPolicy
from trivium.types import Problem, Task


class Best:
    """Watches training: every `every` steps greedy accuracy on dev problems, and the weights of the best so far."""

    def __init__(
        self, lab: Lab[Any], policy: LocalPolicy, task: Task, problems: Sequence[Problem], every: int, *,
        max_tokens: int | None = None, curve: str = "dev accuracy",
    ) -> None:  # fmt: skip
        self.lab, self.policy, self.task, self.problems = lab, policy, task, problems
        self.every, self.max_tokens, self.curve = every, max_tokens, curve
        self.accuracy, self.step = -1.0, 0
        self._state: dict[str, torch.Tensor] = {}

    def __call__(self, step: int) -> None:
        if step % self.every:
            return
        traces = attempts(
            self.lab, self.policy, self.task, self.problems, max_tokens=self.max_tokens, unit="dev_tokens"
        )
        found = [score for trace in traces if (score := right(trace)) is not None]
        accuracy = sum(found) / max(1, len(found))
        self.lab.at(self.curve, step, accuracy)
        if accuracy > self.accuracy:
            self.accuracy, self.step = accuracy, step
            self._state = weights(self.policy)

    def restore(self) -> None:
        """Put the best weights back into the policy, and note where they were."""
        if self._state:
            put(self.policy, self._state)
        self.lab.note(best_step=self.step, dev_accuracy=self.accuracy)


def weights(policy: LocalPolicy) -> dict[str, torch.Tensor]:
    """A copy of a policy's weights as they are now, in the processor's memory: a GPU may have no room for several."""
    return copied(policy.model)


def copied(model: Decoder) -> dict[str, torch.Tensor]:
    """A copy of a model's weights in the processor's memory."""
    return {name: w.detach().to("cpu", copy=True) for name, w in model.state_dict().items()}


def put(policy: LocalPolicy, state: Mapping[str, torch.Tensor]) -> None:
    """Give a policy other weights."""
    policy.model.load_state_dict(dict(state))
    policy.weights_version += 1


def cheapest(found: Sequence[Scored], *, metric: str, slack: float) -> int:
    """The place of the smallest mean `metric` among those whose accuracy is at most `slack` below that of the first."""
    least = _mean(found[0], "accuracy") - slack - 1e-9
    good = [i for i, one in enumerate(found) if _mean(one, "accuracy") >= least]
    return min(good, key=lambda i: _mean(found[i], metric), default=0)


def _mean(scored: Scored, metric: str) -> float:
    known = [x for x in scored.scores[metric] if x is not None]
    return sum(known) / len(known) if known else math.inf
