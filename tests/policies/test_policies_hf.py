"""`hf`: folders with faults, adapters, and the fallback for architectures that the engine does not run."""

from __future__ import annotations

import asyncio
import json
import sys

import pytest
import torch
from tiny_models import CONTEXT, EOS, VOCAB, decoder, local
from transformers import AutoModelForCausalLM, GPTNeoXConfig, GPTNeoXForCausalLM, MambaConfig, MambaForCausalLM

from trivium.errors import MissingPackage, Unsupported, UserError
from trivium.learn.batch import Demonstration
from trivium.learn.fit import Learner, Optimiser
from trivium.learn.sft import sft
from trivium.models.logprob import completion_logprobs
from trivium.policies import policy as make_policy
from trivium.policies.fallback import FallbackPolicy
from trivium.policies.folder import fastest_dtype, load, resolve_dtype
from trivium.policies.hf import locate
from trivium.policies.local import LocalPolicy
from trivium.policies.lora import add_adapters, merged_state
from trivium.policies.tiny import byte_tokenizer
from trivium.teach import LearnSettings
from trivium.types import Message, Policy, Request, Sampling, Segment

HI = (Message("user", "hi"),)


@pytest.fixture
def folder(tmp_path):
    local().save(tmp_path)
    return tmp_path


def sample(policy, *requests):
    async def go():
        return await asyncio.gather(*(policy.sample(r) for r in requests))

    return asyncio.run(go())


# folders


def test_a_folder_is_a_policy_with_or_without_the_prefix(folder):
    for spec in (f"hf:{folder},dtype=fp32", f"{folder},dtype=fp32"):
        policy = make_policy(spec)
        assert isinstance(policy, LocalPolicy)
        assert policy.model.head.dtype == torch.float32


def test_folders_with_faults_are_named(folder, tmp_path):
    with pytest.raises(UserError, match=r"no model folder at '\./nowhere'"):
        locate("./nowhere")
    (folder / "model.safetensors").rename(folder / "weights.bin")
    with pytest.raises(UserError, match=r"holds no \*\.safetensors"):
        load(folder, "x", "fp32")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "part-1.safetensors"}}))
    with pytest.raises(UserError, match=r"lacks part-1\.safetensors"):
        load(folder, "x", "fp32")
    (folder / "config.json").unlink()
    with pytest.raises(UserError, match=r"it has no config\.json"):
        load(folder, "x", "fp32")


def test_a_missing_tensor_is_named(folder):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(UserError, match=r"no tensor 'model\.layers\.1\.mlp\.up_proj\.weight'"):
        load(folder, "x", "fp32")


def test_weights_in_several_files_are_read_by_their_index(folder):
    from safetensors.torch import load_file, save_file

    expected = load(folder, "x", "fp32").model.state_dict()
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    parts = {"part-1.safetensors": names[::2], "part-2.safetensors": names[1::2]}
    for file, mine in parts.items():
        save_file({n: weights[n] for n in mine}, folder / file)
    save_file({"stray": torch.zeros(1)}, folder / "consolidated.safetensors")
    index = {"weight_map": {n: file for file, mine in parts.items() for n in mine}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    found = load(folder, "x", "fp32").model.state_dict()
    assert all(torch.equal(v, found[k]) for k, v in expected.items())


def test_number_types():
    assert resolve_dtype("bf16") == torch.bfloat16
    assert resolve_dtype("auto") == fastest_dtype() in (torch.float32, torch.bfloat16)
    with pytest.raises(UserError, match="expected one of auto, fp32, bf16"):
        resolve_dtype("fp8")


# adapters


def test_adapters_change_nothing_until_they_are_trained_and_then_merge(folder, tmp_path):
    policy = make_policy(f"hf:{folder},dtype=fp32,lora=4")
    assert isinstance(policy, LocalPolicy)
    prompts, completions = [[5, 6, 7]], [(0, [8, 9, 10]), (0, [11])]
    before, _, _ = completion_logprobs(decoder("llama"), prompts, completions)
    assert torch.allclose(completion_logprobs(policy.model, prompts, completions)[0], before, atol=1e-5)

    frozen = {n: p.clone() for n, p in policy.model.named_parameters() if not p.requires_grad}
    learner = Learner(policy.model, Optimiser(lr=0.05))
    assert learner.names
    assert all(".lora_" in name for name in learner.names)
    shown = [Demonstration((5, 6, 7), (8, 9, 10)), Demonstration((5, 6, 7), (11,))]
    losses = [learner.step(shown, sft()).loss for _ in range(6)]
    assert losses[-1] < losses[0] - 0.5
    assert all(torch.equal(p, frozen[n]) for n, p in policy.model.named_parameters() if n in frozen)

    after, _, _ = completion_logprobs(policy.model, prompts, completions)
    policy.save(tmp_path / "merged")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.float32)
    with torch.no_grad():
        logits = theirs(input_ids=torch.tensor([[5, 6, 7, 8, 9, 10]])).logits[0, 2:-1].log_softmax(-1)
    assert torch.allclose(logits.gather(1, torch.tensor([[8], [9], [10]])).squeeze(1), after[0], atol=2e-4)

    # A resumed run makes its adapters anew and fills them from the state.
    again = make_policy(f"hf:{folder},dtype=fp32,lora=4")
    resumed = Learner(again.model, Optimiser(lr=0.05))
    resumed.load_state(learner.state())
    a, b = learner.step(shown, sft()), resumed.step(shown, sft())
    assert a.loss == b.loss
    assert all(torch.equal(v, merged_state(again.model)[k]) for k, v in merged_state(policy.model).items())


