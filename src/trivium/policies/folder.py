"""Read a Hugging Face model folder into a `LocalPolicy`, and choose the number type this machine computes fastest
in.
"""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trivium.errors import UserError
from trivium.models.convert import decoder_config, to_decoder
from trivium.models.decoder import Decoder, DecoderConfig
from trivium.policies.local import LocalPolicy

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def load(folder: Path, name: str, dtype: str = "auto", max_rows: int = 128) -> LocalPolicy:
    """A policy over `folder` (config.json, tokenizer, safetensors).

    `dtype` is `fp32`, `bf16` or `auto` (the faster one here).  Raises UserError naming the file that is missing and
    `NotSupported` for an architecture the engine does not run.
    """
    from transformers import AutoConfig, AutoTokenizer

    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} is not a model folder: it has no config.json")
    config = AutoConfig.from_pretrained(folder)
    shape = decoder_config(config)
    weights = read_weights(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = make_decoder(shape, to_decoder(weights, shape)).to(resolve_dtype(dtype))
    return LocalPolicy(name, model, tokenizer, config, max_rows)


def make_decoder(shape: DecoderConfig, state: dict[str, Tensor]) -> Decoder:
    """A decoder around given tensors, in float32, without initialising it first."""
    with torch.device("meta"):
        model = Decoder(shape)
    model.load_state_dict({k: v.float() for k, v in state.items()}, assign=True)
    return model.requires_grad_(True)


def read_weights(folder: Path) -> dict[str, Tensor]:
    """All tensors of a folder by name, from safetensors (sharded or not)."""
    from safetensors.torch import load_file

    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise UserError(f"{folder} holds no *.safetensors weights; re-save the model with save_pretrained()")
    merged: dict[str, Tensor] = {}
    for file in files:
        merged |= load_file(file)
    return merged


def resolve_dtype(name: str) -> torch.dtype:
    """`fp32`, `bf16` or `auto` to a torch type.  Raises UserError for anything else."""
    if name == "auto":
        return fastest_dtype()
    if name not in DTYPES:
        raise UserError(f"dtype={name!r}: expected one of auto, {', '.join(DTYPES)}")
    return DTYPES[name]


def dtype_name(dtype: torch.dtype) -> str:
    return next(k for k, v in DTYPES.items() if v == dtype)


@functools.cache
def fastest_dtype() -> torch.dtype:
    """bf16 where its matrix products are at least 1.3 times as fast as float32 ones here, else float32.

    The right answer differs by a factor of ten between common machines, so it is measured (a third of a second), not
    assumed.  The two take turns, so that a busy moment slows both.
    """
    best = dict.fromkeys((torch.float32, torch.bfloat16), float("inf"))
    end = time.perf_counter() + 0.3
    while time.perf_counter() < end:
        for dtype in best:
            best[dtype] = min(best[dtype], product_seconds(dtype))
    return torch.bfloat16 if best[torch.float32] > 1.3 * best[torch.bfloat16] else torch.float32


def product_seconds(dtype: torch.dtype, rows: int = 128, width: int = 576) -> float:
    """Seconds that one product [rows, width] @ [width, 4 * width] takes now."""
    a, w = torch.ones(rows, width, dtype=dtype), torch.ones(4 * width, width, dtype=dtype)
    torch.nn.functional.linear(a, w)
    began = time.perf_counter()
    torch.nn.functional.linear(a, w)
    return time.perf_counter() - began


def describe(policy: LocalPolicy) -> dict[str, Any]:
    """Facts about a policy for run records."""
    parameters = sum(p.numel() for p in policy.model.parameters())
    return {"name": policy.name, "parameters": parameters, "dtype": dtype_name(policy.model.embed.weight.dtype)}
