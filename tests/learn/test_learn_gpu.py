"""On a GPU a step of every objective is that of the processor, and what one has learned the other goes on with."""

from __future__ import annotations

import copy

import pytest
import torch
from test_learn_fit import SPECS, close, examples, learner, weights
from tiny_models import decoder, on_gpu

from trivium.learn import OBJECTIVES
from trivium.learn.critic import Squared, critic
from trivium.learn.fit import Learner, Optimiser

pytestmark = on_gpu


def moved(made: Learner, device: str) -> Learner:
    """The same learner with its weights elsewhere."""
    reference = made.reference
    there = Learner(made.model.to(device), made.optimiser, made.max_tokens, made.temperature, seed=made.seed)
    there.reference = None if reference is None else reference.to(device)
    return there


@pytest.mark.parametrize("spec", SPECS)
def test_a_step_is_that_of_the_processor(spec: str) -> None:
    found = []
    for device in ("cpu", "cuda"):
        objective = OBJECTIVES.build(spec)
        made = moved(learner(objective, optimiser=Optimiser(lr=1e-2, eps=1.0, grad_clip=0.0)), device)
        report = made.step(examples(objective.kind), objective)
        found.append((report, {name: w.cpu() for name, w in weights(made).items()}))
    (ours, mine), (theirs, others) = found
    assert theirs.loss == pytest.approx(ours.loss, abs=1e-4)
    assert theirs.grad_norm == pytest.approx(ours.grad_norm, rel=1e-3)
    assert theirs.metrics == pytest.approx(ours.metrics, abs=1e-3)
    assert close(mine, others, 1e-5)


def test_bfloat16_with_masters_learns_there() -> None:
    objective = OBJECTIVES.build("sft")
    made = Learner(decoder("llama").to(torch.bfloat16).to("cuda"), Optimiser(lr=3e-3))
    losses = [made.step(examples("supervised"), objective).loss for _ in range(30)]
    assert losses[-1] < 0.5 * losses[0]
    assert made.masters[0].is_cuda
    assert made.masters[0].dtype == torch.float32


def test_a_run_goes_on_with_what_it_learned_elsewhere() -> None:
    objective = OBJECTIVES.build("grpo")
    there = moved(learner(objective), "cuda")
    for _ in range(3):
        there.step(examples(objective.kind), objective)
    here = learner(objective)
    here.load_state(copy.deepcopy(there.state()))
    for made in (there, here):
        made.step(examples(objective.kind), objective)
    assert here.step_count == there.step_count == 4
    assert close(weights(here), {name: w.cpu() for name, w in weights(there).items()}, 2e-4)


def test_a_critic_is_where_its_model_is() -> None:
    read = examples("policy-gradient")
    states = max(len(r.ids) for r in read) + 1
    at = torch.arange(states) <= torch.tensor([[len(r.ids)] for r in read])
    found = []
    for device in ("cpu", "cuda"):
        judge = critic(decoder("llama").to(device), Optimiser(lr=1e-2, eps=1.0, grad_clip=0.0))
        judge.learn(read, Squared(torch.ones(len(read), states), at))
        found.append(judge.values(read))
    assert torch.allclose(*found, atol=1e-4)
    assert (found[0][at] != 0).all()
