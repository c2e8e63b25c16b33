"""`tiny`: sizes, seeds, and a byte tokenizer that loses nothing."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from transformers import AutoModelForCausalLM, AutoTokenizer

from trivium.errors import UserError
from trivium.policies import policy as make_policy
from trivium.policies.local import LocalPolicy
from trivium.policies.tiny import SPECIALS, byte_tokenizer, parse_size, shape_for, tiny, trained_tokenizer
from trivium.types import Message

TOKENIZER = byte_tokenizer()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(text=st.text(max_size=40).filter(lambda t: not any(s in t for s in SPECIALS)))
def test_any_text_comes_back(text):
    ids = TOKENIZER.encode(text, add_special_tokens=False)
    assert len(ids) == len(text.encode())
    assert TOKENIZER.decode(ids) == text


def test_a_learnt_tokenizer_loses_nothing_keeps_digits_apart_and_is_shorter():
    texts = [f"the colour of word {i} is blue" for i in range(300)]
    learnt = trained_tokenizer(texts, 320)
    assert len(learnt) <= 320
    for text in (texts[123], "Müde?\n\n>>> f('x')  ", "12345"):
        assert learnt.decode(learnt.encode(text, add_special_tokens=False)) == text
    assert len(learnt.encode("12345", add_special_tokens=False)) == 5
    assert len(learnt.encode(texts[0], add_special_tokens=False)) < len(texts[0]) / 2
    assert trained_tokenizer(texts, 320).get_vocab() == learnt.get_vocab()


@pytest.mark.parametrize(("size", "count"), [("50k", 5e4), ("300k", 3e5), ("1M", 1e6), ("6M", 6e6)])
def test_sizes_are_near(size, count):
    width, layers = shape_for(parse_size(size))
    policy_size = layers * (4 * width**2 + 3 * width * (-(-8 * width // 3 // 32) * 32)) + 260 * width
    assert policy_size == pytest.approx(count, rel=0.35)
    assert width % 32 == 0
    assert layers >= 2


@pytest.mark.parametrize("size", ["", "1G", "9k", "201M", "-1M", "1e6", "M"])
def test_sizes_out_of_range_are_named(size):
    with pytest.raises(UserError, match=f"tiny:{size}: expected a size from 10k to 200M"):
        tiny(size)


def test_the_seed_decides_the_weights():
    a, b, c = (make_policy(f"tiny:50k,seed={seed}") for seed in (0, 0, 1))
    assert isinstance(a, LocalPolicy)
    same, other = a.model.state_dict(), c.model.state_dict()
    assert all(torch.equal(v, same[k]) for k, v in b.model.state_dict().items())
    assert not torch.equal(other["embed.weight"], same["embed.weight"])


def test_the_template_opens_the_assistants_turn():
    policy = tiny("50k")
    ids = policy.encode((Message("user", "1+1"), Message("assistant", "2"), Message("user", "and?")))
    assert policy.tokenizer.decode(ids) == "<|user|>1+1<|assistant|>2<|end|><|user|>and?<|assistant|>"


def test_transformers_loads_it_without_trivium(tmp_path):
    policy = tiny("50k")
    policy.save(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    turns = [{"role": "user", "content": "Müde? 1+1"}]
    ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
    assert tuple(ids) == policy.encode((Message("user", "Müde? 1+1"),))
    assert model.num_parameters() == sum(p.numel() for p in policy.model.parameters())
