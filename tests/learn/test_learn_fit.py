"""The loop changes nothing of the mathematics: not by cutting, skipping, rounding, stopping or going on."""

from __future__ import annotations

import copy
import math
import random
from dataclasses import replace

import pytest
import torch
from tiny_models import decoder

from trivium.data.pairs import outcome_pairs
from trivium.errors import RunError
from trivium.learn import OBJECTIVES
from trivium.learn.batch import Demonstration, Rollout
from trivium.learn.contract import check_objective
from trivium.learn.fit import Learner, Optimiser, fit
from trivium.learn.policy_gradient import grpo, reinforce_pp, rloo
from trivium.learn.preference import Preference, dpo
from trivium.learn.sft import sft
from trivium.learn.types import Loss
from trivium.models.logprob import completion_logprobs

SPECS = [*OBJECTIVES.names(), "grpo:beta=0.04", "reinforce++:beta=0.01", "rloo:beta=0.05", "sft:noise=0.3"]


def rollouts(seed: int = 0, groups: int = 3, each: int = 4) -> list[Rollout]:
    """Ragged groups of mixed outcome, with the log-probs of the model that is going to be trained."""
    rng, model, found = random.Random(seed), decoder("llama"), []
    for g in range(groups):
        prompt = tuple(rng.choices(range(2, 260), k=rng.randint(1, 9)))
        for i in range(each):
            ids = tuple(rng.choices(range(2, 260), k=rng.randint(1, 8)))
            with torch.no_grad():
                logp, _, _ = completion_logprobs(model, [prompt], [(0, ids)])
            found.append(Rollout(prompt, ids, tuple(logp[0].tolist()), float(i % 2), g, i % 2 == 1, i == 0))
    return found


def examples(kind: str):
    drawn = rollouts()
    if kind == "policy-gradient":
        return drawn
    if kind == "preference":
        return outcome_pairs([replace(r, truncated=False) for r in drawn])
    return [Demonstration(r.prompt, r.ids, tuple(i % 3 != 1 for i in range(len(r.ids)))) for r in drawn]


def learner(objective=None, model=None, **options) -> Learner:
    options.setdefault("optimiser", Optimiser(lr=1e-3))
    made = Learner(model or decoder("llama"), **options)
    if objective is not None and objective.needs_ref:
        made.reference = decoder("llama").requires_grad_(False)
        with torch.no_grad():
            made.reference.norm.weight.mul_(1.05)
    return made


def weights(made: Learner) -> dict[str, torch.Tensor]:
    return {n: m.detach().clone() for n, m in zip(made.names, made.masters, strict=True)}


def close(a, b, tolerance=1e-6) -> bool:
    return a.keys() == b.keys() and all((a[k] - b[k]).abs().max() <= tolerance for k in a)


@pytest.mark.parametrize("spec", SPECS)
def test_micro_batches_never_change_the_step(spec):
    """Gradients equal to 1e-5 of their norm.  Of AdamW's first step only the sign of a gradient is left, so parameters
    are compared after a step of plain size: eps is large.
    """
    found = []
    for max_tokens in (100_000, 25, 1):
        objective = OBJECTIVES.build(spec)
        made = learner(objective, optimiser=Optimiser(lr=1e-2, eps=1.0, grad_clip=0.0), max_tokens=max_tokens)
        report = made.step(examples(objective.kind), objective)
        found.append((report, weights(made)))
    (whole, theirs), *others = found
    assert whole.grad_norm > 1e-6
    assert not close(theirs, weights(learner()), 1e-9), "the step moved the weights"
    for report, mine in others:
        assert report.loss == pytest.approx(whole.loss, abs=2e-5)
        assert report.grad_norm == pytest.approx(whole.grad_norm, rel=1e-4)
        assert report.trained_tokens == whole.trained_tokens
        assert close(mine, theirs)
        for name, value in whole.metrics.items():
            assert report.metrics[name] == pytest.approx(value, abs=2e-4), name


@pytest.mark.parametrize("spec", ["grpo", "dr-grpo", "rloo", "gspo", "cispo"])
def test_skipping_rows_without_advantage_equals_computing_them(spec, monkeypatch):
    """Groups of equal reward are added; the same rows are computed when their advantage is only nearly zero."""
    objective = OBJECTIVES.build(spec)
    silent = [replace(r, group=r.group + 10, reward=1.0) for r in rollouts(seed=5)]
    drawn = rollouts() + silent
    skipping = learner(optimiser=Optimiser(lr=1e-2, eps=1.0))
    report = skipping.step(drawn, objective)
    assert report.trained_tokens == sum(len(r.ids) for r in rollouts())
    alone = learner().step(rollouts(), objective).metrics
    assert report.metrics == pytest.approx(alone, rel=1e-5), "means are over what was trained on"
    computing = learner(optimiser=Optimiser(lr=1e-2, eps=1.0))
    advantages = objective.advantages
    monkeypatch.setattr(
        type(objective), "advantages", lambda self, step: (a := advantages(step)) + (a == 0) * 1e-30, raising=True
    )
    full = computing.step(drawn, objective)
    assert full.trained_tokens == sum(len(r.ids) for r in drawn)
    assert full.loss == pytest.approx(report.loss, abs=1e-5)
    assert close(weights(computing), weights(skipping))


