"""Low-rank adapters (Hu et al. 2021, arXiv:2106.09685) through peft: train a few per cent of the weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from trivium.errors import MissingPackage, UserError
from trivium.models.decoder import Decoder

TARGETS = ("qkv", "out", "up", "down")


def add_adapters(model: Decoder, rank: int) -> None:
    """Put an adapter of `rank` on every linear layer of the blocks, in place, and freeze all else.

    W becomes W + 2 B A with A [rank, in] random and B [out, rank] zero, so the model's outputs do not change yet.  The
    factor 2 (alpha = 2 rank) keeps good learning rates alike over ranks.  Raises MissingPackage without peft.
    """
    if rank < 1:
        raise UserError(f"lora={rank}: expected a rank of at least 1, such as lora=16")
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise MissingPackage(f"lora={rank}", "peft", "pip install 'trivium[lora]'") from error
    config = LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules=list(TARGETS))
    model.requires_grad_(False)
    # The start is part of the run: the same for equal ranks, whatever was drawn before.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(rank)
        inject_adapter_in_model(config, model)


def merged_state(model: Decoder) -> dict[str, Tensor]:
    """The state dict of `model` as it would be without adapters but with what they have learnt."""
    state = {}
    for name, tensor in model.state_dict().items():
        if ".lora_" not in name:
            state[name.replace(".base_layer.", ".")] = tensor
    for name, layer in model.named_modules():
        if hasattr(layer, "lora_A"):
            weight = state[f"{name}.weight"]
            # In float32: a large and a small bf16 matrix would be rounded before they are added and after.
            state[f"{name}.weight"] = (weight.float() + _delta(layer)).to(weight.dtype)
    return state


def _delta(layer: Any) -> Tensor:
    """scaling * B A, in float32."""
    (adapter,) = layer.active_adapters
    a, b = layer.lora_A[adapter].weight, layer.lora_B[adapter].weight
    delta: Tensor = layer.scaling[adapter] * (b.detach().float() @ a.detach().float())
    return delta
