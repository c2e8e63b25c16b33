"""Preference losses against plain-Python formulas from their papers, their identities, and the record they share."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from trivium.errors import UserError
from trivium.learn import OBJECTIVES
from trivium.learn.preference import Pairwise, Preference, dpo, dpo_nll, ipo, pair_batch, simpo, step_dpo
from trivium.learn.types import PairBatch

# A shared prefix of two tokens in the first pair; ragged responses; every field of the record in use.
RECORDS = [
    Preference((1, 2), chosen=(3, 4, 5), rejected=(3, 4, 6, 7), start=2, weight=0.5, margin=0.3, smoothing=0.1),
    Preference((1,), chosen=(8, 9, 2, 2), rejected=(5, 6), chosen_mask=(True, False, True, True)),
    Preference((1,), chosen=(8,), rejected=(5, 6, 7), smoothing=0.4, rejected_mask=(False, True, True)),
]


def logps(seed: int = 0) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(seed)
    widths = {"chosen_logp": 4, "rejected_logp": 4, "chosen_ref_logp": 4, "rejected_ref_logp": 4}
    return {k: -2 * torch.rand(3, w, generator=g, dtype=torch.float64) - 0.05 for k, w in widths.items()}


def make(seed: int = 0, **changes: Tensor) -> PairBatch:
    return pair_batch(RECORDS, **(logps(seed) | changes))


def gradients(objective: Pairwise, batch: PairBatch) -> tuple[float, Tensor, Tensor]:
    chosen, rejected = (v.clone().requires_grad_() for v in (batch.chosen_logp, batch.rejected_logp))
    loss = objective(replace(batch, chosen_logp=chosen, rejected_logp=rejected))
    loss.sum.backward()
    return loss.sum.item(), chosen.grad, rejected.grad


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def counted(mask: tuple[bool, ...], response: tuple[int, ...], start: int = 0) -> list[int]:
    return [t for t in range(start, len(response)) if not mask or mask[t]]


def paper(name: str, batch: PairBatch) -> float:
    """The sum over pairs, written out token by token."""
    total = 0.0
    for i, r in enumerate(RECORDS):
        start = r.start if name == "step-dpo" else 0
        sides = []
        for logp, ref, mask, response in (
            (batch.chosen_logp, batch.chosen_ref_logp, r.chosen_mask, r.chosen),
            (batch.rejected_logp, batch.rejected_ref_logp, r.rejected_mask, r.rejected),
        ):
            tokens = counted(mask, response, start)
            ratio = sum(float(logp[i, t]) - float(ref[i, t]) for t in tokens)
            mean = sum(float(logp[i, t]) for t in tokens) / len(tokens)
            sides.append({"ratio": ratio, "mean_ratio": ratio / len(tokens), "mean": mean})
        won, lost = sides
        if name in ("dpo", "dpo-nll"):
            u = 0.1 * (won["ratio"] - lost["ratio"]) - r.margin
        elif name == "step-dpo":
            u = 0.4 * (won["ratio"] - lost["ratio"]) - r.margin
        elif name == "simpo":
            u = 2.0 * won["mean"] - 2.0 * lost["mean"] - 1.0 - r.margin
        elif name == "ipo":
            u = won["ratio"] - lost["ratio"] - r.margin
        else:
            u = won["mean_ratio"] - lost["mean_ratio"] - r.margin
        if name.startswith("ipo"):
            right, wrong = (u - 1 / (2 * 0.1)) ** 2, (-u - 1 / (2 * 0.1)) ** 2
        else:
            right, wrong = -math.log(sigmoid(u)), -math.log(sigmoid(-u))
        imitated = -won["mean"] if name == "dpo-nll" else 0.0
        total += r.weight * ((1 - r.smoothing) * right + r.smoothing * wrong + imitated)
    return total


@pytest.mark.parametrize("name", ["dpo", "step-dpo", "dpo-nll", "ipo", "ipo:average=true", "simpo"])
@pytest.mark.parametrize("seed", range(3))
def test_loss_is_its_papers_formula(name: str, seed: int):
    batch = make(seed)
    loss = OBJECTIVES.build(name)(batch)
    assert float(loss.sum) == pytest.approx(paper(name, batch), rel=1e-12)
    assert loss.count == 3.0


def plain(batch: PairBatch) -> PairBatch:
    """Without weights, margins and smoothing."""
    zero = torch.zeros_like(batch.weight)
    return replace(batch, weight=torch.ones_like(zero), margin=zero, smoothing=zero)


@pytest.mark.parametrize("objective", [dpo(), step_dpo()])
def test_dpo_at_the_reference_costs_log_2_and_pushes_half_beta(objective: Pairwise):
    batch = plain(make())
    batch = replace(batch, chosen_ref_logp=batch.chosen_logp, rejected_ref_logp=batch.rejected_logp)
    value, chosen, rejected = gradients(objective, batch)
    assert value / 3 == pytest.approx(math.log(2))
    assert chosen[1, 0].item() == pytest.approx(-objective.scale / 2)
    assert rejected[1, 0].item() == pytest.approx(objective.scale / 2)
    assert not chosen[1, 1]  # masked in the record


def test_dpo_gradient_is_beta_times_how_wrong_the_implicit_reward_is():
    batch = plain(make(1))
    _, chosen, rejected = gradients(dpo(beta=0.7), batch)
    won = ((batch.chosen_logp - batch.chosen_ref_logp) * batch.chosen_mask).sum(-1)
    lost = ((batch.rejected_logp - batch.rejected_ref_logp) * batch.rejected_mask).sum(-1)
    for i in range(3):
        push = 0.7 * sigmoid(-0.7 * float(won[i] - lost[i]))
        assert torch.allclose(chosen[i], -push * batch.chosen_mask[i].double())
        assert torch.allclose(rejected[i], push * batch.rejected_mask[i].double())


@pytest.mark.parametrize("beta", [0.05, 0.1, 1.0])
def test_ipo_rests_exactly_at_its_target(beta: float):
    batch = plain(make())
    zero = torch.zeros_like(batch.chosen_logp)
    target = torch.zeros_like(zero)
    target[:, 0] = 1 / (2 * beta)
    batch = replace(batch, chosen_logp=target, chosen_ref_logp=zero, rejected_logp=zero, rejected_ref_logp=zero.clone())
    value, chosen, rejected = gradients(ipo(beta=beta), batch)
    assert value == pytest.approx(0.0, abs=1e-20)
    assert not chosen.any()
    assert not rejected.any()
    beyond, _, _ = gradients(ipo(beta=beta), replace(batch, chosen_logp=2 * target))
    assert beyond > 0.1  # a gap twice the target is punished: that is the point of IPO


def test_dpo_nll_is_dpo_plus_a_pull_towards_the_chosen_response_alone():
    batch = plain(make())
    _, chosen, rejected = gradients(dpo(), batch)
    _, pulled, same = gradients(dpo_nll(alpha=0.5), batch)
    assert torch.equal(rejected, same)
    lengths = batch.chosen_mask.sum(-1, keepdim=True)
    assert torch.allclose(chosen - pulled, 0.5 * batch.chosen_mask.double() / lengths)
    assert gradients(dpo_nll(alpha=0.0), batch)[0] == gradients(dpo(), batch)[0]
    with pytest.raises(UserError, match="alpha=-1"):
        dpo_nll(alpha=-1)


def test_simpo_does_not_care_how_long_an_answer_is():
    pairs = [Preference((1,), chosen=(2,) * n, rejected=(3,) * m) for n, m in ((1, 4), (2, 2), (4, 1))]
    chosen, rejected = torch.full((3, 4), -0.5).double(), torch.full((3, 4), -0.8).double()
    objective = simpo(beta=2.0, gamma=1.0)
    assert not objective.needs_ref
    losses = [
        float(objective(pair_batch([p], chosen[i : i + 1], rejected[i : i + 1])).sum) for i, p in enumerate(pairs)
    ]
    assert losses == pytest.approx([-math.log(sigmoid(2.0 * 0.3 - 1.0))] * 3)


def test_step_dpo_teaches_nothing_before_the_first_differing_step():
    _, chosen, rejected = gradients(step_dpo(), make())
    assert not chosen[0, :2].any()
    assert not rejected[0, :2].any()
    assert chosen[0, 2] < 0 < rejected[0, 2]


def test_a_shared_prefix_cancels_in_dpo():
    d = logps()
    d["rejected_logp"][0, :2] = d["chosen_logp"][0, :2]
    d["rejected_ref_logp"][0, :2] = d["chosen_ref_logp"][0, :2]
    batch = make(**d)
    assert float(step_dpo(beta=0.1)(batch).sum) == pytest.approx(float(dpo(beta=0.1)(batch).sum))


def test_a_margin_raises_the_loss_and_the_push():
    batch = plain(make())
    value, chosen, _ = gradients(step_dpo(), batch)
    more, harder, _ = gradients(step_dpo(), replace(batch, margin=torch.full((3,), 0.5).double()))
    assert more > value
    assert (harder.abs() >= chosen.abs()).all()


def test_smoothing_of_the_objective_is_a_floor_for_the_records():
    batch = make()
    as_records = replace(batch, smoothing=torch.tensor([0.2, 0.2, 0.4]).double())
    assert float(dpo(smoothing=0.2)(batch).sum) == pytest.approx(float(dpo()(as_records).sum))


@pytest.mark.parametrize("gap", [-0.7, 0.7])
def test_a_coin_flip_label_pulls_towards_indifference(gap: float):
    one = torch.tensor([[gap]], dtype=torch.float64)
    pair = Preference((), chosen=(1,), rejected=(2,), smoothing=0.5)
    batch = pair_batch([pair], one, torch.zeros_like(one), torch.zeros_like(one), torch.zeros_like(one))
    _, chosen, _ = gradients(dpo(), batch)
    assert chosen.item() * gap > 0


def test_metrics_show_preference_accuracy_and_drift():
    batch = make()
    seen = dpo()(batch).metrics
    assert set(seen) == {"preferred", "gap", "chosen_score", "rejected_score"}
    assert seen["gap"][0] == pytest.approx(seen["chosen_score"][0] - seen["rejected_score"][0], abs=1e-5)
    assert 0 <= seen["preferred"][0] <= seen["preferred"][1] == 3.0


def test_a_missing_reference_is_named():
    with pytest.raises(ValueError, match="no reference log-probs"):
        dpo()(replace(make(), chosen_ref_logp=None))


@pytest.mark.parametrize(
    ("record", "says"),
    [
        ({"chosen": ()}, "at least one token"),
        ({"start": 1}, "differ before start=1"),
        ({"start": 3}, "outside the responses"),
        ({"smoothing": 0.6}, "smoothing=0.6"),
        ({"weight": -1.0}, "weight=-1.0"),
        ({"chosen_mask": (True,)}, "1 entries for a response of 2 tokens"),
    ],
)
def test_a_bad_record_is_refused(record, says):
    with pytest.raises(ValueError, match=says):
        Preference(**({"context": (1,), "chosen": (2, 3), "rejected": (4, 5)} | record))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=6), st.lists(st.integers(0, 4), min_size=1, max_size=6))
def test_start_is_accepted_exactly_as_far_as_the_responses_agree(chosen, rejected):
    agree = next(
        (t for t, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if a != b), min(len(chosen), len(rejected))
    )
    assert Preference((), tuple(chosen), tuple(rejected), start=agree).start == agree
    with pytest.raises(ValueError):
        Preference((), tuple(chosen), tuple(rejected), start=agree + 1)