def test_demonstrations_are_learned_at_temperature_one_whatever_rollouts_are_sampled_at():
    plain, hot = learner(), learner(temperature=1.7)
    assert hot.step(examples("supervised"), sft()) == plain.step(examples("supervised"), sft())
    assert close(weights(hot), weights(plain), 0.0)
    assert hot.step(rollouts(), grpo()).metrics["entropy"] != plain.step(rollouts(), grpo()).metrics["entropy"]


def test_nothing_to_learn_is_no_step():
    made = learner()
    before = weights(made)
    report = made.step([replace(r, reward=1.0) for r in rollouts()], grpo())
    assert (report.trained_tokens, report.grad_norm) == (0, 0.0)
    assert close(weights(made), before, 0.0)
    assert not made.adam.state
    assert made.step_count == 1


@pytest.mark.parametrize("mean", ["token", "sequence"])
def test_demonstrations_whose_masks_train_nothing_are_no_step(mean):
    made = learner()
    before = weights(made)
    report = made.step([replace(d, mask=(False,) * len(d.ids)) for d in examples("supervised")], sft(mean=mean))
    assert (report.loss, report.trained_tokens, report.grad_norm, report.metrics) == (0.0, 0, 0.0, {})
    assert close(weights(made), before, 0.0)
    assert not made.adam.state
    assert made.step_count == 1


def test_masters_in_float32_keep_what_bfloat16_would_lose():
    rough = learner(model=decoder("llama").bfloat16(), optimiser=Optimiser(lr=1e-5))
    start = weights(rough)
    for _ in range(3):
        rough.step(examples("supervised"), sft())
    assert all(m.dtype == torch.float32 for m in rough.masters)
    now = weights(rough)
    moved = (now["blocks.0.up.weight"] - start["blocks.0.up.weight"]).abs()
    assert 0 < moved.median() < 1e-4, "smaller than the spacing of bfloat16, and kept"
    for name, p in rough.model.named_parameters():
        assert p.dtype == torch.bfloat16
        assert p.grad is None
        assert torch.equal(p, now[name].bfloat16()), "what samples is what is trained, rounded"


def test_bfloat16_gradients_are_those_of_float32_up_to_rounding():
    exact, rough = learner(), learner(model=decoder("llama").bfloat16(), max_tokens=20)
    a, b = exact.step(examples("supervised"), sft()), rough.step(examples("supervised"), sft())
    assert b.loss == pytest.approx(a.loss, rel=0.02)
    assert b.grad_norm == pytest.approx(a.grad_norm, rel=0.05)


@pytest.mark.parametrize("kind", ["fp32", "bf16"])
def test_going_on_from_a_state_is_bit_exact(kind):
    def fresh():
        model = decoder("llama")
        return learner(
            model=model.bfloat16() if kind == "bf16" else model,
            optimiser=Optimiser(lr=1e-3, steps=6, schedule="cosine", lr_warmup=2),
        )

    objective = sft(noise=0.4)
    through = fresh()
    for _ in range(2):
        through.step(examples("supervised"), objective)
    state = copy.deepcopy(through.state())
    expected = [through.step(examples("supervised"), objective) for _ in range(3)]
    for _ in range(2):  # the second time from the same state: using it must not have changed it
        resumed = fresh()
        resumed.load_state(state)
        assert [resumed.step(examples("supervised"), objective) for _ in range(3)] == expected
        assert close(weights(resumed), weights(through), 0.0)
        assert all(
            torch.equal(p, q) for p, q in zip(resumed.model.parameters(), through.model.parameters(), strict=True)
        )


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ("constant", [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]),
        ("linear", [0.5, 1.0, 1.0, 0.775, 0.55, 0.325, 0.1]),
        ("cosine", [0.5, 1.0, 1.0, 0.1 + 0.9 * (2 + math.sqrt(2)) / 4, 0.55, 0.1 + 0.9 * (2 - math.sqrt(2)) / 4, 0.1]),
    ],
)  # fmt: skip
def test_schedules(schedule, rates):
    o = Optimiser(lr=2.0, steps=6, lr_warmup=2, schedule=schedule, lr_floor=0.1)
    assert [o.lr_at(i) / 2 for i in range(7)] == pytest.approx(rates)
    assert o.lr_at(100) == o.lr_at(6)


