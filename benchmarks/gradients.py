"""The two gradients that `equality.py` compares, computed in a worker, each through its own library's trainer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from benchmarks import ours, theirs
from benchmarks.equality import compare
from benchmarks.lesson import Lesson
from benchmarks.worker import Facts, Turns
from trivium.learn import OBJECTIVES
from trivium.learn.fit import Example, Learner
from trivium.models.convert import from_decoder
from trivium.policies.local import LocalPolicy

SETTINGS = {"mode": "fp32", "attention": "sdpa", "batch": 8}


def grpo(turns: Turns, *, folder: str, lesson: dict[str, Any]) -> None:
    """One GRPO step of two prompts: we sample, both learn from it."""

    def step(number: int, command: Facts) -> Facts:
        plan = replace(Lesson(**lesson), steps=1, prompts=2)
        student = ours.local(f"hf:{folder},dtype=fp32")
        rollouts = ours.paid(ours.sample_groups(student, plan.of(0), plan, seed=0), "dense")
        mine, pad = gradient(student, ours.learner_of(student, plan.lr), rollouts, "grpo"), student.config.pad_token_id
        del student  # two models and two optimisers need not share the memory
        seen = theirs.Gradients()
        trainer = theirs.grpo_trainer(
            folder, {**SETTINGS, "batch": plan.samples}, plan, lambda **_: [r.reward for r in rollouts], seen
        )
        trainer.args.max_grad_norm = 0
        trainer._generate_single_turn = theirs.given([r.ids for r in rollouts], [r.prompt for r in rollouts])
        return compare(mine, theirs.first_gradient(trainer, seen), pad) | {"rows": len(rollouts)}

    turns.each(step)


def sft(turns: Turns, *, folder: str, lesson: dict[str, Any]) -> None:
    """One supervised step on the first batch."""

    def step(number: int, command: Facts) -> Facts:
        plan = replace(Lesson(**lesson), steps=1)
        student = ours.local(f"hf:{folder},dtype=fp32")
        shown = ours.demonstrations(student, plan.of(0))
        mine, pad = gradient(student, ours.learner_of(student, plan.lr), shown, "sft"), student.config.pad_token_id
        del student
        seen = theirs.Gradients()
        trainer = theirs.sft_trainer(folder, SETTINGS, plan, seen)
        trainer.args.max_grad_norm = 0
        return compare(mine, theirs.first_gradient(trainer, seen), pad) | {"rows": len(shown)}

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
