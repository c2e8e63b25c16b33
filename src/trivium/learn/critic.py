"""Critics: a decoder's copy that says what every state of a response is worth, and what it may be fitted to.

State t of a response is its prompt and its first t tokens, so T tokens make T + 1 states: state 0 is the bare prompt.
A critic has two words in place of a vocabulary, and the value of a state is the difference of their logits.  Hence it
is learned by the loop that learns everything else, which knows log-probs alone; both words start at zero, and so does
every value.  Values are exact to about 13 either way, beyond which one word is certain in float32.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trivium.learn.batch import Rollout, Row, Rows
from trivium.learn.fit import Learner, Optimiser, StepReport
from trivium.learn.types import Loss
from trivium.models.decoder import Decoder

CERTAIN = -1e-6
"""The largest log-prob that a value is read from: above it the other word's share is lost to rounding."""


class Fit(Protocol):
    """What a critic is fitted to: a sum over some rows of values, and the count it is divided by over all rows."""

    @property
    def count(self) -> float: ...

    def __call__(self, values: Tensor, mask: Tensor, index: Sequence[int]) -> Tensor:
        """Rows `index` of all: values Float[b,S] of their states and mask Bool[b,S] of those that exist, to a sum."""


@dataclass(eq=False)
class Critic(Learner):
    """The weights of a critic in training; see `critic`."""

    def values(self, read: Sequence[Rollout]) -> Tensor:
        """Float[B,T+1]: the value of every state of every response, without gradient; 0 where there is none."""
        states = torch.tensor([len(r.ids) + 1 for r in read])
        found = _difference(self._logp(self.model, _rows(read)))
        return found.masked_fill(torch.arange(found.shape[1]) >= states[:, None], 0.0)

    def learn(self, read: Sequence[Rollout], fit: Fit) -> StepReport:
        """One optimiser step towards what the responses are fitted to."""
        rows = _rows(read)

        def losses(piece: Rows, logp: Tensor, entropy: Tensor, mask: Tensor) -> Loss:
            return Loss(fit(_difference(logp), mask, piece.index), 0.0, {})

        return self._finish(*self._accumulate(rows, range(len(rows)), fit.count, losses))


def critic(model: Decoder, optimiser: Optimiser | None = None, max_tokens: int = 512) -> Critic:
    """A critic that begins as a copy of a model, all its values 0; it needs an optimiser's settings only to learn."""
    made = copy.deepcopy(model).requires_grad_(True)
    made.unembed = nn.Linear(model.c.width, 2, bias=False, dtype=model.head.dtype, device=model.device)
    nn.init.zeros_(made.unembed.weight)
    return Critic(made, optimiser or Optimiser(), max_tokens)


@dataclass(frozen=True)
class Squared:
    """Mean of (V - target)^2 over the states marked in `at`; target Float[B,S] and at Bool[B,S]."""

    target: Tensor
    at: Tensor

    @property
    def count(self) -> float:
        return float(self.at.sum())

    def __call__(self, values: Tensor, mask: Tensor, index: Sequence[int]) -> Tensor:
        rows, width = list(index), values.shape[1]
        gap = values - self.target[rows, :width]
        return gap.square().masked_fill(~(mask & self.at[rows, :width]), 0.0).sum()


@dataclass(frozen=True)
class Outcome:
    """Mean over responses of the cross-entropy between `right` Bool[B] and sigmoid(mean_t V(s_t)), t from 1 to T.

    What a token adds is thus found from the outcome of whole responses.  Lyu et al. 2025, arXiv:2502.06781.
    """

    right: Tensor

    @property
    def count(self) -> float:
        return float(len(self.right))

    def __call__(self, values: Tensor, mask: Tensor, index: Sequence[int]) -> Tensor:
        after = mask[:, 1:]
        mean = values[:, 1:].masked_fill(~after, 0.0).sum(1) / after.sum(1).clamp(min=1)
        right = self.right[list(index)].to(mean.dtype)
        return F.binary_cross_entropy_with_logits(mean, right, reduction="sum")


def _rows(read: Sequence[Rollout]) -> list[Row]:
    """The last id is never read, and is there because a completion's last hidden state is that of the id before it."""
    return [(r.prompt, (*r.ids, 0), (1,) * (len(r.ids) + 1)) for r in read]


def _difference(logp: Tensor) -> Tensor:
    """z_1 - z_0 from log softmax(z)_1: log p - log(1 - p)."""
    logp = logp.clamp(max=CERTAIN)
    return logp - (-logp.expm1()).log()
