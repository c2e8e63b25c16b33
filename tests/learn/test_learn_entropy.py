"""The bonus has the gradient of the entropy, on average over what is sampled."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from trivium.errors import UserError
from trivium.learn.entropy import surprise, with_entropy
from trivium.learn.policy_gradient import grpo, rloo
from trivium.learn.types import TokenBatch


def test_over_all_tokens_the_gradient_is_that_of_minus_the_entropy() -> None:
    logits = torch.tensor([0.3, -1.2, 2.0, 0.0], dtype=torch.float64, requires_grad=True)
    logp = logits.log_softmax(0)
    [bonus] = torch.autograd.grad((logp.detach().exp() * surprise(logp, logp)).sum(), logits, retain_graph=True)
    [entropy] = torch.autograd.grad(-(logp.exp() * logp).sum(), logits)
    assert torch.allclose(bonus, -entropy)


def test_it_is_added_to_the_loss_of_trained_tokens_whatever_their_advantage() -> None:
    logp = torch.tensor([[-1.0, -2.0], [-0.5, -9.0]])
    mask = torch.tensor([[True, True], [True, False]])
    batch = TokenBatch(logp, mask, ref_logp=torch.zeros(2, 2), advantage=torch.tensor([0.0, 2.0]))
    plain, rewarded = rloo(beta=0.1)(batch), with_entropy(rloo(beta=0.1), 0.5)(batch)
    assert rewarded.count == plain.count
    assert float(rewarded.sum - plain.sum) == pytest.approx(0.5 * (1 + 4 + 0.25) / 2)


def test_none_is_the_objective_itself_and_two_terms_are_refused() -> None:
    plain = rloo()
    assert with_entropy(plain, 0.0) is plain
    for objective, bonus in ((grpo(beta=0.1), 0.1), (rloo(), -0.1)):
        with pytest.raises(UserError, match="entropy bonus"):
            with_entropy(objective, bonus)


def test_it_needs_a_reference_only_where_the_objective_does() -> None:
    bare = with_entropy(rloo(), 0.5)
    assert (bare.needs_ref, with_entropy(rloo(beta=0.1), 0.5).needs_ref) == (False, True)
    batch = TokenBatch(torch.tensor([[-1.0, -2.0]]), torch.ones(1, 2, dtype=torch.bool), advantage=torch.zeros(1))
    assert float(bare(batch).sum) == pytest.approx(0.5 * (1 + 4) / 2)
    with pytest.raises(ValueError, match="no ref_logp"):
        replace(grpo(), beta=0.1)(batch)
