"""Aggregation: from token losses Float[B,T] to the (sum, count) whose quotient is the loss.

Counts depend on the mask alone and add up over any cut of the rows, which is why micro-batches never change the loss.
A row without a trained token is not a sequence and is not counted.
"""

from __future__ import annotations

from torch import Tensor


def seq_mean_token_mean(values: Tensor, mask: Tensor) -> tuple[Tensor, float]:
    """1/N sum_i 1/T_i sum_t l_it: every sequence weighs the same, so a token of a long one weighs less (GRPO)."""
    lengths = mask.sum(-1)
    return (_masked(values, mask).sum(-1) / lengths.clamp(min=1)).sum(), _rows(mask)


def token_mean(values: Tensor, mask: Tensor) -> tuple[Tensor, float]:
    """sum_it l_it / sum_i T_i: every token of the step weighs the same (DAPO)."""
    return _masked(values, mask).sum(), float(mask.sum())


def seq_sum_over_constant(values: Tensor, mask: Tensor, *, constant: float) -> tuple[Tensor, float]:
    """1/N sum_i 1/L sum_t l_it with a fixed L, such as the generation cap (Dr.GRPO).

    L is a constant of the run, never the padded width: the width changes with the longest answer of a micro-batch.
    """
    return _masked(values, mask).sum() / constant, _rows(mask)


def sequence_sum(values: Tensor, mask: Tensor) -> tuple[Tensor, float]:
    """1/N sum_i sum_t l_it: the log-probability of whole sequences, so long ones have larger gradients (RLOO)."""
    return _masked(values, mask).sum(), _rows(mask)


def observed_tokens(values: Tensor, mask: Tensor) -> tuple[float, float]:
    """(sum, count) of a metric over the trained tokens, without gradient."""
    return float(_masked(values.detach().float(), mask).sum()), float(mask.sum())


def _masked(values: Tensor, mask: Tensor) -> Tensor:
    return values.masked_fill(~mask, 0.0)


def _rows(mask: Tensor) -> float:
    return float(mask.any(-1).sum())
