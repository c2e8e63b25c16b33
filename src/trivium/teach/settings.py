"""What a user chooses for a run.  Whatever is left out is filled in here, so that the record holds what was used.

`RunSettings` are those of every run that trains; each kind of run adds its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from trivium.errors import UserError
from trivium.registry import parse_spec

Presets = dict[str, dict[str, Any]]
LEARN: Presets = {
    # A pretrained model knows digits and language.  A short warm-up gives the format and leaves its answers varied; a
    # longer one makes it confident too early, and then few groups have any signal left to learn from.
    "pretrained": {
        "task": "sums:terms=2,ops=+",
        "steps": 28,
        "prompts": 16,
        "samples": 8,
        "max_tokens": 32,
        "lr": 2e-5,
        "warmup_steps": 4,
        "warmup_batch": 32,
        "warmup_lr": 5e-5,
    },
    # Random weights know nothing: the warm-up has to teach what a digit is, by many small steps.
    "random": {
        "task": "sums:terms=4,digits=1,ops=+",
        "steps": 32,
        "prompts": 16,
        "samples": 8,
        "lr": 1e-4,
        "warmup_steps": 500,
        "warmup_batch": 8,
        "warmup_lr": 1.5e-3,
    },
}
"""Defaults that depend on where the policy's weights come from, measured on the embedded model and on tiny:1M."""


IMPROVE: Presets = {
    "pretrained": LEARN["pretrained"] | {"prompts": 64, "budget": "sampled_tokens=256", "batch": 16, "lr": 2e-5},
    "random": LEARN["random"] | {"prompts": 128, "budget": "sampled_tokens=512", "batch": 16, "lr": 3e-4},
}
"""The lessons of `LEARN`, with rounds of search in place of its steps."""


def _option(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help})


def _preset(name: str, help: str, presets: Presets = LEARN) -> Any:
    """An option whose default depends on the policy; the help says both."""
    pretrained, random = (presets[kind].get(name, "the task's") for kind in ("pretrained", "random"))
    default = f"{pretrained}" if pretrained == random else f"{pretrained}; tiny: {random}"
    return _option(None, f"{help}  [default: {default}]")


@dataclass(frozen=True)
class RunSettings:
    """What every run that trains a policy is told; `None` takes the preset of the policy.

    Raises UserError for values that no run can use.
    """

    presets: ClassVar[Presets] = LEARN

    task: str | None = _preset("task", "What to teach; see: trivium list tasks.")
    policy: str = _option("smollm2", "Whom to teach; see: trivium list policies.")
    max_tokens: int | None = _option(
        None, "Longest response in tokens.  [default: the task's; 32 for the default task with a pretrained policy]"
    )
    warmup_steps: int | None = _preset(
        "warmup_steps", "Supervised steps on program-written solutions before learning; 0: none."
    )
    warmup_batch: int | None = _preset("warmup_batch", "Solutions a warm-up step.")
    warmup_lr: float | None = _preset("warmup_lr", "Learning rate of the warm-up.")
    weight_decay: float = _option(0.0, "Decoupled weight decay of AdamW.")
    beta2: float = _option(0.95, "Second-moment decay of AdamW; runs of tens of steps need a short memory.")
    grad_clip: float = _option(1.0, "Largest gradient norm; 0 does not clip.")
    eval_n: int = _option(300, "Held-out problems to measure on.")
    seed: int = _option(0, "Decides problems, samples and, for tiny policies, weights.")
    threads: int = _option(0, "Threads for tensors; 0: one for each core.")
    micro_tokens: int | None = _option(
        None,
        "Tokens computed at a time when learning: memory against speed, never the result."
        "  [default: 512; tiny: 8192; on a GPU 16384, or what fits]",
    )
    checkpoint_share: float = _option(0.05, "Largest share of the time that checkpoints may take.")

    def __post_init__(self) -> None:
        preset = self._preset
        for own in fields(self):
            # The cap belongs to the preset's task; another task has its own.
            if getattr(self, own.name) is None and (own.name != "max_tokens" or self.task == preset["task"]):
                object.__setattr__(self, own.name, preset.get(own.name))
            value, least = getattr(self, own.name), _LEAST.get(own.name)
            if value is not None and least is not None and not value >= least:
                raise UserError(f"--{own.name.replace('_', '-')} {value}: expected at least {least}")
        if not 0 <= self.beta2 < 1:
            raise UserError(f"--beta2 {self.beta2}: expected at least 0 and below 1")
        if not getattr(self, "temperature", 1.0) > 0:
            raise UserError("--temperature 0 gives every sample of a group the same answer; expected above 0")

    @property
    def _preset(self) -> dict[str, Any]:
        return self.presets["random" if parse_spec(self.policy)[0] == "tiny" else "pretrained"]

    def usual(self, name: str) -> Any:
        """What an option is where it is left out."""
        return self._preset.get(name, next(own.default for own in fields(self) if own.name == name))


