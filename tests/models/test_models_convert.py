"""The decoder computes what transformers computes, from the same checkpoint and back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_models import CONFIGS, CONTEXT, decoder, hf_model, local
from transformers import AutoModelForCausalLM, BloomConfig, GPT2Config, LlamaConfig, MistralConfig, Qwen2Config

from trivium.models.attention import GroupAttention, layout
from trivium.models.convert import NotSupported, decoder_config, from_decoder, to_decoder
from trivium.policies.folder import load
from trivium.policies.local import LocalPolicy

LOGITS = 2e-5
"""Largest difference of float32 logits whose spread is above 1: the two add up in different orders."""


def our_logits(model, ids):
    """Logits [len(ids), vocab] of one row through the grouped forward: all but the last token are the prompt."""
    where = layout([ids], [(0, [0])])
    hidden = model(where.ids, where.positions, GroupAttention(where, model.c.heads, model.c.kv_heads, model.head))
    return hidden @ model.head.t()


@pytest.mark.parametrize("kind", CONFIGS)
def test_logits_equal_those_of_transformers(kind):
    ids = torch.randint(0, 260, (100,), generator=torch.Generator().manual_seed(1)).tolist()
    with torch.no_grad():
        theirs = hf_model(kind)(input_ids=torch.tensor([ids])).logits[0]
        ours = our_logits(decoder(kind), ids)
    assert theirs.std() > 0.5
    assert (ours - theirs).abs().max() < LOGITS * theirs.abs().max()


@pytest.mark.parametrize("kind", CONFIGS)
def test_conversion_is_its_own_inverse(kind):
    model = hf_model(kind)
    shape = decoder_config(model.config)
    state = to_decoder(model.state_dict(), shape)
    back = from_decoder(state, shape)
    theirs = {k: v for k, v in model.state_dict().items() if not (shape.tied and k == "lm_head.weight")}
    assert back.keys() == theirs.keys()
    assert all(torch.equal(back[k], theirs[k]) for k in back)
    again = to_decoder(back, shape)
    assert again.keys() == state.keys()
    assert all(torch.equal(again[k], state[k]) for k in state)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_checkpoint_without_the_prefix_is_read(kind):
    model = hf_model(kind)
    shape = decoder_config(model.config)
    bare = {k.partition(".")[2]: v for k, v in model.state_dict().items() if k != "lm_head.weight"}
    whole = to_decoder(model.state_dict(), shape)
    assert all(torch.equal(v, whole[k]) for k, v in to_decoder(bare, shape).items())
    del bare["norm.weight" if kind == "llama" else "ln_f.weight"]
    with pytest.raises(KeyError, match="no tensor"):
        to_decoder(bare, shape)


@pytest.mark.parametrize("kind", ["llama-untied-biased", "qwen2", "qwen3", "gpt2", "gpt2-untied", "llama-llama3"])
def test_a_saved_folder_loads_in_transformers_and_here(kind, tmp_path: Path):
    policy = local(kind)
    policy.save(tmp_path)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32, attn_implementation="eager")
    ids = list(range(5, 60))
    with torch.no_grad():
        found = theirs(input_ids=torch.tensor([ids])).logits[0]
        expected = hf_model(kind)(input_ids=torch.tensor([ids])).logits[0]
    assert torch.equal(found, expected)
    again = load(tmp_path, "again", "fp32")
    assert isinstance(again, LocalPolicy)
    mine, its = policy.model.state_dict(), again.model.state_dict()
    assert all(torch.equal(v, its[k]) for k, v in mine.items())
    assert again.eos == policy.eos
    assert theirs.generation_config.eos_token_id == sorted(policy.eos)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (BloomConfig(), "architecture 'bloom'"),
        (MistralConfig(), "architecture 'mistral'"),
        (Qwen2Config(use_sliding_window=True), "sliding-window"),
        (LlamaConfig(hidden_act="relu"), "activation 'relu'"),
        (
            LlamaConfig(rope_parameters={"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}),
            "rope type 'dynamic'",
        ),
        (GPT2Config(scale_attn_by_inverse_layer_idx=True), "attention scaling"),
    ],
)
def test_what_is_not_covered_is_named(config, says):
    with pytest.raises(NotSupported, match=says):
        decoder_config(config)


def test_the_context_is_read():
    assert decoder("llama").c.context == decoder("gpt2").c.context == CONTEXT
