"""Before a training race: do both sides compute the same loss and the same gradient?

Both get the same float32 weights, token ids and rewards; each computes through its own trainer, micro-batches and all.
Policy-gradient losses are near 0 by construction (advantages sum to 0), so the gradient is what tells.  One row of one
matrix is left out: transformers' embedding never learns the padding token from where it is read (`padding_idx`), which
with many tokenizers is a token of every prompt; ours does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from benchmarks import ours, theirs
from benchmarks.lesson import Lesson
from benchmarks.worker import Facts, Turns, Worker
from trivium.errors import RunError
from trivium.learn import OBJECTIVES
from trivium.learn.fit import Example, Learner
from trivium.models.convert import from_decoder
from trivium.policies.local import LocalPolicy

GRADIENT_TOLERANCE = 1e-3
"""Largest relative difference |ours - theirs| / |theirs| over all weights; float32 sums in another order stay below."""
LOSS_TOLERANCE = 1e-4
EMBEDDING = "model.embed_tokens.weight"
SETTINGS = {"mode": "fp32", "attention": "sdpa", "batch": 8}


def require_equal(kind: str, folder: str, lesson: Mapping[str, Any]) -> Facts:
    """The facts of a passed comparison, by a worker.  Raises RunError if loss or gradient differ: no race then."""
    with Worker(f"equality:{kind}", folder=folder, lesson=dict(lesson)) as worker:
        facts = worker.turn()
    apart = abs(facts["loss_ours"] - facts["loss_theirs"])
    if not (facts["gradient_error"] <= GRADIENT_TOLERANCE and apart <= LOSS_TOLERANCE and facts["norm_theirs"] > 0):
        raise RunError(f"{kind}: the two sides do not compute the same thing, so their speeds do not compare: {facts}")
    return facts | {"gradient_tolerance": GRADIENT_TOLERANCE, "loss_tolerance": LOSS_TOLERANCE}


def grpo(turns: Turns, *, folder: str, lesson: dict[str, Any]) -> None:
    """One GRPO step of two prompts: we sample, both learn from it."""

    def step(number: int, command: Facts) -> Facts:
        plan = replace(Lesson(**lesson), steps=1, prompts=2)
        student = ours.local(f"hf:{folder},dtype=fp32")
        rollouts = ours.paid(ours.sample_groups(student, plan.of(0), plan, seed=0), "dense")
        mine = gradient(student, ours.learner_of(student, plan.lr), rollouts, "grpo")
        seen = theirs.Gradients()
        trainer = theirs.grpo_trainer(
            folder, {**SETTINGS, "batch": plan.samples}, plan, lambda **_: [r.reward for r in rollouts], seen
        )
        trainer.args.max_grad_norm = 0
        trainer._generate_single_turn = theirs.given([r.ids for r in rollouts], [r.prompt for r in rollouts])
        return compare(mine, theirs.first_gradient(trainer, seen), student.config.pad_token_id) | {
            "rows": len(rollouts)
        }

    turns.each(step)


def sft(turns: Turns, *, folder: str, lesson: dict[str, Any]) -> None:
    """One supervised step on the first batch."""

    def step(number: int, command: Facts) -> Facts:
        plan = replace(Lesson(**lesson), steps=1)
        student = ours.local(f"hf:{folder},dtype=fp32")
        shown = ours.demonstrations(student, plan.of(0))
        mine = gradient(student, ours.learner_of(student, plan.lr), shown, "sft")
        seen = theirs.Gradients()
        trainer = theirs.sft_trainer(folder, SETTINGS, plan, seen)
        trainer.args.max_grad_norm = 0
        return compare(mine, theirs.first_gradient(trainer, seen), student.config.pad_token_id) | {"rows": len(shown)}

    turns.each(step)


def gradient(
    student: LocalPolicy, learner: Learner, examples: Sequence[Example], objective: str
) -> tuple[float, dict[str, Tensor]]:
    """Our loss, and our accumulated gradient by the names of a Hugging Face checkpoint."""
    kept: dict[str, Tensor] = {}
    learner.optimiser = replace(learner.optimiser, grad_clip=0.0)

    def keep(*_: object) -> None:
        kept.update(
            {n: m.grad.clone() for n, m in zip(learner.names, learner.masters, strict=True) if m.grad is not None}
        )

    learner.adam.register_step_pre_hook(keep)
    report = learner.step(examples, OBJECTIVES.build(objective))
    return report.loss, from_decoder(kept, student.model.c)


def compare(mine: tuple[float, dict[str, Tensor]], other: tuple[float, dict[str, Tensor]], pad: int | None) -> Facts:
    """How far two (loss, gradient by name) are apart.  Raises ValueError if they are not over the same weights."""
    if mine[1].keys() != other[1].keys():
        raise ValueError(f"gradients of different weights: {sorted(mine[1].keys() ^ other[1].keys())[:6]}")
    names = sorted(mine[1])
    if pad is not None:
        for side in (mine, other):
            side[1][EMBEDDING][pad] = 0.0
    a = torch.cat([mine[1][n].double().flatten() for n in names])
    b = torch.cat([other[1][n].double().flatten() for n in names])
    return {
        "loss_ours": mine[0], "loss_theirs": other[0], "norm_ours": float(a.norm()), "norm_theirs": float(b.norm()),
        "gradient_error": float((a - b).norm() / b.norm()),
    }  # fmt: skip