@dataclass(frozen=True)
class LearnSettings(RunSettings):
    """Options of `trivium learn`."""

    objective: str = _option("grpo", "How to learn; see: trivium list objectives.")
    reward: str = _option("outcome=1", "Weighted terms, such as outcome=1,format=0.1; for policy gradients.")
    steps: int | None = _preset("steps", "Optimiser steps after the warm-up.")
    prompts: int | None = _preset("prompts", "Problems a step.")
    samples: int | None = _preset("samples", "Samples of each problem.")
    temperature: float = _option(1.0, "Sampling temperature of rollouts.")
    lr: float | None = _preset("lr", "Learning rate.")
    schedule: str = _option("constant", "Learning rate over the steps: constant, linear or cosine.")
    lr_floor: float = _option(0.0, "Share of the learning rate that a falling schedule ends at.")
    lr_warmup: int = _option(0, "Steps over which the learning rate rises from 0.")
    updates: int = _option(1, "Optimiser steps on each batch of rollouts, on equal parts of it.")
    refill: int = _option(0, "More rounds of problems a step while groups without signal are dropped.")
    eval_every: int = _option(0, "Measure on dev problems every so many steps; 0: never.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.schedule not in ("constant", "linear", "cosine"):
            raise UserError(f"--schedule {self.schedule}: expected constant, linear or cosine")
        if not 0 <= self.lr_floor <= 1:
            raise UserError(f"--lr-floor {self.lr_floor}: expected a share of the learning rate, from 0 to 1")
        if self.lr_floor and self.schedule == "constant":
            raise UserError("--lr-floor needs a rate that falls: add --schedule linear or --schedule cosine")
        if self.warmup_steps == 0 and self.steps == 0:
            raise UserError("--steps 0 with --warmup-steps 0 would learn nothing")


@dataclass(frozen=True)
class ImproveSettings(RunSettings):
    """Options of `trivium improve`."""

    presets: ClassVar[Presets] = IMPROVE

    method: str = _option("beam", "How to search; see: trivium list methods.")
    rounds: int = _option(3, "Rounds of search, then learning.")
    prompts: int | None = _preset("prompts", "Training problems a round, each once.", IMPROVE)
    budget: str | None = _preset(
        "budget", "Hard limits a problem, in training and when measuring, such as sampled_tokens=512.", IMPROVE
    )
    data: str = _option("reject", "What to learn from: reject, pairs or process; see: trivium show reject.")
    objective: str | None = _option(None, "How to learn.  [default: sft, dpo or step-dpo, as suits the data]")
    lr: float | None = _preset("lr", "Learning rate; by default a tenth of it for pairs and process.", IMPROVE)
    epochs: int = _option(2, "Times a round's examples are gone through.")
    steps: int = _option(0, "Optimiser steps a round, for both arms; 0: as many as --epochs take.")
    batch: int | None = _preset("batch", "Examples an optimiser step.", IMPROVE)
    temperature: float = _option(0.7, "Sampling temperature of the control; methods have their own option.")
    control: bool = _option(
        True, "Repeat all rounds with plain samples in place of the search: the same questions, the same tokens."
    )

    def __post_init__(self) -> None:
        gentle = self.lr is None and parse_spec(self.data)[0] != "reject"
        super().__post_init__()
        if gentle:
            # Preferences push apart for as long as they are shown: papers take a tenth of the rate of SFT, or less.
            object.__setattr__(self, "lr", 0.1 * float(self.lr or 0))


_LEAST: dict[str, float] = {
    "steps": 0, "prompts": 1, "samples": 1, "max_tokens": 1, "lr": 0.0, "lr_warmup": 0, "weight_decay": 0.0,
    "grad_clip": 0.0, "updates": 1, "refill": 0, "warmup_steps": 0, "warmup_batch": 1, "warmup_lr": 0.0, "eval_n": 1,
    "eval_every": 0, "threads": 0, "micro_tokens": 1, "checkpoint_share": 0.0, "rounds": 1, "epochs": 1, "batch": 1,
}  # fmt: skip
