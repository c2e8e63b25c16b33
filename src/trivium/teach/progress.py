"""Where a run is and what it has found: what checkpoints hold besides weights, and what the result is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from trivium.data.pairs import outcome_pairs
from trivium.learn.batch import Rollout, by_group, step_batch
from trivium.learn.types import Objective, RolloutObjective
from trivium.stats import paired_bootstrap
from trivium.teach.rollout import Rollouts
from trivium.teach.settings import LearnSettings
from trivium.types import Problem, Sampling


@dataclass
class Progress:
    """JSON-serialisable.  `written` counts checkpoints; `looked` is the step of the last evaluation between steps;
    `drawn` is the place in the pool of training problems; `silent` counts steps in a row that taught nothing; `rounds`
    has what each round of search gave; `seconds` is the time spent, over all sittings.
    """

    dtype: str = ""
    written: int = 0
    done: list[str] = field(default_factory=list)
    step: int = 0
    looked: int = 0
    drawn: int = 0
    silent: int = 0
    seconds: float = 0.0
    step_seconds: float = 0.0
    evaluation_seconds: float = 0.0
    sampled_tokens: int = 0
    trained_tokens: int = 0
    warmup_tokens: int = 0
    evaluation_tokens: int = 0
    weights_version: int = 0
    samples: int = 0
    verifier_errors: float = 0.0
    evaluations: dict[str, dict[str, Any]] = field(default_factory=dict)
    rounds: dict[str, dict[str, Any]] = field(default_factory=dict)


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def merge(parts: Sequence[Rollouts]) -> Rollouts:
    """Several rounds of one step as one."""
    metrics: dict[str, tuple[float, float]] = {}
    groups: dict[str, int] = {}
    for part in parts:
        for name, (total, count) in part.metrics.items():
            had = metrics.get(name, (0.0, 0.0))
            metrics[name] = (had[0] + total, had[1] + count)
        for kind, count in part.groups.items():
            groups[kind] = groups.get(kind, 0) + count
    return Rollouts(
        [p for part in parts for p in part.problems], [t for part in parts for t in part.traces],
        [r for part in parts for r in part.rewards], [r for part in parts for r in part.rollouts], groups, metrics,
        sum(part.seconds_generate for part in parts), sum(part.seconds_verify for part in parts),
    )  # fmt: skip


def signal_row(drawn: Rollouts | None) -> dict[str, Any]:
    """The part of a step's row that describes what was sampled; zeros where nothing was."""
    if drawn is None:
        return {"tokens_sampled": 0, "seconds_generate": 0.0, "seconds_verify": 0.0}
    groups = sum(drawn.groups.values())
    return {
        "reward": drawn.mean("reward"), "accuracy": drawn.mean("accuracy"),
        "terms": {k.removeprefix("reward/"): drawn.mean(k) for k in drawn.metrics if k.startswith("reward/")},
        "length": mean([float(t.usage.sampled_tokens) for t in drawn.traces]),
        "truncated": mean([float(t.finish == "length") for t in drawn.traces]),
        "signal": drawn.groups["mixed"] / groups, "all_correct": drawn.groups["all_correct"] / groups,
        "all_wrong": drawn.groups["all_wrong"] / groups, "verifier_errors": drawn.mean("verifier_errors"),
        "tokens_sampled": drawn.sampled_tokens, "seconds_generate": drawn.seconds_generate,
        "seconds_verify": drawn.seconds_verify,
    }  # fmt: skip


def diagnosis(drawn: Rollouts, sampling: Sampling, objective: Objective[Any]) -> str:
    """Why a step had no signal for this objective, and what to type."""
    errors = sum(r is None for r in drawn.rewards)
    if errors == len(drawn.rewards):
        return "the verifier failed on every sample; look at the first one with: trivium show RUN"
    if all(t.finish == "length" for t in drawn.traces):
        return (
            f"every sample was cut off at {sampling.max_tokens} tokens; the model does not know when to stop. "
            f"Try --max-tokens {2 * sampling.max_tokens} or --warmup-steps 16"
        )
    by_outcome = _by_outcome(objective, drawn.rollouts)
    if not any(drawn.groups[kind] for kind in ("mixed", "all_correct")):
        easier = "Try more --warmup-steps, an easier level of the task (see: trivium show TASK)"
        if by_outcome:
            return (
                "no sample was right, and this objective learns only from groups with right and wrong answers, "
                f"whatever is paid. {easier}, or more --samples"
            )
        return (
            f"no sample was right, so all rewards are equal. {easier}, more --samples, or a reward with partial credit "
            "such as outcome=1,format=0.1"
        )
    if not drawn.groups["mixed"] and not drawn.groups["all_wrong"]:
        return (
            "every sample was right; there is nothing left to learn here. Try a harder level (see: trivium show TASK)"
        )
    if _lost_by_cutting(objective, drawn.rollouts):
        return (
            f"groups had right and wrong answers, but those that were cut off at {sampling.max_tokens} tokens are left "
            f"out, and no group had both without them. Try --max-tokens {2 * sampling.max_tokens}"
        )
    what = "every group was all right or all wrong" if by_outcome else "all rewards of every group were equal"
    return f"{what}. Try more --samples, or a higher --temperature"


