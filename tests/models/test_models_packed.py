"""Packed weights compute what the plain ones do, and are made again when those change."""

from __future__ import annotations

import pytest
import torch
from tiny_models import FAMILIES, decoder
from transformers import LlamaConfig

from trivium.engine.attend import Prefill
from trivium.engine.cache import NONE, BatchCache
from trivium.engine.engine import Engine, Job
from trivium.learn import OBJECTIVES
from trivium.learn.batch import Demonstration
from trivium.learn.fit import Learner, Optimiser
from trivium.models import packed as packing
from trivium.models.convert import decoder_config
from trivium.models.decoder import Decoder
from trivium.models.packed import PackedDecoder, PackedLinear, can_pack, stamp, worth_packing
from trivium.policies.lora import add_adapters
from trivium.types import GREEDY

IDS = torch.arange(5, 25)


def logits(model, ids=IDS):
    with torch.inference_mode():
        attend = Prefill(BatchCache(model.c, model.head.dtype, model.device), [len(ids)], [1], [[]], [NONE])
        return model.logits(model(ids, attend.positions, attend))


@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize(("dtype", "within"), [(torch.float32, 1e-4), (torch.bfloat16, 0.1)])
def test_a_packed_decoder_says_what_its_model_says(kind, dtype, within):
    model = decoder(kind).to(dtype)
    if not can_pack(model):
        pytest.skip("no packed products for this number type here")
    packed = PackedDecoder(model)
    assert (logits(packed) - logits(model)).abs().max() <= within
    assert sum(isinstance(m, PackedLinear) for m in packed.modules()) == 4 * model.c.layers + 1
    ours = {id(p) for p in model.parameters()}
    assert {id(p) for p in packed.parameters()} <= ours


def test_a_number_type_without_packed_products_is_left_alone():
    model = decoder("llama").double()
    assert not can_pack(model)
    e = Engine(model, eos=frozenset(), decode=str)
    e.submit(Job((7, 8, 9), GREEDY.but(max_tokens=3)))
    while e.busy:
        e.step()
    assert e.packed is None
    assert e.counters.sampled == 3


@pytest.mark.parametrize(("width", "dtype", "packs"), [
    (packing.NARROW, torch.float32, False), (2 * packing.NARROW, torch.float32, True), (32, torch.bfloat16, True),
])  # fmt: skip
def test_narrow_float32_is_left_as_it_is(width, dtype, packs):
    config = LlamaConfig(
        vocab_size=40, hidden_size=width, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    model = Decoder(decoder_config(config)).to(dtype)
    assert worth_packing(model) is (packs and can_pack(model))
    e = Engine(model, eos=frozenset(), decode=str)
    e.submit(Job((7, 8, 9), GREEDY.but(max_tokens=1)))
    e.step()
    assert (e.packed is not None) is worth_packing(model)


def test_adapters_are_packed_around():
    model = decoder("llama").float()
    add_adapters(model, 2)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_B" in name:
                p.normal_(std=0.3)
    assert (logits(PackedDecoder(model)) - logits(model)).abs().max() <= 1e-3


@pytest.mark.parametrize("change", [lambda p: p.mul_(2), lambda p: p.copy_(p + 1), lambda p: setattr(p, "data", -p)])
def test_every_way_of_writing_to_a_weight_leaves_a_mark(change):
    model = decoder("llama").float()
    before = stamp(model.modules())
    with torch.no_grad():
        change(model.blocks[1].down.weight)
    assert stamp(model.modules()) != before
    assert stamp(model.modules()) == stamp(model.modules())


def test_the_engine_follows_the_learner(monkeypatch):
    monkeypatch.setattr(packing, "NARROW", 0)
    model = decoder("llama").float()
    e = Engine(model, eos=frozenset(), decode=str)
    learner = Learner(model, Optimiser(lr=0.05))
    job = Job((7, 8, 9), GREEDY.but(max_tokens=1))
    said = []
    for _ in range(3):
        e.submit(job)
        [row] = e.step()
        expected = torch.log_softmax(logits(model, torch.tensor(job.prompt))[-1].float(), -1)
        assert row.logprobs[0] == pytest.approx(float(expected.max()), abs=1e-4)
        said.append(row.logprobs[0])
        learner.step([Demonstration((7, 8, 9), (20, 21))], OBJECTIVES.build("sft"))
    assert len(set(said)) == 3
    assert (e.packed is not None) is can_pack(model)
