"""Choosing by dev numbers: cheap among those that are about as good as the first."""

from __future__ import annotations

import torch

from trivium.lab.lab import Scored
from trivium.lab.select import cheapest, put, weights
from trivium.policies.tiny import tiny


def one(accuracy: float, *costs: float | None) -> Scored:
    return Scored(("a", "b"), {"accuracy": [accuracy, accuracy], "cost": costs})


def test_the_cheapest_within_the_slack_is_chosen() -> None:
    found = [one(0.9, 10, 10), one(0.89, 5, 6), one(0.8, 1, 1), one(0.95, 7, 7)]
    assert cheapest(found, metric="cost", slack=0.01) == 1
    assert cheapest(found, metric="cost", slack=0.0) == 3
    assert cheapest(found, metric="cost", slack=0.2) == 2
    assert cheapest(found[:1], metric="cost", slack=0.0) == 0


def test_questions_without_a_number_do_not_count_and_none_at_all_is_no_bargain() -> None:
    found = [one(0.5, 4, 4), one(0.5, None, 3), one(0.5, None, None)]
    assert cheapest(found, metric="cost", slack=0.0) == 1


def test_weights_are_copied_and_put_back() -> None:
    policy = tiny("30k")
    before, version = weights(policy), policy.version
    with torch.no_grad():
        policy.model.embed.weight.add_(1.0)
    assert not torch.equal(before["embed.weight"], policy.model.embed.weight)
    put(policy, before)
    assert torch.equal(before["embed.weight"], policy.model.embed.weight)
    assert policy.version != version
