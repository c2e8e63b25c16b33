"""Each policy-gradient objective against a slow loop written from its paper, and the identities that tie them.

The loops below use nothing of the library: plain Python over single tokens, to be read beside the formula.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from trivium.learn import OBJECTIVES
from trivium.learn.advantage import group_zscore, mixed_outcomes
from trivium.learn.policy_gradient import PolicyGradient, cispo, dapo, dr_grpo, grpo, gspo, reinforce_pp, rloo
from trivium.learn.types import StepBatch, TokenBatch


@dataclass
class Rollouts:
    """Q questions with G rollouts each, in order; `length[i]` tokens in row i."""

    logp: Tensor
    old: Tensor
    ref: Tensor
    reward: list[float]
    length: list[int]
    groups: list[list[int]]

    def step(self) -> StepBatch:
        group = torch.zeros(len(self.reward), dtype=torch.long)
        for g, members in enumerate(self.groups):
            group[members] = 7 * g + 3
        return StepBatch(
            reward=torch.tensor(self.reward, dtype=torch.float64),
            group=group,
            mask=torch.arange(self.logp.shape[1]) < torch.tensor(self.length)[:, None],
            truncated=torch.zeros(len(self.reward), dtype=torch.bool),
            correct=torch.tensor(self.reward) > 0.5,
            old_logp=self.old,
            ref_logp=self.ref,
        )

    def loss(self, objective: PolicyGradient, *, on_policy: bool = False) -> tuple[float, Tensor]:
        """Value and gradient of the library's objective."""
        step, logp = self.step(), self.logp.clone().requires_grad_()
        old = None if on_policy else self.old
        batch = TokenBatch(logp, step.mask, old, self.ref, objective.advantages(step), step.truncated)
        loss = objective(batch)
        assert loss.count == objective.count(step.mask, step.truncated)
        mean = loss.sum / loss.count
        mean.backward()
        return mean.item(), logp.grad


def rollouts(seed: int, drift: float = 0.4, questions: int = 3, size: int = 4) -> Rollouts:
    g = torch.Generator().manual_seed(seed)
    n, width = questions * size, 5
    logp = -2 * torch.rand(n, width, generator=g, dtype=torch.float64) - 0.05
    return Rollouts(
        logp=logp,
        old=logp + drift * torch.randn(n, width, generator=g, dtype=torch.float64),
        ref=logp + 0.3 * torch.randn(n, width, generator=g, dtype=torch.float64),
        reward=torch.rand(n, generator=g, dtype=torch.float64).tolist(),
        length=torch.randint(1, width + 1, (n,), generator=g).tolist(),
        groups=[list(range(q * size, (q + 1) * size)) for q in range(questions)],
    )


def by_hand(d: Rollouts, formula) -> tuple[float, Tensor]:
    logp = d.logp.clone().requires_grad_()
    value = formula(d, logp)
    value.backward()
    return value.item(), logp.grad


def zscores(d: Rollouts, members: list[int]) -> dict[int, float]:
    mean = sum(d.reward[i] for i in members) / len(members)
    std = math.sqrt(sum((d.reward[i] - mean) ** 2 for i in members) / (len(members) - 1))
    return {i: (d.reward[i] - mean) / (std + 1e-4) for i in members}


def ppo(x: Tensor, a: float, low: float, high: float) -> Tensor:
    bounded = min(max(x.item(), 1 - low), 1 + high)
    return x * a if x.item() * a <= bounded * a else torch.tensor(bounded * a, dtype=torch.float64)


def paper_grpo(d: Rollouts, logp: Tensor, beta: float = 0.04, squared: bool = False) -> Tensor:
    questions = []
    for members in d.groups:
        a, rows = zscores(d, members), []
        for i in members:
            tokens = []
            for t in range(d.length[i]):
                rho = torch.exp(logp[i, t] - d.old[i, t])
                back = torch.exp(d.ref[i, t] - logp[i, t])
                kl = torch.log(back) ** 2 / 2 if squared else back - torch.log(back) - 1
                tokens.append(-ppo(rho, a[i], 0.2, 0.2) + beta * kl)
            rows.append(sum(tokens) / d.length[i])
        questions.append(sum(rows) / len(members))
    return sum(questions) / len(d.groups)


