"""Sharing a prompt changes nothing: log-probs and gradients equal those of separate full rows."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from tiny_models import decoder, hf_model

from trivium.models import attention
from trivium.models.attention import layout
from trivium.models.logprob import completion_logprobs

TOKENS = st.integers(2, 259)
BATCHES = st.lists(
    st.tuples(st.lists(TOKENS, min_size=1, max_size=9), st.lists(st.lists(TOKENS, min_size=1, max_size=7), max_size=3)),
    min_size=1, max_size=4,
).filter(lambda groups: any(completions for _, completions in groups))  # fmt: skip


def separate(model, prompt, ids):
    """Log-probs of `ids` after `prompt` as a row of its own."""
    logp, _, _ = completion_logprobs(model, [prompt], [(0, ids)])
    return logp[0]


def grads(model, loss):
    model.zero_grad(set_to_none=True)
    loss.backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("kind", ["qwen3", "gpt2"])
@settings(max_examples=12, deadline=None, derandomize=True)
@given(groups=BATCHES, seed=st.integers(0, 99), small=st.booleans())
def test_groups_equal_separate_rows_forward_and_backward(kind, groups, seed, small):
    """float64, so the tolerance is that of exact arithmetic: log-softmax alone is done in float32.

    In `small` blocks, spans are cut and padded to others as long ones are.
    """
    model = decoder(kind).double()
    prompts = [p for p, _ in groups]
    completions = [(g, c) for g, (_, cs) in enumerate(groups) for c in cs]
    with pytest.MonkeyPatch.context() as patch:
        if small:
            patch.setattr(attention, "QUERIES", 3)
            patch.setattr(attention, "SCORES", 100)
        logp, entropy, mask = completion_logprobs(model, prompts, completions)
    weight = torch.randn(logp.shape, generator=torch.Generator().manual_seed(seed))
    shared = grads(model, (logp * weight).sum())
    total = torch.zeros(())
    for i, (g, ids) in enumerate(completions):
        alone = separate(model, prompts[g], ids)
        assert mask[i].tolist() == [True] * len(ids) + [False] * (logp.shape[1] - len(ids))
        assert torch.allclose(logp[i, : len(ids)], alone, atol=2e-6)
        total = total + (alone * weight[i, : len(ids)]).sum()
    apart = grads(model, total)
    assert (logp[~mask] == 0).all()
    assert (entropy[~mask] == 0).all()
    assert shared.keys() == apart.keys()
    for name, g in apart.items():
        assert torch.allclose(shared[name], g, atol=1e-5, rtol=1e-4), name


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_log_probs_equal_those_of_transformers(kind):
    """Through the whole grouped forward, float32: 1e-4 nats."""
    prompts, completions = [[5, 6, 7, 8], [9]], [(0, [10, 11, 12]), (1, [20, 21, 22, 23, 24]), (0, [30])]
    logp, entropy, _ = completion_logprobs(decoder(kind), prompts, completions)
    for i, (g, ids) in enumerate(completions):
        with torch.no_grad():
            logits = hf_model(kind)(input_ids=torch.tensor([prompts[g] + ids])).logits[0]
        all_logp = logits[len(prompts[g]) - 1 : -1].log_softmax(-1)
        expected = all_logp.gather(1, torch.tensor(ids)[:, None]).squeeze(1)
        assert torch.allclose(logp[i, : len(ids)], expected, atol=1e-4)
        assert torch.allclose(entropy[i, : len(ids)], -(all_logp.exp() * all_logp).sum(-1), atol=1e-4)


@pytest.mark.parametrize("completions", [[(0, [3])], [(0, [3]), (1, [4]), (0, [5])]])
def test_completions_of_one_token_each(completions):
    model, prompts = decoder("llama"), [[5, 6, 7], [8]]
    logp, _, mask = completion_logprobs(model, prompts, completions)
    assert logp.shape == (len(completions), 1)
    assert mask.all()
    logp.sum().backward()
    for i, (g, ids) in enumerate(completions):
        # A token more behind it cannot change what precedes it.
        assert torch.allclose(logp[i, 0], separate(model, prompts[g], [*ids, 9])[0], atol=1e-5)


def test_targets_may_differ_from_what_is_read():
    model = decoder("llama")
    read, wanted = [10, 11, 12], [20, 21, 22]
    logp, _, _ = completion_logprobs(model, [[5, 6]], [(0, read)], targets=[wanted])
    for t, target in enumerate(wanted):
        assert torch.allclose(logp[0, t], separate(model, [5, 6], [*read[:t], target])[t], atol=1e-5)


def test_nothing_is_predicted_from_nothing():
    for prompts, completions in (([[]], [(0, [1])]), ([[1]], [(0, [])])):
        with pytest.raises(ValueError, match="at least one token"):
            layout(prompts, completions)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(spans=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 90)), max_size=12), heads=st.sampled_from([1, 4]))
def test_every_query_is_in_one_block_and_blocks_are_small_and_full(spans, heads):
    parts = list(attention._parts([attention.Span(1000 * i, n, 5, seen) for i, (n, seen) in enumerate(spans)]))
    assert sorted((p.span.start + q) for p in parts for q in range(p.first, p.end)) == [
        1000 * i + q for i, (n, _) in enumerate(spans) for q in range(n)
    ]
    blocks = list(attention._alike(parts, heads, 20_000, attention.SMALL))
    assert sorted(p for block in blocks for p in block) == sorted(parts)
    for block in blocks:
        area = len(block) * heads * max(p.queries for p in block) * max(p.keys for p in block)
        real = sum(heads * p.queries * p.keys for p in block)
        assert max(p.queries for p in block) <= attention.QUERIES
        assert len(block) == 1 or (area <= 20_000 and area - real <= max(attention.WASTE * real, attention.SMALL))


def test_what_is_alike_is_computed_together():
    parts = list(attention._parts([attention.Span(0, 20)] * 50))
    assert [len(block) for block in attention._alike(parts, 2, 40_000, attention.SMALL)] == [50]
