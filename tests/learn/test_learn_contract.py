"""Every registered objective keeps the contract, and the contract catches those that do not."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from trivium.errors import UnknownName, UserError
from trivium.learn import OBJECTIVES
from trivium.learn.contract import check_objective
from trivium.learn.policy_gradient import cispo, grpo
from trivium.learn.preference import dpo
from trivium.learn.surrogate import Surrogate
from trivium.learn.types import Loss, StepBatch

SPECS = [
    *OBJECTIVES.names(),
    "grpo:beta=0.04,clip=0.1",
    "grpo:beta=0.04,kl=k2",
    "rloo:beta=0.05",
    "reinforce++:beta=0.01",
    "reinforce++-baseline:beta=0.01",
    "sft:mean=sequence",
    "dpo:smoothing=0.2",
    "ipo:average=true",
]


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("seed", [0, 1])
def test_objective_keeps_the_contract(spec: str, seed: int):
    assert check_objective(OBJECTIVES.build(spec), seed=seed) == []


def padded_width_mean(values: Tensor, mask: Tensor) -> tuple[Tensor, float]:
    return values.masked_fill(~mask, 0.0).sum() / mask.shape[1], float(len(mask))


def sees_padding(values: Tensor, mask: Tensor) -> tuple[Tensor, float]:
    return values.sum(), float(mask.sum())


def mean_of_means(values: Tensor, mask: Tensor) -> tuple[Tensor, float]:
    return values.masked_fill(~mask, 0.0).sum() / mask.sum(), 1.0


def raw_reward_in_small_groups(step: StepBatch) -> Tensor:
    return torch.where(step.group == 2, step.reward, grpo().advantages(step))


def rounding_phantoms(step: StepBatch) -> Tensor:
    same = (step.group[:, None] == step.group).to(step.reward.dtype)
    centred = step.reward - (same @ step.reward) / same.sum(1)
    return centred / (((same @ centred**2) / same.sum(1)).sqrt() + 1e-30)


def off_by_a_position(logp: Tensor, old: Tensor, mask: Tensor) -> Tensor:
    return (logp - old).exp().roll(1, dims=-1).detach() * (logp - logp.detach()).exp()


def lets_padding_through(logp: Tensor, old: Tensor, mask: Tensor) -> Tensor:
    return (logp - old).exp() + (~mask) * torch.nan


def no_surrogate(logp: Tensor, ratio: Tensor, advantage: Tensor) -> Surrogate:
    return Surrogate(logp * 0, ratio > 9, ratio > 9)


BROKEN = {
    "divides by the padded width": (replace(grpo(), aggregate=padded_width_mean), "padding"),
    "averages micro-batch averages": (replace(grpo(), aggregate=mean_of_means), "cutting the rows"),
    "pays a group of one its raw reward": (replace(grpo(), advantage=raw_reward_in_small_groups), "group of one"),
    "makes advantage out of rounding": (replace(grpo(), advantage=rounding_phantoms), "equal rewards"),
    "wrong gradient": (replace(grpo(), ratio=off_by_a_position), "finite differences"),
    "keeps pushing without advantage": (replace(grpo(), beta=0.1, kl=lambda logp, ref: logp), "zero advantage leaves"),
    "reads padding": (replace(grpo(), ratio=lets_padding_through, aggregate=sees_padding), "padding that holds NaN"),
    "learns nothing": (replace(cispo(), surrogate=no_surrogate), "zero on a batch with signal"),
    "is of the wrong shape": (replace(grpo(), advantage=lambda step: step.reward.mean()), "expected Float[B]"),
    "hidden reference": (replace(dpo(), needs_ref=False), "reference log-probs"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_the_contract_catches(name: str):
    objective, says = BROKEN[name]
    assert any(says in problem for problem in check_objective(objective)), check_objective(objective)


def test_the_contract_catches_a_batch_statistic():
    class Normalised:
        kind, needs_ref, needs_old = "supervised", False, False

        def count(self, mask, truncated=None):
            return float(mask.sum())

        def __call__(self, batch):
            loss = -batch.logp.masked_fill(~batch.mask, 0.0)
            return Loss((loss / loss.detach().max()).sum(), float(batch.mask.sum()), {})

    assert any("cutting the rows" in problem for problem in check_objective(Normalised()))


@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_every_objective_has_a_one_sentence_summary(name: str):
    summary = OBJECTIVES.summary(name)
    assert summary.endswith(".")
    assert 30 < len(summary) <= 120


def test_options_come_from_the_spec():
    objective = OBJECTIVES.build("grpo:beta=0.04,clip=0.1")
    assert objective.beta == 0.04
    assert objective.needs_ref
    assert objective.surrogate.keywords == {"low": 0.1, "high": 0.1}


@pytest.mark.parametrize(
    ("spec", "error", "says"),
    [
        ("gropo", UnknownName, "Did you mean grpo"),
        ("grpo:bet=1", UnknownName, "Did you mean beta"),
        ("grpo:clip=-0.2", UserError, "clip=-0.2"),
        ("grpo:beta=nan", UserError, "beta=nan"),
        ("dr-grpo:max_tokens=0", UserError, "generation cap"),
        ("dpo:beta=0", UserError, "positive"),
        ("dpo:smoothing=0.7", UserError, "at most 0.5"),
        ("sft:noise=1", UserError, "below 1"),
    ],
)
def test_bad_options_say_what_was_expected(spec, error, says):
    with pytest.raises(error, match=says):
        OBJECTIVES.build(spec)