def _by_outcome(objective: Objective[Any], rollouts: Sequence[Rollout]) -> bool:
    """Whether the objective drops all of these groups for their outcomes, so that no reward could make them teach."""
    if objective.kind == "policy-gradient":
        return not cast(RolloutObjective, objective).keep(step_batch(rollouts)).any()
    return objective.kind == "preference" and not _mixed(rollouts)


def _lost_by_cutting(objective: Objective[Any], rollouts: Sequence[Rollout]) -> bool:
    """Whether groups that taught nothing would have, had the objective not left out what was cut off."""
    if objective.kind == "preference":
        return bool(_mixed(rollouts)) and not outcome_pairs(rollouts)
    paid_apart = any(len({r.reward for r in group}) > 1 for group in _mixed(rollouts))
    return paid_apart and getattr(objective, "drop_truncated", False)


def _mixed(rollouts: Sequence[Rollout]) -> list[list[Rollout]]:
    """The groups with right and wrong answers."""
    return [group for group in by_group(rollouts) if len({r.correct for r in group}) > 1]


def brief(found: Mapping[str, Any]) -> dict[str, Any]:
    """An evaluation's accuracy with its interval."""
    return {key: found[key] for key in ("accuracy", "low", "high", "n")}


def make_result(settings: LearnSettings, p: Progress, problems: Sequence[Problem], folder: Path) -> dict[str, Any]:
    """What result.json holds; keys and units are documented in docs/design.md."""
    found = p.evaluations

    def share(stage: str) -> dict[str, Any] | None:
        return brief(found[stage]) if stage in found else None

    return {
        "task": settings.task, "policy": settings.policy, "objective": settings.objective, "seed": settings.seed,
        "before": share("before"), "after_warmup": share("after_warmup"), "after": share("after"),
        "vote_before": {
            **(share("vote_before") or {}), "samples_per_problem": found["vote_before"]["samples_per_problem"]
        },
        "difference_vs_greedy": difference(found["after"], found["before"]),
        "difference_vs_vote": difference(found["after"], found["vote_before"]),
        "rl_gain": difference(found["after"], found["after_warmup" if "after_warmup" in found else "before"]),
        "minutes": round(p.seconds / 60, 2), "sampled_tokens": p.sampled_tokens, "trained_tokens": p.trained_tokens,
        "warmup_tokens": p.warmup_tokens, "evaluation_tokens": p.evaluation_tokens,
        "tokens_per_problem": {stage: e["sampled_tokens"] / max(1, e["n"] + e["errors"]) for stage, e in found.items()},
        "abstained": {stage: e["abstained"] for stage, e in found.items()},
        "dtype": p.dtype, "model": str(folder / "model"), "report": str(folder / "report.html"),
        "verifier_error_rate": p.verifier_errors / p.samples if p.samples else 0.0,
        "transcripts": [
            {"question": problem.question.messages[-1].content, "gold": problem.gold, "before": was, "after": now}
            for problem, was, now in zip(problems, found["before"]["shown"], found["after"]["shown"], strict=False)
        ],
        "next": commands(settings, folder),
    }  # fmt: skip


def commands(settings: LearnSettings, folder: Path) -> list[str]:
    """The exact commands to go on with."""
    model, again = folder / "model", 2 * int(settings.steps or 1)
    other = "countdown" if str(settings.task).startswith("sums") else "sums"
    return [
        f"trivium solve greedy --task {settings.task} --policy {model}",
        f"trivium solve vote:n=8 --task {settings.task} --policy {model} --n 50",
        f"trivium learn --task {settings.task} --policy {model} --warmup-steps 0 --steps {again}",
        f"trivium learn --task {other} --policy {settings.policy}",
        f"trivium learn --task {settings.task} --policy hf:Qwen/Qwen2.5-0.5B-Instruct",
    ]


def difference(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, float]:
    """Paired over the problems that both have a verdict on."""
    pairs = [(x, y) for x, y in zip(a["scores"], b["scores"], strict=True) if x is not None and y is not None]
    if not pairs:
        return {"mean": 0.0, "low": 0.0, "high": 0.0}
    found = paired_bootstrap([x for x, _ in pairs], [y for _, y in pairs])
    return {"mean": found.mean, "low": found.low, "high": found.high}
