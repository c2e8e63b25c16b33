"""Hugging Face checkpoints to `Decoder` and back: configurations, names, fused matrices.

`to_decoder` and `from_decoder` are exact inverses on the supported families, so a model trained here is written with
the names and shapes transformers expects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from trivium.models.decoder import DecoderConfig

FAMILIES = ("llama", "qwen2", "qwen3", "gpt2")
_ACTIVATIONS = {"silu": "silu", "gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh"}


class NotSupported(ValueError):
    """The fast engine cannot run this architecture; `str()` says which property stands in the way."""


def decoder_config(hf: Any) -> DecoderConfig:
    """Read a transformers configuration object.  Raises `NotSupported` naming the first property we do not cover."""
    family = hf.model_type
    if family not in FAMILIES:
        raise NotSupported(f"architecture {family!r} (the fast engine covers {', '.join(FAMILIES)})")
    if getattr(hf, "use_sliding_window", False):
        raise NotSupported("sliding-window attention")
    activation = hf.activation_function if family == "gpt2" else hf.hidden_act
    if activation not in _ACTIVATIONS:
        raise NotSupported(f"activation {activation!r}")
    if family == "gpt2":
        if getattr(hf, "scale_attn_by_inverse_layer_idx", False) or not getattr(hf, "scale_attn_weights", True):
            raise NotSupported("non-standard attention scaling")
        return DecoderConfig(
            vocab=hf.vocab_size, width=hf.n_embd, layers=hf.n_layer, heads=hf.n_head, kv_heads=hf.n_head,
            head_dim=hf.n_embd // hf.n_head, mlp_width=hf.n_inner or 4 * hf.n_embd, context=hf.n_positions,
            norm="layer", eps=hf.layer_norm_epsilon, positions="learned", activation=_ACTIVATIONS[activation],  # type: ignore[arg-type]
            gated=False, qkv_bias=True, out_bias=True, mlp_bias=True, tied=bool(hf.tie_word_embeddings),
        )  # fmt: skip
    heads = hf.num_attention_heads
    head_dim = getattr(hf, "head_dim", None) or hf.hidden_size // heads
    freq, scale = _rope(hf, head_dim)
    bias = bool(getattr(hf, "attention_bias", False))
    return DecoderConfig(
        vocab=hf.vocab_size, width=hf.hidden_size, layers=hf.num_hidden_layers, heads=heads,
        kv_heads=getattr(hf, "num_key_value_heads", None) or heads, head_dim=head_dim,
        mlp_width=hf.intermediate_size, context=hf.max_position_embeddings, eps=hf.rms_norm_eps,
        rope_inv_freq=freq, rope_scale=scale, activation=_ACTIVATIONS[activation],  # type: ignore[arg-type]
        qkv_bias=bias or family == "qwen2", out_bias=bias, mlp_bias=bool(getattr(hf, "mlp_bias", False)),
        qk_norm=family == "qwen3", tied=bool(hf.tie_word_embeddings),
    )  # fmt: skip


def _rope(hf: Any, head_dim: int) -> tuple[tuple[float, ...], float]:
    """Inverse frequencies and attention scale for the fixed rope types (default, linear, llama3, yarn)."""
    rope = getattr(hf, "rope_parameters", None) or {}
    kind = rope.get("rope_type", "default")
    if rope.get("partial_rotary_factor", 1.0) != 1.0:
        raise NotSupported("partial rotary embeddings")
    if kind == "default":
        base = rope.get("rope_theta", getattr(hf, "rope_theta", 10000.0))
        inv = 1.0 / (base ** (torch.arange(0, head_dim, 2, dtype=torch.int64).float() / head_dim))
        return tuple(inv.tolist()), 1.0
    if kind not in ("linear", "llama3", "yarn"):
        raise NotSupported(f"rope type {kind!r}, whose frequencies change with the length")
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    inv, scale = ROPE_INIT_FUNCTIONS[kind](hf, torch.device("cpu"))
    return tuple(inv.tolist()), float(scale)


Fuse = tuple[str, tuple[str, ...], bool]
"""Our name, the Hugging Face names whose rows are stacked to make it, and whether theirs is stored transposed."""


def _names(c: DecoderConfig) -> Iterator[Fuse]:
    gpt2 = c.positions == "learned"
    yield "embed.weight", ("transformer.wte.weight" if gpt2 else "model.embed_tokens.weight",), False
    if gpt2:
        yield "position.weight", ("transformer.wpe.weight",), False
    if not c.tied:
        yield "unembed.weight", ("lm_head.weight",), False
    for i in range(c.layers):
        yield from _gpt2_block(i) if gpt2 else _llama_block(i, c)
    last = "transformer.ln_f" if gpt2 else "model.norm"
    yield "norm.weight", (f"{last}.weight",), False
    if gpt2:
        yield "norm.bias", (f"{last}.bias",), False


def _llama_block(i: int, c: DecoderConfig) -> Iterator[Fuse]:
    ours, theirs = f"blocks.{i}", f"model.layers.{i}"
    yield f"{ours}.attn_norm.weight", (f"{theirs}.input_layernorm.weight",), False
    yield f"{ours}.mlp_norm.weight", (f"{theirs}.post_attention_layernorm.weight",), False
    if c.qk_norm:
        yield f"{ours}.q_norm.weight", (f"{theirs}.self_attn.q_norm.weight",), False
        yield f"{ours}.k_norm.weight", (f"{theirs}.self_attn.k_norm.weight",), False
    for name, parts, bias in (
        ("qkv", ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"), c.qkv_bias),
        ("out", ("self_attn.o_proj",), c.out_bias),
        ("up", ("mlp.gate_proj", "mlp.up_proj"), c.mlp_bias),
        ("down", ("mlp.down_proj",), c.mlp_bias),
    ):
        for kind in ("weight", "bias") if bias else ("weight",):
            yield f"{ours}.{name}.{kind}", tuple(f"{theirs}.{part}.{kind}" for part in parts), False


def _gpt2_block(i: int) -> Iterator[Fuse]:
    ours, theirs = f"blocks.{i}", f"transformer.h.{i}"
    for name, part, matrix in (
        ("attn_norm", "ln_1", False), ("qkv", "attn.c_attn", True), ("out", "attn.c_proj", True),
        ("mlp_norm", "ln_2", False), ("up", "mlp.c_fc", True), ("down", "mlp.c_proj", True),
    ):  # fmt: skip
        yield f"{ours}.{name}.weight", (f"{theirs}.{part}.weight",), matrix
        yield f"{ours}.{name}.bias", (f"{theirs}.{part}.bias",), False


def to_decoder(weights: Mapping[str, Tensor], c: DecoderConfig) -> dict[str, Tensor]:
    """Hugging Face tensors by name to a `Decoder` state dict.  Raises KeyError naming a tensor that is missing."""
    find = _finder(weights)
    made = {}
    for ours, theirs, transposed in _names(c):
        parts = [find(name).t() if transposed else find(name) for name in theirs]
        made[ours] = torch.cat(parts).contiguous() if len(parts) > 1 else parts[0].contiguous()
    return made


def from_decoder(state: Mapping[str, Tensor], c: DecoderConfig) -> dict[str, Tensor]:
    """A `Decoder` state dict to Hugging Face tensors by name."""
    made = {}
    q, kv = c.heads * c.head_dim, c.kv_heads * c.head_dim
    for ours, theirs, transposed in _names(c):
        tensor = state[ours].detach()
        sizes = {1: [tensor.shape[0]], 2: [c.mlp_width] * 2, 3: [q, kv, kv]}[len(theirs)]
        for name, part in zip(theirs, torch.split(tensor, sizes), strict=True):
            made[name] = (part.t() if transposed else part).contiguous()
    return made


def _finder(weights: Mapping[str, Tensor]) -> Callable[[str], Tensor]:
    """Checkpoints saved from the bare model lack the `transformer.` or `model.` prefix: accept both."""

    def find(name: str) -> Tensor:
        for candidate in (name, name.partition(".")[2]):
            if candidate in weights:
                return weights[candidate]
        raise KeyError(f"the checkpoint has no tensor {name!r}")

    return find
