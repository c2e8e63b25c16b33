"""What objectives read and return.

Shapes: B sequences of at most T generated tokens, P preference pairs.  Rows are padded on the right and hold
completions only; prompt positions never appear.  A padded position (`mask` False) may hold anything, NaN included.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from torch import Tensor

Kind = Literal["policy-gradient", "supervised", "preference"]
Metrics = Mapping[str, tuple[float, float]]
BatchT = TypeVar("BatchT", contravariant=True)


@dataclass(frozen=True)
class TokenBatch:
    """A micro-batch of sequences, for policy-gradient and supervised objectives.

    logp       Float[B,T]  log-probability of each token under the policy being trained; carries the gradient
    mask       Bool[B,T]   the tokens that are trained
    old_logp   Float[B,T]  under the policy that sampled; `None` means on-policy, where every ratio is 1
    ref_logp   Float[B,T]  under the frozen reference policy
    advantage  Float[B] or Float[B,T], computed over the whole step before it is cut into micro-batches
    truncated  Bool[B]     the rollout hit the length cap
    weight     Float[B,T]  multiplies the loss of a token; the denominator does not change
    entropy    Float[B,T]  of the policy at each position, without gradient; only logged
    """

    logp: Tensor
    mask: Tensor
    old_logp: Tensor | None = None
    ref_logp: Tensor | None = None
    advantage: Tensor | None = None
    truncated: Tensor | None = None
    weight: Tensor | None = None
    entropy: Tensor | None = None

    def __post_init__(self) -> None:
        for name in ("mask", "old_logp", "ref_logp", "weight", "entropy"):
            _check_shape(name, getattr(self, name), self.logp.shape)
        _check_shape("truncated", self.truncated, self.logp.shape[:1])
        if self.advantage is not None and self.advantage.ndim == 1:
            _check_shape("advantage", self.advantage, self.logp.shape[:1])
        else:
            _check_shape("advantage", self.advantage, self.logp.shape)


@dataclass(frozen=True)
class StepBatch:
    """All rollouts of one optimiser step: what advantages and filters may look at.  Nothing here carries a gradient.

    A rollout whose verifier failed (reward `None`) is not a row of this: it is dropped before, so it is neither paid
    nor part of its group's statistics.  Groups may therefore differ in size.

    reward     Float[B]   the shaped reward
    group      Int[B]     equal numbers mark rollouts of the same prompt
    mask       Bool[B,T]
    truncated  Bool[B]    the rollout hit the length cap
    correct    Bool[B]    the outcome verdict, which filters use: a shaped reward is not an outcome
    old_logp   Float[B,T] under the policy that sampled; for a KL penalty inside the reward
    ref_logp   Float[B,T] under the frozen reference policy
    """

    reward: Tensor
    group: Tensor
    mask: Tensor
    truncated: Tensor
    correct: Tensor | None = None
    old_logp: Tensor | None = None
    ref_logp: Tensor | None = None

    def __post_init__(self) -> None:
        if not self.reward.is_floating_point() or not self.reward.isfinite().all():
            raise ValueError(
                "rewards must be finite floats; drop rollouts whose reward is None before making a StepBatch"
            )
        for name in ("reward", "group", "truncated", "correct"):
            _check_shape(name, getattr(self, name), self.mask.shape[:1])
        for name in ("old_logp", "ref_logp"):
            _check_shape(name, getattr(self, name), self.mask.shape)

    @property
    def lengths(self) -> Tensor:
        """Int[B]: generated tokens per rollout."""
        return self.mask.sum(-1)


@dataclass(frozen=True)
class PairBatch:
    """A micro-batch of preference pairs; `preference.pair_batch` makes one from records and log-probs.

    chosen_logp, rejected_logp          Float[P,T], Float[P,U]  carry the gradient
    chosen_mask, rejected_mask          Bool, the tokens whose log-probs are summed
    chosen_ref_logp, rejected_ref_logp  under the frozen reference policy
    start                               Int[P]  first token of the first differing step
    weight, margin, smoothing           Float[P]
    """

    chosen_logp: Tensor
    rejected_logp: Tensor
    chosen_mask: Tensor
    rejected_mask: Tensor
    start: Tensor
    weight: Tensor
    margin: Tensor
    smoothing: Tensor
    chosen_ref_logp: Tensor | None = None
    rejected_ref_logp: Tensor | None = None

    def __post_init__(self) -> None:
        for name in ("chosen_mask", "chosen_ref_logp"):
            _check_shape(name, getattr(self, name), self.chosen_logp.shape)
        for name in ("rejected_mask", "rejected_ref_logp"):
            _check_shape(name, getattr(self, name), self.rejected_logp.shape)
        for name in ("start", "weight", "margin", "smoothing"):
            _check_shape(name, getattr(self, name), self.chosen_logp.shape[:1])


@dataclass(frozen=True)
class Loss:
    """The loss of a step is the sum of `sum` over its micro-batches divided by the `count` of the whole step.

    `count` is additive and does not depend on padding, hence no way of cutting a step into micro-batches changes the
    gradient.  `metrics` are (sum, count) pairs and add up in the same way.
    """

    sum: Tensor
    count: float
    metrics: Metrics


class Objective(Protocol[BatchT]):
    """Maps a batch to a `Loss`.  Those that learn from rollouts are a `RolloutObjective`."""

    @property
    def kind(self) -> Kind:
        """Which data it consumes: rollouts and `TokenBatch`, demonstrations and `TokenBatch`, or `PairBatch`."""

    @property
    def needs_ref(self) -> bool:
        """Whether reference log-probs must be given."""

    @property
    def needs_old(self) -> bool:
        """Whether it uses the sampler's log-probs, once the policy has moved since sampling."""

    def count(self, mask: Tensor, truncated: Tensor | None = None) -> float:
        """The denominator of any set of rows, from their masks alone (for pairs: the chosen masks)."""

    def __call__(self, batch: BatchT) -> Loss: ...


class RolloutObjective(Objective[TokenBatch], Protocol):
    """An objective of kind `policy-gradient`."""

    @property
    def beta(self) -> float:
        """Weight of what the loss has besides advantages.  At 0, rows without an advantage are not computed."""

    def keep(self, step: StepBatch) -> Tensor:
        """Bool[B]: which rollouts are trained at all; the others are dropped before anything else is asked."""

    def advantages(self, step: StepBatch) -> Tensor:
        """Float[B] or Float[B,T], once for a whole batch."""

    def trained(self, mask: Tensor, truncated: Tensor | None) -> Tensor:
        """Bool[B,T]: the tokens that enter the loss."""


def _check_shape(name: str, value: Tensor | None, shape: tuple[int, ...]) -> None:
    if value is not None and value.shape != shape:
        raise ValueError(f"{name} has shape {tuple(value.shape)}; expected {tuple(shape)}")


def required(value: Tensor | None, name: str, why: str) -> Tensor:
    """`value`, or a `ValueError` that says which field of the batch is missing and who wants it."""
    if value is None:
        raise ValueError(f"the batch has no {name}, but {why}")
    return value
