"""A decoder's weights laid out for products with few rows, which is what generation computes.

oneDNN multiplies blocked matrices.  Given a plain one it rearranges it in every call, which costs as much as the
product itself where the other side has a hundred rows or fewer; rearranged once for each version of the weights, a
sixth to a half of the time is gone.  In bf16 the products were seen to be equal to the last bit.

A packed product takes some 10 microseconds before it begins.  float32 has a plain one that begins in 1, and does not
rearrange narrow matrices, so that these are left as they are.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from trivium.models.decoder import Decoder

NARROW = 128
"""Width below and at which float32 is not packed.  Plain over packed, all products of a layer, one core (EPYC Zen 4):
at width 32 0.13 of the time for 1 row and 0.69 for 256; at 64 0.19, 0.94; at 128 0.32, 1.06; at 192 0.49, 1.09.
"""
BASES = ("qkv", "out", "up", "down", "base_layer")
"""The attributes that hold large matrices; `base_layer` is the name below an adapter."""


class PackedLinear(nn.Module):
    """x [..., in] to x W^T + b [..., out] without gradient; `weight` is the matrix [out, in] that was packed."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.weight, self.bias = weight, bias
        self.packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.detach())

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "none", [], "")
        return out


class PackedDecoder(Decoder):
    """A twin of `model` that shares all its tensors and adds packed copies of the large ones (as many bytes again).

    It computes what `model` computed when it was packed, without gradient; `stamp` tells whether that is still so.
    """

    def __init__(self, model: Decoder) -> None:
        nn.Module.__init__(self)
        self.c = model.c
        self.embed, self.position, self.norm, self.unembed = model.embed, model.position, model.norm, model.unembed
        shared = {id(p): p for p in model.parameters()}
        self.blocks = copy.deepcopy(model.blocks, shared)
        for module in list(self.blocks.modules()):
            for name in BASES:
                child = getattr(module, name, None)
                if isinstance(child, nn.Linear):
                    setattr(module, name, PackedLinear(child.weight, child.bias))
        self.logits_of = PackedLinear(model.head, None)

    def logits(self, hidden: Tensor) -> Tensor:
        out: Tensor = self.logits_of(hidden)
        return out


def stamp(modules: Iterable[nn.Module]) -> tuple[tuple[int, int], ...]:
    """What changes when a weight of some modules does: where each lives and how often it was written to.

    For a whole model give all its `modules()`; to look for them in every step would take a millisecond of it.

    An optimiser that writes unmarked (torch's fused ones) must call `torch.autograd.graph.increment_version`.
    """
    return tuple((p.data_ptr(), p._version) for m in modules for p in m._parameters.values() if p is not None)


def can_pack(model: Decoder) -> bool:
    """Whether this machine and number type have packed products: float32, and bf16 where the processor knows it."""
    weight = model.head
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    return weight.dtype == torch.float32 or (
        weight.dtype == torch.bfloat16 and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )


def worth_packing(model: Decoder) -> bool:
    """Whether packed products are to be had here and take less time than plain ones."""
    return can_pack(model) and (model.head.dtype != torch.float32 or model.c.width > NARROW)
