"""`token_logprobs` against torch's own log-softmax."""

from __future__ import annotations

import pytest
import torch

from trivium.models.logprob import token_logprobs


def reference(hidden, head, ids, temperature):
    logp = (hidden @ head.t() / temperature).log_softmax(-1)
    return logp.gather(1, ids[:, None]).squeeze(1), -(logp.exp() * logp).sum(-1)


@pytest.mark.parametrize("temperature", [1.0, 0.7, 2.0])
@pytest.mark.parametrize("rows", [1, 4, 11])
def test_forward_entropy_and_gradients(rows, temperature, monkeypatch):
    monkeypatch.setattr("trivium.models.logprob.CHUNK", 4 * 50)  # four rows of this vocabulary at a time
    generator = torch.Generator().manual_seed(rows)
    hidden, head = torch.randn(rows, 16, generator=generator), torch.randn(50, 16, generator=generator)
    ids = torch.randint(50, (rows,), generator=generator)
    weight = torch.randn(rows, generator=generator)
    found = []
    for function in (token_logprobs, reference):
        h, w = hidden.clone().requires_grad_(), head.clone().requires_grad_()
        logp, entropy = function(h, w, ids, temperature)
        (logp * weight).sum().backward()
        found.append((logp.detach(), entropy.detach(), h.grad, w.grad))
    for ours, torchs in zip(*found, strict=True):
        assert torch.allclose(ours, torchs, atol=1e-4, rtol=1e-4)


def test_a_tied_head_gets_both_gradients():
    """The same matrix embeds and unembeds: its gradient is the sum of the two."""
    table = torch.randn(50, 16, generator=torch.Generator().manual_seed(0))
    ids, nexts = torch.tensor([3, 7, 7, 11]), torch.tensor([7, 7, 11, 3])
    gradients = []
    for function in (token_logprobs, reference):
        t = table.clone().requires_grad_()
        function(t[ids].tanh(), t, nexts, 1.0)[0].sum().backward()
        gradients.append(t.grad)
    assert torch.allclose(*gradients, atol=1e-5)


def test_a_frozen_head_or_hidden_gets_none():
    hidden, head = torch.randn(4, 8, requires_grad=True), torch.randn(20, 8)
    token_logprobs(hidden, head, torch.arange(4))[0].sum().backward()
    assert hidden.grad is not None
    assert head.grad is None


def test_bfloat16_stays_within_its_rounding():
    generator = torch.Generator().manual_seed(0)
    hidden, head = torch.randn(40, 64, generator=generator) * 0.3, torch.randn(100, 64, generator=generator) * 0.3
    ids = torch.randint(100, (40,), generator=generator)
    exact, _ = reference(hidden, head, ids, 1.0)
    rough, _ = token_logprobs(hidden.bfloat16(), head.bfloat16(), ids)
    assert rough.dtype == torch.float32
    assert 0 < (rough - exact).abs().max() < 0.05


def test_a_second_backward_is_refused():
    hidden, head = torch.randn(2, 8, requires_grad=True), torch.randn(5, 8)
    logp, _ = token_logprobs(hidden, head, torch.arange(2))
    logp.sum().backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="twice"):
        logp.sum().backward()