def test_a_gradient_that_is_not_finite_keeps_the_weights():
    made = learner()
    made.step(examples("supervised"), sft())
    before, moments = weights(made), copy.deepcopy(made.adam.state_dict())
    poisoned = [replace(r, reward=1e38 if i == 0 else -1e38) for i, r in enumerate(rollouts())]
    objective = OBJECTIVES.build("dr-grpo:max_tokens=1")
    with pytest.raises(RunError, match=r"gradient of step 2 is not finite.*dtype=fp32"):
        made.step(poisoned, objective)
    assert close(weights(made), before, 0.0)
    assert all(p.grad is None for p in made.masters)
    now = made.adam.state_dict()["state"]
    assert all(torch.equal(now[i]["exp_avg"], s["exp_avg"]) for i, s in moments["state"].items())
    made.step(examples("supervised"), sft())


def test_updates_make_ratios_leave_one():
    drawn = rollouts(groups=4)
    (on_policy,) = next(iter(fit(learner(), [drawn], grpo())))
    assert on_policy.metrics["ratio"] == pytest.approx(1.0, abs=1e-9)
    made = learner(optimiser=Optimiser(lr=3e-3))
    first, second = next(iter(fit(made, [drawn], grpo(), updates=2)))
    assert first.metrics["ratio"] == pytest.approx(1.0, abs=1e-5)
    assert abs(second.metrics["ratio"] - 1) > 1e-3
    assert made.step_count == 2


def test_ratios_of_two_temperatures_are_refused():
    drawn = rollouts(groups=4)
    made = learner(temperature=0.7)
    before = weights(made)
    with pytest.raises(ValueError, match=r"off_policy at temperature 0\.7: rollouts carry .* call updates\("):
        made.step(drawn, grpo(), off_policy=True)
    assert close(weights(made), before, 0.0)
    assert made.step_count == 0
    first = next(made.updates(drawn, grpo(), 2))
    assert first.metrics["ratio"] == pytest.approx(1.0, abs=1e-5), "relabelled at the learner's temperature"
    assert learner().step(drawn, grpo(), off_policy=True).trained_tokens > 0
    assert made.step(drawn, grpo()).metrics["ratio"] == 1.0


def test_updates_compare_rollouts_over_the_whole_batch():
    """Each part has one reward, so that on its own it would teach nothing."""
    drawn = [replace(r, reward=float(r.group % 2)) for r in rollouts(groups=2)]
    (reports,) = fit(learner(), [drawn], reinforce_pp(), updates=2)
    assert [r.trained_tokens > 0 for r in reports] == [True, True]


@pytest.mark.parametrize("spec", ["grpo", "grpo:beta=0.04", "dapo", "dr-grpo", "gspo", "soft-bellman"])
def test_updates_that_compare_within_groups_are_steps_on_the_parts(spec):
    objective = OBJECTIVES.build(spec)
    silent = [replace(r, group=r.group + 10, reward=1.0, correct=True) for r in rollouts(seed=5)]
    drawn = rollouts(groups=4) + silent
    together, apart = learner(objective), learner(objective)
    (reports,) = fit(together, [drawn], objective, updates=3)
    assert reports == [apart.step(p, objective, off_policy=True) for p in apart.minibatches(drawn, 3)]
    assert close(weights(together), weights(apart), 0.0)


class Plain:
    """The least that the loop asks of an objective that learns from rollouts."""

    kind, needs_ref, needs_old, beta = "policy-gradient", False, False, 0.0

    def keep(self, step):
        return torch.ones_like(step.group, dtype=torch.bool)

    def advantages(self, step):
        return rloo().advantages(step)

    def trained(self, mask, truncated):
        return mask

    def count(self, mask, truncated=None):
        return float(mask.sum())

    def __call__(self, batch):
        loss = -(batch.advantage[:, None] * batch.logp).masked_fill(~batch.mask, 0.0)
        return Loss(loss.sum(), float(batch.mask.sum()), {})


class Likelihood:
    """The least that the loop asks of an objective that learns from demonstrations."""

    kind, needs_ref, needs_old = "supervised", False, False

    def count(self, mask, truncated=None):
        return float(mask.sum())

    def __call__(self, batch):
        weight = 1.0 if batch.weight is None else batch.weight
        logp = batch.logp.masked_fill(~batch.mask, 0.0)
        return Loss(-(weight * logp).masked_fill(~batch.mask, 0.0).sum(), float(batch.mask.sum()), {})


@pytest.mark.parametrize("objective", [Plain(), Likelihood()])
def test_what_keeps_the_contract_can_be_learned_by(objective):
    assert check_objective(objective) == []
    assert learner().step(examples(objective.kind), objective).grad_norm > 0