def paper_dr_grpo(d: Rollouts, logp: Tensor) -> Tensor:
    questions = []
    for members in d.groups:
        mean, rows = sum(d.reward[i] for i in members) / len(members), []
        for i in members:
            tokens = [
                -ppo(torch.exp(logp[i, t] - d.old[i, t]), d.reward[i] - mean, 0.2, 0.2) for t in range(d.length[i])
            ]
            rows.append(sum(tokens) / 64)
        questions.append(sum(rows) / len(members))
    return sum(questions) / len(d.groups)


def paper_dapo(d: Rollouts, logp: Tensor) -> Tensor:
    total, tokens = 0.0, 0
    for members in d.groups:
        a = zscores(d, members)
        for i in members:
            for t in range(d.length[i]):
                total = total - ppo(torch.exp(logp[i, t] - d.old[i, t]), a[i], 0.2, 0.28)
                tokens += 1
    return total / tokens


def paper_rloo(d: Rollouts, logp: Tensor, beta: float = 0.05) -> Tensor:
    penalised = [
        d.reward[i] - beta * sum(float(d.old[i, t] - d.ref[i, t]) for t in range(d.length[i]))
        for i in range(len(d.reward))
    ]
    total = 0.0
    for members in d.groups:
        for i in members:
            others = [penalised[j] for j in members if j != i]
            a = penalised[i] - sum(others) / len(others)
            total = total - a * sum(logp[i, t] for t in range(d.length[i]))
    return total / len(d.reward)


def paper_reinforce_pp(d: Rollouts, logp: Tensor, beta: float = 0.01, baseline: bool = False) -> Tensor:
    reward = list(d.reward)
    if baseline:
        for members in d.groups:
            for i in members:
                reward[i] = d.reward[i] - sum(d.reward[j] for j in members) / len(members)
    returns = {}
    for i in range(len(reward)):
        running = 0.0
        for t in reversed(range(d.length[i])):
            running += (reward[i] if t == d.length[i] - 1 else 0.0) - beta * float(d.old[i, t] - d.ref[i, t])
            returns[i, t] = running
    mean = sum(returns.values()) / len(returns)
    std = math.sqrt(sum((g - mean) ** 2 for g in returns.values()) / len(returns))
    total = 0.0
    for (i, t), g in returns.items():
        total = total - ppo(torch.exp(logp[i, t] - d.old[i, t]), (g - mean) / (std + 1e-8), 0.2, 0.2)
    return total / len(returns)


def paper_gspo(d: Rollouts, logp: Tensor, low: float = 3e-4, high: float = 4e-4) -> Tensor:
    questions = []
    for members in d.groups:
        a, rows = zscores(d, members), []
        for i in members:
            s = torch.exp(sum(logp[i, t] - d.old[i, t] for t in range(d.length[i])) / d.length[i])
            rows.append(-ppo(s, a[i], low, high))
        questions.append(sum(rows) / len(members))
    return sum(questions) / len(d.groups)


def paper_cispo(d: Rollouts, logp: Tensor, cap: float = 1.3) -> Tensor:
    total, tokens = 0.0, 0
    for members in d.groups:
        a = zscores(d, members)
        for i in members:
            for t in range(d.length[i]):
                weight = min(math.exp((logp[i, t] - d.old[i, t]).item()), cap)
                total = total - weight * a[i] * logp[i, t]
                tokens += 1
    return total / tokens


PAPERS = {
    "grpo:beta=0.04": paper_grpo,
    "grpo:beta=0.04,kl=k2": partial(paper_grpo, squared=True),
    "dr-grpo:max_tokens=64": paper_dr_grpo,
    "dapo": paper_dapo,
    "rloo:beta=0.05": paper_rloo,
    "reinforce++:beta=0.01": paper_reinforce_pp,
    "reinforce++-baseline:beta=0.01": partial(paper_reinforce_pp, baseline=True),
    "gspo": paper_gspo,
    "gspo:low=0.1,high=0.2": partial(paper_gspo, low=0.1, high=0.2),
    "cispo:cap=1.3": paper_cispo,
}


