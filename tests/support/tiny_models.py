"""Random Hugging Face models of every family the engine runs, small enough to be made in a test."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
)

from trivium.models.convert import decoder_config, to_decoder
from trivium.models.decoder import Decoder
from trivium.policies.folder import make_decoder
from trivium.policies.local import LocalPolicy
from trivium.policies.tiny import byte_tokenizer

VOCAB, CONTEXT, EOS = 260, 128, 1
_SHAPE: dict[str, Any] = {
    "vocab_size": VOCAB, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 96, "max_position_embeddings": CONTEXT, "bos_token_id": None, "eos_token_id": EOS,
    "pad_token_id": 0,
}  # fmt: skip
_LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 10000.0, "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}  # fmt: skip
_YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 32}
_GPT2: dict[str, Any] = {
    "vocab_size": VOCAB, "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": CONTEXT, "bos_token_id": None,
    "eos_token_id": EOS, "pad_token_id": 0,
}  # fmt: skip
CONFIGS: dict[str, Any] = {
    "llama": lambda: LlamaConfig(**_SHAPE, tie_word_embeddings=True),
    "llama-untied-biased": lambda: LlamaConfig(**_SHAPE, tie_word_embeddings=False, attention_bias=True, mlp_bias=True),
    "llama-llama3": lambda: LlamaConfig(**_SHAPE, rope_parameters=_LLAMA3),
    "llama-linear": lambda: LlamaConfig(
        **_SHAPE, rope_parameters={"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0}
    ),
    "llama-yarn": lambda: LlamaConfig(**_SHAPE, rope_parameters=_YARN),
    "qwen2": lambda: Qwen2Config(**_SHAPE, tie_word_embeddings=True),
    "qwen3": lambda: Qwen3Config(**_SHAPE, head_dim=24, tie_word_embeddings=False),
    "gpt2": lambda: GPT2Config(**_GPT2),
    "gpt2-untied": lambda: GPT2Config(**_GPT2, tie_word_embeddings=False),
}
FAMILIES = ("llama", "qwen2", "qwen3", "gpt2")
on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")


@functools.cache
def hf_model(kind: str) -> PreTrainedModel:
    """A float32 model whose every tensor, biases and norms included, is random: a mix-up of any two shows."""
    torch.set_num_threads(1)
    config = CONFIGS[kind]()
    config._attn_implementation = "eager"
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.normal_(0.0, 0.15, generator=generator)
            if p.dim() == 1 and name.endswith("weight"):
                p.add_(1.0)
    return model


def decoder(kind: str) -> Decoder:
    """A fresh `Decoder` with the weights of `hf_model(kind)`."""
    model = hf_model(kind)
    shape = decoder_config(model.config)
    return make_decoder(shape, {k: v.clone() for k, v in to_decoder(model.state_dict(), shape).items()})


def local(kind: str = "llama", **options: Any) -> LocalPolicy:
    """A `LocalPolicy` around it, with the byte tokenizer."""
    return LocalPolicy(
        name=kind, model=decoder(kind), tokenizer=byte_tokenizer(), config=hf_model(kind).config, **options
    )
