"""Read a Hugging Face model folder into a `LocalPolicy`, and choose the number type this machine computes fastest
in.
"""

from __future__ import annotations

import functools
import json
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trivium.errors import Unsupported, UserError
from trivium.models.convert import NotSupported, decoder_config, to_decoder
from trivium.models.decoder import Decoder, DecoderConfig
from trivium.policies.chat import id_set
from trivium.policies.device import CPU, CPU_ROWS, resolve_device, usual_rows
from trivium.policies.fallback import load_fallback
from trivium.policies.local import LocalPolicy
from trivium.policies.lora import add_adapters
from trivium.types import Policy

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def load(
    folder: Path, name: str, dtype: str = "auto", max_rows: int | None = None, lora: int = 0, device: str = "cpu"
) -> Policy:
    """A policy over `folder` (config.json, tokenizer, safetensors): the fast engine's where it runs the architecture,
    else transformers' own.

    `dtype` is `fp32`, `bf16` or `auto` (the faster one there); `lora` the rank of adapters to train, 0 for none;
    `max_rows` how many samples are made at a time, `None` for what suits the `device`.  Raises UserError naming the
    file or tensor that is missing.
    """
    where = resolve_device(device)
    kind = resolve_dtype(dtype, where)
    from transformers import AutoConfig, AutoTokenizer

    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} is not a model folder: it has no config.json")
    try:
        config, tokenizer = AutoConfig.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    except (ValueError, OSError, KeyError, ImportError) as error:
        raise UserError(f"transformers cannot read the configuration or tokenizer in {folder}: {error}") from error
    chat: dict[str, Any] = {"tokenizer": tokenizer, "config": config, "generation_eos": _generation_eos(folder)}
    try:
        shape = decoder_config(config)
    except NotSupported as reason:
        if lora:
            raise Unsupported(f"{name}: lora={lora} needs the fast engine, which does not run {reason}") from reason
        why = f"the fast engine does not run {reason}"
        return load_fallback(folder, name, kind, where, max_rows or CPU_ROWS, chat, why)
    try:
        model = make_decoder(shape, to_decoder(read_weights(folder), shape)).to(kind).to(where)
    except KeyError as missing:
        raise UserError(f"{folder}: {missing.args[0]}; re-save the model with save_pretrained()") from missing
    if lora:
        add_adapters(model, lora)
    return LocalPolicy(name=name, model=model, max_rows=max_rows or usual_rows(where), **chat)


def _generation_eos(folder: Path) -> frozenset[int]:
    """End tokens that only generation_config.json names, as with many chat models."""
    path = folder / "generation_config.json"
    return id_set(json.loads(path.read_text(encoding="utf-8")).get("eos_token_id")) if path.is_file() else frozenset()


def make_decoder(shape: DecoderConfig, state: dict[str, Tensor]) -> Decoder:
    """A decoder around given tensors, in float32, without initialising it first."""
    with torch.device("meta"):
        model = Decoder(shape)
    model.load_state_dict({k: v.float() for k, v in state.items()}, assign=True)
    return model.requires_grad_(True)


def read_weights(folder: Path) -> dict[str, Tensor]:
    """All tensors of a folder by name, from safetensors (sharded or not)."""
    from safetensors.torch import load_file

    index = folder / "model.safetensors.index.json"
    if index.is_file():
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        files = [folder / name for name in sorted(names)]
    else:
        files = [f for f in (folder / "model.safetensors",) if f.is_file()] or sorted(folder.glob("*.safetensors"))
    if not files:
        raise UserError(f"{folder} holds no *.safetensors weights; re-save the model with save_pretrained()")
    if absent := [f.name for f in files if not f.is_file()]:
        raise UserError(f"{folder} lacks {absent[0]}, which its index names; copy or download the folder again")
    merged: dict[str, Tensor] = {}
    for file in files:
        merged |= load_file(file)
    return merged


def resolve_dtype(name: str, device: torch.device = CPU) -> torch.dtype:
    """`fp32`, `bf16` or `auto` (the faster one on a device) to a torch type.  Raises UserError for anything else."""
    if name == "auto" and device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
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