@pytest.mark.parametrize("spec", PAPERS)
@pytest.mark.parametrize(("seed", "drift"), [(0, 0.4), (1, 0.4), (2, 3e-4)])
def test_objective_is_its_papers_formula(spec: str, seed: int, drift: float):
    d = rollouts(seed, drift)
    value, gradient = d.loss(OBJECTIVES.build(spec))
    expected, expected_gradient = by_hand(d, PAPERS[spec])
    assert value == pytest.approx(expected, rel=1e-10, abs=1e-12)
    assert torch.allclose(gradient, expected_gradient, rtol=1e-10, atol=1e-14)
    assert gradient.abs().max() > 0


# The identities of one on-policy update, where every ratio is 1.


@pytest.mark.parametrize("seed", range(3))
def test_a_grpo_has_value_zero_but_not_gradient_zero_and_token_mean_has_neither(seed: int):
    d = rollouts(seed)
    value, gradient = d.loss(grpo(), on_policy=True)
    assert value == pytest.approx(0.0, abs=1e-12)
    assert gradient.abs().max() > 1e-3
    assert abs(d.loss(dapo(), on_policy=True)[0]) > 1e-3


@pytest.mark.parametrize("seed", range(3))
def test_b_rloo_gradient_is_dr_grpo_times_a_constant(seed: int):
    d = rollouts(seed, size=4)
    _, ours = d.loss(rloo(), on_policy=True)
    _, theirs = d.loss(dr_grpo(max_tokens=64), on_policy=True)
    assert torch.allclose(ours, theirs * 4 / 3 * 64, rtol=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_c_gspo_gradient_is_grpo_gradient(seed: int):
    d = rollouts(seed)
    assert torch.allclose(d.loss(gspo(), on_policy=True)[1], d.loss(grpo(), on_policy=True)[1], rtol=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_d_cispo_is_token_mean_reinforce(seed: int):
    d = rollouts(seed)

    def token_mean_reinforce(d: Rollouts, logp: Tensor) -> Tensor:
        terms = [
            -zscores(d, members)[i] * logp[i, t] for members in d.groups for i in members for t in range(d.length[i])
        ]
        return sum(terms) / len(terms)

    value, gradient = d.loss(cispo(), on_policy=True)
    expected, expected_gradient = by_hand(d, token_mean_reinforce)
    assert value == pytest.approx(expected)
    assert torch.allclose(gradient, expected_gradient, rtol=1e-10)


@pytest.mark.parametrize("name", ["grpo", "dr-grpo", "dapo", "rloo", "gspo", "cispo"])
def test_e_all_correct_and_all_wrong_groups_contribute_nothing(name: str):
    d = rollouts(0)
    d.reward = [1.0] * 4 + [0.0] * 4 + [1.0, 0.0, 0.0, 1.0]
    _, gradient = d.loss(OBJECTIVES.build(name))
    assert not gradient[:8].any()
    assert gradient[8:].any()


@pytest.mark.parametrize("solved", range(9))
def test_f_mean_absolute_advantage_is_twice_the_binomial_deviation(solved: int):
    d = rollouts(0, questions=1, size=8)
    d.reward = [1.0] * solved + [0.0] * (8 - solved)
    advantage = group_zscore(d.step(), eps=1e-300, ddof=0)
    p = solved / 8
    assert float(advantage.abs().mean()) == pytest.approx(2 * math.sqrt(p * (1 - p)))


# Filters, truncation, weights, metrics.


def test_dapo_keeps_groups_by_outcome_and_not_by_shaped_reward():
    d = rollouts(0)
    step = replace(
        d.step(),
        correct=torch.tensor([True] * 4 + [False] * 4 + [True, False, False, False]),
        reward=torch.arange(12, dtype=torch.float64),
    )
    assert dapo().keep(step).tolist() == [False] * 8 + [True] * 4
    assert grpo().keep(step).all()
    with pytest.raises(ValueError, match="no correct"):
        mixed_outcomes(replace(step, correct=None))


def test_dapo_leaves_truncated_rollouts_out_of_sum_and_count():
    d = rollouts(0)
    step = replace(d.step(), truncated=torch.tensor([True] + [False] * 11))
    objective = dapo()
    logp = d.logp.clone().requires_grad_()
    loss = objective(TokenBatch(logp, step.mask, d.old, advantage=objective.advantages(step), truncated=step.truncated))
    loss.sum.backward()
    assert loss.count == sum(d.length[1:]) == objective.count(step.mask, step.truncated)
    assert not logp.grad[0].any()
    with pytest.raises(ValueError, match="no truncated"):
        objective.count(step.mask)


def test_weight_scales_a_token_and_not_the_denominator():
    d = rollouts(0)
    step = d.step()
    batch = TokenBatch(d.logp, step.mask, d.old, advantage=grpo().advantages(step))
    plain, doubled = grpo()(batch), grpo()(replace(batch, weight=torch.full_like(d.logp, 2.0)))
    assert float(doubled.sum) == pytest.approx(2 * float(plain.sum))
    assert doubled.count == plain.count


def test_negative_advantages_have_no_silent_dual_clip():
    logp = torch.tensor([[0.0]], dtype=torch.float64)
    batch = TokenBatch(logp, torch.tensor([[True]]), logp - math.log(100.0), advantage=torch.tensor([-1.0]))
    assert float(grpo()(batch).sum) == pytest.approx(100.0)


def test_metrics_count_what_was_clipped():
    ratios, signs = (1.5, 1.6, 1.1, 0.5, 1.5, 0.5, 0.6, 0.4), (1.0, 1.0, 1.0, 1.0, -1.0, -1.0, -1.0, -1.0)
    logp = torch.tensor([ratios], dtype=torch.float64).log()
    advantage = torch.tensor([signs], dtype=torch.float64)
    mask = torch.ones(1, 8, dtype=torch.bool)
    entropy = torch.full((1, 8), 0.5)
    seen = grpo()(TokenBatch(logp, mask, torch.zeros_like(logp), logp, advantage, entropy=entropy)).metrics
    assert seen["clip_high"] == (2.0, 8.0)  # above the range with A > 0
    assert seen["clip_low"] == (3.0, 8.0)  # below it with A < 0
    assert seen["ratio"] == (pytest.approx(sum(ratios)), 8.0)
    assert seen["kl_ref"] == (0.0, 8.0)
    assert seen["entropy"] == (4.0, 8.0)
    assert seen["kl_old"][0] == pytest.approx(sum(x - 1 - math.log(x) for x in ratios), rel=1e-5)


@pytest.mark.parametrize(
    ("spec", "needs_old", "needs_ref"),
    [
        ("grpo", True, False),
        ("grpo:beta=0.04", True, True),
        ("rloo", False, False),
        ("rloo:beta=0.05", True, True),
        ("reinforce++:beta=0.01", True, True),
        ("cispo", True, False),
    ],
)
def test_an_objective_says_which_log_probs_it_needs(spec: str, needs_old: bool, needs_ref: bool):
    objective = OBJECTIVES.build(spec)
    assert (objective.needs_old, objective.needs_ref) == (needs_old, needs_ref)


@pytest.mark.parametrize("name", ["grpo", "dr-grpo", "rloo", "dapo"])
def test_a_row_without_tokens_is_not_a_sequence(name: str):
    mask = torch.tensor([[True, True], [False, False], [True, False]])
    objective = OBJECTIVES.build(name)
    batch = TokenBatch(torch.zeros(3, 2), mask, advantage=torch.ones(3), truncated=torch.zeros(3, dtype=torch.bool))
    assert objective(batch).count == objective.count(mask, batch.truncated) == (3.0 if name == "dapo" else 2.0)


def test_a_missing_input_is_named():
    batch = TokenBatch(torch.zeros(1, 2), torch.ones(1, 2, dtype=torch.bool))
    with pytest.raises(ValueError, match="no advantage"):
        grpo()(batch)
    with pytest.raises(ValueError, match="no ref_logp"):
        grpo(beta=0.1)(replace(batch, advantage=torch.ones(1)))
    with pytest.raises(ValueError, match="no ref_logp"):
        rloo(beta=0.1).advantages(replace(rollouts(0).step(), ref_logp=None))


def test_shapes_and_rewards_are_checked_on_the_way_in():
    with pytest.raises(ValueError, match=r"mask has shape \(1, 3\); expected \(1, 2\)"):
        TokenBatch(torch.zeros(1, 2), torch.ones(1, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match="drop rollouts whose reward is None"):
        replace(rollouts(0).step(), reward=torch.full((12,), float("nan")))


# Any data, any cut.


@st.composite
def steps(draw) -> tuple[StepBatch, list[int]]:
    n = draw(st.integers(2, 7))
    lengths = draw(st.lists(st.integers(1, 4), min_size=n, max_size=n))
    reward = draw(st.lists(st.sampled_from([0.0, 0.1, 0.5, 1.0]), min_size=n, max_size=n))
    group = draw(st.lists(st.integers(0, 2), min_size=n, max_size=n))
    cuts = draw(st.lists(st.integers(0, n), max_size=3))
    step = StepBatch(
        reward=torch.tensor(reward, dtype=torch.float64),
        group=torch.tensor(group),
        mask=torch.arange(max(lengths)) < torch.tensor(lengths)[:, None],
        truncated=torch.tensor([length == 4 for length in lengths]),
    )
    return step, sorted({0, n, *cuts})


@pytest.mark.parametrize("name", ["grpo", "dr-grpo", "dapo", "rloo", "reinforce++", "gspo", "cispo"])
@given(data=steps(), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_no_cut_of_any_step_changes_the_gradient(name: str, data, seed: int):
    step, edges = data
    objective = OBJECTIVES.build(name)
    g = torch.Generator().manual_seed(seed)
    values = -torch.rand(step.mask.shape, generator=g, dtype=torch.float64)
    old = values + 0.3 * torch.randn(step.mask.shape, generator=g, dtype=torch.float64)
    advantage = objective.advantages(step)
    total = objective.count(step.mask, step.truncated)

    def gradient(edges: list[int]) -> Tensor:
        logp = values.clone().requires_grad_()
        for a, b in pairwise(edges):
            width = int(step.mask[a:b].sum(-1).max())
            part = TokenBatch(
                logp[a:b, :width],
                step.mask[a:b, :width],
                old[a:b, :width],
                advantage=advantage[a:b] if advantage.ndim == 1 else advantage[a:b, :width],
                truncated=step.truncated[a:b],
            )
            (objective(part).sum / max(total, 1)).backward()
        return logp.grad

    assert torch.allclose(gradient(edges), gradient([0, len(step.reward)]), rtol=1e-12, atol=1e-15)


@given(data=steps())
@settings(max_examples=50, deadline=None)
def test_group_advantages_sum_to_zero_and_are_silent_without_spread(data):
    step, _ = data
    for objective in (grpo(), dr_grpo(), rloo()):
        advantage = objective.advantages(step)
        for g in step.group.unique():
            members = step.group == g
            assert float(advantage[members].sum()) == pytest.approx(0.0, abs=1e-9)
            assert bool(advantage[members].any()) == (len(step.reward[members].unique()) > 1)


def test_equal_rewards_whiten_to_zero_and_not_to_rounding_noise():
    n, width = 7, 33
    step = StepBatch(
        reward=torch.full((n,), 0.1),
        group=torch.arange(n),
        mask=torch.ones(n, width, dtype=torch.bool),
        truncated=torch.zeros(n, dtype=torch.bool),
    )
    naive = step.reward[:, None].expand(n, width)
    assert ((naive - naive.mean()) / (naive.std(correction=0) + 1e-8)).any()  # why it is measured from the minimum
    assert not reinforce_pp().advantages(step).any()
    assert not grpo().advantages(step).any()


def test_whitened_tokens_have_mean_zero_and_deviation_one():
    step = rollouts(0).step()
    tokens = reinforce_pp(beta=0.1).advantages(step)[step.mask]
    assert float(tokens.mean()) == pytest.approx(0.0, abs=1e-12)
    assert float(tokens.std(correction=0)) == pytest.approx(1.0, abs=1e-6)
