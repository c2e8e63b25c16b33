"""The weighted likelihood has the gradient of the marginal one, for any beta."""

from __future__ import annotations

import pytest
import torch
from tiny_models import decoder

from trivium.learn.batch import Demonstration
from trivium.learn.fit import Learner, Optimiser
from trivium.learn.marginal import WEIGHTED, imitated, shared
from trivium.learn.sft import sft
from trivium.models.logprob import completion_logprobs

ROWS = [
    imitated((2, 3), (5, 6, 7), 0), imitated((2, 3), (8, 9), 0), imitated((4, 4, 4), (5, 1), 1),
    imitated((2, 5), (6, 6, 6, 6), 2), imitated((2, 5), (7, 1), 2), imitated((2, 5), (8,), 2),
]  # fmt: skip


def sums(model) -> torch.Tensor:
    """log p(y|x) of every row."""
    logp, _, _ = completion_logprobs(model, [r.prompt for r in ROWS], [(i, r.ids) for i, r in enumerate(ROWS)])
    return logp.sum(1)


def gradient(model, loss) -> torch.Tensor:
    model.zero_grad()
    loss.backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()])


@pytest.mark.parametrize("beta", [0.25, 1.0])
def test_shares_give_the_gradient_of_the_marginal_likelihood(beta):
    model = decoder("llama")
    tokens = sum(len(r.ids) for r in ROWS)
    weights = torch.tensor([r.reward for r in shared(model, ROWS, beta)])
    fixed = gradient(model, -(weights * sums(model)).sum() / tokens)
    each = sums(model)
    groups = [each[:2], each[2:3], each[3:]]
    exact = gradient(model, -sum((beta * g).logsumexp(0) for g in groups) / beta / tokens)
    assert torch.allclose(fixed, exact, atol=1e-6)


def test_shares_add_up_in_each_group_and_flatten_with_beta():
    model = decoder("llama")
    for beta in (0.0, 0.25, 1.0, 50.0):
        got = [r.reward for r in shared(model, ROWS, beta)]
        assert [sum(got[:2]), got[2], sum(got[3:])] == pytest.approx([1, 1, 1], abs=1e-5)
    assert [r.reward for r in shared(model, ROWS, 0.0)] == pytest.approx([1 / 2, 1 / 2, 1, 1 / 3, 1 / 3, 1 / 3])
    assert max(shared(model, ROWS, 50.0)[3:], key=lambda r: r.reward).reward > 0.99


def test_imitating_in_full_is_plain_fine_tuning():
    steps = []
    for rows, objective in (
        (ROWS, WEIGHTED),
        ([Demonstration(r.prompt, r.ids) for r in ROWS], sft()),
    ):
        model = decoder("llama")
        report = Learner(model, Optimiser(lr=1e-2, steps=1)).step(rows, objective)
        steps.append((report.trained_tokens, report.grad_norm, model.embed.weight.detach().clone()))
    (tokens, norm, weight), (same_tokens, same_norm, same_weight) = steps
    assert tokens == same_tokens == sum(len(r.ids) for r in ROWS)
    assert norm == pytest.approx(same_norm, rel=1e-4)
    assert torch.allclose(weight, same_weight, atol=1e-4)
