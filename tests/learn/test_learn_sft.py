"""Supervised learning: the loss against torch's own cross-entropy, and what input noise may and may not touch."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from trivium.learn.sft import corrupt, sft
from trivium.learn.types import TokenBatch


def batch_of(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, TokenBatch]:
    g = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, 5, 11, generator=g, dtype=torch.float64).requires_grad_()
    labels = torch.randint(11, (3, 5), generator=g)
    mask = spans([0, 1, 2], [5, 2, 4], 5)
    logp = logits.log_softmax(-1).gather(-1, labels[..., None])[..., 0]
    return logits, labels, mask, TokenBatch(logp, mask)


def test_token_mean_is_cross_entropy_over_the_unmasked_labels():
    logits, labels, mask, batch = batch_of()
    loss = sft()(batch)
    assert loss.count == 8.0
    expected = F.cross_entropy(logits.flatten(0, 1), labels.masked_fill(~mask, -100).flatten())
    ours, theirs = (torch.autograd.grad(v, logits, retain_graph=True)[0] for v in (loss.sum / loss.count, expected))
    assert (loss.sum / loss.count).item() == pytest.approx(expected.item())
    assert torch.allclose(ours, theirs)
    assert loss.metrics["nll"] == (pytest.approx(loss.sum.item(), rel=1e-5), 8.0)


def test_sequence_mean_weighs_every_demonstration_the_same():
    _, _, mask, batch = batch_of()
    loss = sft(mean="sequence")(batch)
    rows = [-batch.logp[i, mask[i]].mean().item() for i in range(3)]
    assert (loss.sum / loss.count).item() == pytest.approx(sum(rows) / 3)


def test_weights_choose_what_counts_how_much():
    _, _, mask, batch = batch_of()
    weight = torch.zeros(3, 5, dtype=torch.float64)
    weight[0, 2] = 3.0
    loss = sft()(TokenBatch(batch.logp, mask, weight=weight))
    assert loss.sum.item() == pytest.approx(-3 * batch.logp[0, 2].item())


def spans(start: list[int], end: list[int], width: int) -> torch.Tensor:
    """Bool[B,width], true from start to end."""
    place = torch.arange(width)
    return (place >= torch.tensor(start)[:, None]) & (place < torch.tensor(end)[:, None])


def noisy(seed: int, rate: float = 0.4, mask_id: int | None = None) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    ids = torch.arange(4000).view(4, 1000) % 50
    protected = ~spans([100] * 4, [900] * 4, 1000)
    g = torch.Generator().manual_seed(seed)
    return ids, protected, corrupt(ids, protected, rate=rate, vocab_size=50, mask_id=mask_id, generator=g)


def test_noise_leaves_protected_tokens_and_its_argument_alone():
    ids, protected, out = noisy(0)
    assert torch.equal(out[protected], ids[protected])
    assert torch.equal(ids, torch.arange(4000).view(4, 1000) % 50)
    assert out.min() >= 0
    assert out.max() < 50


def test_noise_hits_the_rate_it_was_given():
    ids, protected, out = noisy(0, mask_id=77)
    hit = (out != ids)[~protected]
    assert hit.double().mean().item() == pytest.approx(0.4, abs=0.03)
    assert set(out[out != ids].tolist()) == {77}


def test_noise_is_repeated_by_its_seed_only():
    assert torch.equal(noisy(3)[2], noisy(3)[2])
    assert not torch.equal(noisy(3)[2], noisy(4)[2])


def test_the_objective_applies_its_own_noise_and_plain_sft_none():
    ids, protected, _ = noisy(0)
    g = torch.Generator().manual_seed(0)
    assert sft().inputs(ids, protected, vocab_size=50, generator=g) is ids
    masked = sft(noise=0.4, mask_id=77).inputs(ids, protected, vocab_size=50, generator=g)
    assert torch.equal(masked, noisy(0, mask_id=77)[2])