@pytest.mark.parametrize("name", ["keep", "trained", "beta"])
def test_the_contract_names_what_the_loop_would_miss(name, monkeypatch):
    monkeypatch.delattr(Plain, name)
    assert any(f"has no attribute '{name}'" in problem for problem in check_objective(Plain()))


def test_parts_of_a_batch_hold_whole_groups():
    parts = learner().minibatches(rollouts(groups=5), 2)
    assert [sorted({r.group for r in part}) for part in parts] == [[0, 2, 4], [1, 3]]
    assert [len(part) for part in parts] == [12, 8]
    assert len(learner().minibatches(rollouts(groups=1), 4)) == 1


def test_the_stream_is_pulled_after_the_step_before():
    made, seen = learner(), []

    def stream():
        for _ in range(3):
            seen.append(made.step_count)
            yield examples("supervised")
        yield []

    reports = list(fit(made, stream(), sft()))
    assert seen == [0, 1, 2]
    assert [len(r) for r in reports] == [1, 1, 1, 0]


def test_noise_changes_inputs_and_never_labels(monkeypatch):
    calls = []
    real = completion_logprobs

    def spy(model, prompts, completions, *, targets, temperature):
        calls.append((list(completions), list(targets)))
        return real(model, prompts, completions, targets=targets, temperature=temperature)

    monkeypatch.setattr("trivium.learn.fit.completion_logprobs", spy)
    shown = [Demonstration((5, 6), tuple(range(10, 40)), (True,) * 20 + (False,) * 10)] * 4
    made = learner(seed=3)
    made.step(shown, sft(noise=0.5))
    made.step(shown, sft(noise=0.5))
    for completions, targets in calls:
        for (_, read), labels in zip(completions, targets, strict=True):
            assert tuple(labels) == shown[0].ids
            changed = [a != b for a, b in zip(read, labels, strict=True)]
            assert 3 <= sum(changed[:20]) <= 17
            assert not any(changed[20:]), "what is not trained is context, and stays"
    assert calls[0][0] != calls[1][0], "every step has noise of its own"


def test_untrained_labels_have_no_gradient():
    """Changing a label that is masked, and last so that nothing reads it, changes nothing."""
    found = []
    for last in (50, 51):
        made = learner(optimiser=Optimiser(lr=1e-2, eps=1.0))
        made.step([Demonstration((5, 6), (10, 11, last), (True, True, False))], sft())
        found.append(weights(made))
    assert close(*found, 0.0)


@pytest.mark.parametrize("name", ["dpo", "ipo", "simpo", "step-dpo"])
def test_preferences_are_learnt(name):
    objective = OBJECTIVES.build(name)
    made = learner(optimiser=Optimiser(lr=2e-3))
    if objective.needs_ref:
        made.reference = decoder("llama").requires_grad_(False)
    pairs = [
        Preference((5, 6), (10, 11, 12), (10, 13), start=1),
        Preference((7,), (20, 21), (22, 23, 24)),
        Preference((5, 6), (30,), (31, 32)),
    ]
    reports = [made.step(pairs, objective) for _ in range(8)]
    assert reports[-1].loss < reports[0].loss
    assert reports[-1].metrics["preferred"] == 1.0
    if objective.needs_ref:
        start = {"ipo": 25.0}.get(name, math.log(2))
        assert reports[0].loss == pytest.approx(start, rel=1e-3), "at the reference every log-ratio is 0"


def test_kl_in_the_reward_is_measured_at_one_temperature():
    """With the policy as its own reference the distance is 0 whatever the temperature, and so is its penalty."""
    plain, penalised = (learner(temperature=0.5, optimiser=Optimiser(lr=1e-2, eps=1.0)) for _ in range(2))
    penalised.reference = decoder("llama").requires_grad_(False)
    a, b = plain.step(rollouts(), rloo()), penalised.step(rollouts(), rloo(beta=1.0))
    assert b.loss == pytest.approx(a.loss, rel=1e-4)
    assert close(weights(plain), weights(penalised), 1e-5)


def test_the_wrong_kind_of_example_is_refused():
    made = learner()
    with pytest.raises(ValueError, match="non-empty list of Rollout"):
        made.step(examples("supervised"), grpo())
    with pytest.raises(ValueError, match="non-empty list of Demonstration"):
        made.step([], sft())
    with pytest.raises(RunError, match="given none"):
        made.step(examples("preference"), dpo())


def test_a_new_phase_forgets_moments_and_keeps_weights():
    made = learner()
    made.step(rollouts(), reinforce_pp())
    before = weights(made)
    made.restart(Optimiser(lr=1.0))
    assert made.step_count == 0
    assert not made.adam.state
    assert close(weights(made), before, 0.0)