def test_adapters_begin_alike_whatever_was_drawn_before(folder):
    states = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        states.append(make_policy(f"hf:{folder},dtype=fp32,lora=2").model.state_dict())
        following = torch.rand(1)
        torch.manual_seed(seed)
        assert torch.equal(following, torch.rand(1)), "the caller's generator is left as it was"
    assert all(torch.equal(v, states[1][k]) for k, v in states[0].items())


def test_adapters_need_peft_and_a_rank(monkeypatch):
    with pytest.raises(UserError, match="lora=-1: expected a rank"):
        add_adapters(decoder("llama"), -1)
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingPackage, match=r"pip install 'trivium\[lora\]'"):
        add_adapters(decoder("llama"), 4)


# the fallback


def foreign(path, model):
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() > 1:
                p.normal_(0.0, 0.15, generator=torch.Generator().manual_seed(p.numel()))
    model.save_pretrained(path)
    byte_tokenizer().save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def neox(tmp_path_factory):
    config = GPTNeoXConfig(
        vocab_size=VOCAB, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=CONTEXT, eos_token_id=EOS, bos_token_id=None,
    )  # fmt: skip
    path = foreign(tmp_path_factory.mktemp("neox"), GPTNeoXForCausalLM(config))
    # What a checkpoint's own generation settings would add must not touch what is asked for here.
    (path / "generation_config.json").write_text(json.dumps({"repetition_penalty": 5.0, "eos_token_id": EOS}))
    with pytest.warns(UserWarning, match="does not run architecture 'gpt_neox'.*cannot\n? ?be taught"):
        return make_policy(f"hf:{path},dtype=fp32,max_rows=3")


def test_the_fallback_is_a_policy_that_says_what_it_cannot(neox, folder):
    assert isinstance(neox, FallbackPolicy)
    assert isinstance(neox, Policy)
    assert neox.capabilities == {"logprobs", "ids", "seed", "top_k", "prefix", "score"}
    path = neox.name.removeprefix("hf:")
    with pytest.raises(Unsupported, match="lora=2 needs the fast engine"):
        make_policy(f"hf:{path},lora=2")
    from trivium.teach.parts import local_policy

    with pytest.warns(UserWarning, match="gpt_neox"), pytest.raises(Unsupported, match="cannot be taught"):
        local_policy(LearnSettings(policy=f"hf:{path}"))


def test_fallback_greedy_is_that_of_generate(neox):
    request = Request(HI, Sampling(temperature=0.0, max_tokens=12), n=2)
    ((first, second),) = sample(neox, request)
    ids = torch.tensor([neox.encode(HI)])
    theirs = neox.model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False, eos_token_id=EOS, pad_token_id=0
    )
    expected = tuple(theirs[0, ids.shape[1] :].tolist())
    assert first.segment.ids == second.segment.ids == expected
    assert first.usage.prompt_tokens == ids.shape[1]
    assert second.usage.prompt_tokens == 0


def test_fallback_samples_depend_on_seed_and_index_and_are_scored_alike(neox):
    request = Request(HI, Sampling(temperature=0.8, top_k=50, top_p=0.95, max_tokens=9), n=5, seed=4)
    (five,) = sample(neox, request)  # in batches of 3 and 2
    (two,) = sample(neox, Request(HI, request.sampling, n=2, seed=4))
    assert [c.segment.ids for c in five[:2]] == [c.segment.ids for c in two]
    assert len({c.segment.ids for c in five}) > 1
    scores = asyncio.run(neox.score(request, [c.segment for c in five] + [Segment("model")]))
    for c, score in zip(five, scores, strict=False):
        assert score == pytest.approx(c.segment.logprobs, abs=1e-4)
    assert scores[-1] == ()


def test_fallback_stops_where_the_engine_would(neox):
    (plain,) = sample(neox, Request(HI, Sampling(temperature=0.0, max_tokens=10)))
    ids, text = plain[0].segment.ids, plain[0].segment.text
    assert plain[0].finish == "length"
    (stopped,) = sample(neox, Request(HI, Sampling(temperature=0.0, max_tokens=10, stop=(text[2:4],))))
    assert stopped[0].finish == "stop"
    assert stopped[0].text == text[: text.find(text[2:4]) + 2]
    assert stopped[0].segment.ids == ids[: len(stopped[0].segment.ids)]
    long = (Message("user", "x" * (CONTEXT - 6)),)
    (cut,) = sample(neox, Request(long, Sampling(max_tokens=50)))
    assert len(cut[0].prompt.ids) + len(cut[0].segment.ids) <= CONTEXT
    with pytest.raises(UserError, match="reads at most"):
        sample(neox, Request((Message("user", "x" * 200),), Sampling()))


def test_a_recurrent_model_runs_too(tmp_path):
    config = MambaConfig(
        vocab_size=VOCAB, hidden_size=32, num_hidden_layers=1, state_size=4, eos_token_id=EOS, bos_token_id=None,
        pad_token_id=0,
    )  # fmt: skip
    foreign(tmp_path, MambaForCausalLM(config))
    with pytest.warns(UserWarning, match="mamba"):
        policy = make_policy(f"hf:{tmp_path},dtype=fp32")
    request = Request(HI, Sampling(max_tokens=5), n=2, seed=1)
    (found,) = sample(policy, request)
    scores = asyncio.run(policy.score(request, [c.segment for c in found]))
    for c, score in zip(found, scores, strict=True):
        assert score == pytest.approx(c.segment.logprobs, abs=1e-4)
