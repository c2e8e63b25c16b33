"""Arithmetic on weights: task vectors, and ways to merge several models that were tuned from one base into one.

A state maps names to tensors, as `state_dict` gives it.  The task vector of a tuned model is tuned - base, by name, in
float32: in bfloat16 small differences round away.  Vectors that are merged must have the same names and shapes.

    combined    sum_k a_k v_k, to be added to the base        Ilharco et al. 2022 (task arithmetic), arXiv:2212.04089
    ties        trim, elect a sign, average those that agree  Yadav et al. 2023 (TIES), arXiv:2306.01708
    dropped     drop entries at random, rescale the others    Yu et al. 2023 (DARE), arXiv:2311.03099
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

State = Mapping[str, Tensor]
Vector = dict[str, Tensor]
"""A task vector: float32 and shaped like the state, by name."""


class Way(NamedTuple):
    """One way to mix models; see `mixture` for what its amount is."""

    family: Literal["line", "sum", "ties", "dare", "permuted"]
    amount: float = 0.5
    scale: float = 1.0


def difference(tuned: State, base: State) -> Vector:
    """tuned - base.  Raises ValueError unless both have the same names and shapes."""
    _same([tuned, base])
    return {name: tuned[name].float() - base[name].float() for name in base}


def added(base: State, vector: State, scale: float = 1.0) -> dict[str, Tensor]:
    """base + scale vector, computed in float32 and given in the base's own types."""
    _same([base, vector])
    return {name: (w.float() + scale * vector[name].float()).to(w.dtype) for name, w in base.items()}


def combined(vectors: Sequence[State], scales: Sequence[float]) -> Vector:
    """sum_k scale_k vector_k."""
    _same(vectors)
    return {
        name: torch.stack([a * v[name].float() for a, v in zip(scales, vectors, strict=True)]).sum(0)
        for name in vectors[0]
    }


def trimmed(vector: State, *, keep: float) -> Vector:
    """The share `keep` of entries that are largest in size, and 0 in place of the others.

    The entries of the whole vector are ranked, as in TIES; later codes rank within each tensor.  At least one entry
    stays; ties stay together.
    """
    if not 0 < keep <= 1:
        raise ValueError(f"keep={keep}; expected a share above 0 and at most 1")
    least = _threshold(torch.cat([v.float().abs().flatten() for v in vector.values()]), keep)
    return {name: v.float() * (v.float().abs() >= least) for name, v in vector.items()}


def elected(vectors: Sequence[State]) -> Vector:
    """Entry by entry, the sign of the sum wins, and the entries of that sign are averaged; 0 where the sum is 0."""
    _same(vectors)
    out = {}
    for name in vectors[0]:
        each = torch.stack([v[name].float() for v in vectors])
        agree = (each.sign() == each.sum(0).sign()) & (each != 0)
        out[name] = (each * agree).sum(0) / agree.sum(0).clamp(min=1)
    return out


def ties(vectors: Sequence[State], *, keep: float) -> Vector:
    """TIES: each vector trimmed to the share `keep` (0.2 in the paper), then `elected`.

    Some codes name the share that is removed instead.
    """
    return elected([trimmed(v, keep=keep) for v in vectors])


def dropped(vector: State, *, rate: float, seed: int) -> Vector:
    """DARE: each entry is 0 with probability `rate`, else divided by 1 - rate, which keeps its mean.

    Rates of 0.9 and above serve where differences are small; large ones bear 0.3 to 0.4.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"rate={rate}; expected a probability, at least 0 and below 1")
    generator = torch.Generator().manual_seed(seed)
    out = {}
    for name, v in vector.items():
        stays = torch.rand(v.shape, generator=generator) >= rate
        out[name] = v.float() * stays.to(v.device) / (1 - rate)
    return out


def permuted(vector: State, *, seed: int) -> Vector:
    """The entries of every tensor in random order: the same sizes without their meaning, as a control."""
    generator = torch.Generator().manual_seed(seed)
    out = {}
    for name, v in vector.items():
        order = torch.randperm(v.numel(), generator=generator).to(v.device)
        out[name] = v.float().flatten()[order].view(v.shape)
    return out


def mixture(base: State, tuned: Sequence[State], way: Way) -> dict[str, Tensor]:
    """The weights of models tuned from one base, mixed one way.

    line       base + scale (amount v_1 + (1 - amount) v_2), of two models: at scale 1 the line between them
    sum        base + scale sum_k v_k
    ties       base + scale ties(v, keep=amount)
    dare       base + scale sum_k dropped(v_k, rate=amount)
    permuted   the second model + scale times amount of the way to the first, its entries in random order
    """
    vectors = [difference(model, base) for model in tuned]
    ones = [1.0] * len(vectors)
    if way.family == "line":
        one, other = vectors
        return added(base, combined([one, other], [way.amount, 1 - way.amount]), way.scale)
    if way.family == "sum":
        return added(base, combined(vectors, ones), way.scale)
    if way.family == "ties":
        return added(base, ties(vectors, keep=way.amount), way.scale)
    if way.family == "dare":
        return added(
            base, combined([dropped(v, rate=way.amount, seed=k) for k, v in enumerate(vectors)], ones), way.scale
        )
    first, second = tuned
    return added(second, permuted(difference(first, second), seed=0), way.amount * way.scale)


def _threshold(sizes: Tensor, keep: float) -> Tensor:
    """The smallest of the `keep` largest."""
    stay = max(1, round(keep * sizes.numel()))
    return sizes.kthvalue(sizes.numel() - stay + 1).values


def _same(states: Sequence[State]) -> None:
    """Raise ValueError unless all have the same names and shapes."""
    if not states:
        raise ValueError("nothing to merge; expected at least one state")
    shapes = [{name: tuple(t.shape) for name, t in state.items()} for state in states]
    if any(other != shapes[0] for other in shapes[1:]):
        raise ValueError("these weights differ in names or shapes; only models of one architecture merge")
