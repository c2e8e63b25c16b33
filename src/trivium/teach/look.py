"""Look before a long run leaps: sample a few answers as the run would, and say whether it can learn.

Most failed runs fail in ways that a minute shows: every sample is cut off, no two rewards of a question differ, the
memory does not suffice, the sampler and the trainer disagree about log-probs.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any, cast

import torch

from trivium.data.pairs import outcome_pairs
from trivium.data.pool import Pool, at_most
from trivium.learn.batch import Rollout, Row, by_group, microbatches, pad, step_batch
from trivium.learn.types import Objective, RolloutObjective, StepBatch
from trivium.models.logprob import completion_logprobs
from trivium.policies.device import free_bytes
from trivium.search.driver import VERIFY_TIMEOUT, Judge
from trivium.tasks import task as make_task
from trivium.teach.memory import micro_tokens, needed_bytes
from trivium.teach.parts import lesson, local_policy
from trivium.teach.progress import diagnosis
from trivium.teach.rollout import Rollouts, Sampler
from trivium.teach.settings import LearnSettings
from trivium.types import Sampling

PROMPTS, SAMPLES = 8, 4
MISMATCH = {torch.float32: 1e-3, torch.bfloat16: 5e-2}
"""Largest mean difference, in nats a token, between the sampler's log-probs and the trainer's for equal weights."""


def look(settings: LearnSettings) -> dict[str, Any]:
    """Sample `PROMPTS` x `SAMPLES` answers and check them; returns `{"ok", "checks"}`.

    Each check has `name`, `value`, `ok` and, where it fails, `fix`.  Rewards have to differ where the objective
    compares them, which for most is among the answers to one question.  With a warm-up to come, rewards that do not
    are a remark: the warm-up is there to change that.
    """
    task = make_task(str(settings.task))
    limit = settings.max_tokens or task.max_tokens
    objective, reward = lesson(settings, limit)
    policy = local_policy(settings)
    sampling = Sampling(temperature=settings.temperature, max_tokens=limit)
    sampler = Sampler(policy, Judge(task, VERIFY_TIMEOUT), reward, sampling, SAMPLES)
    # A task without dev problems is looked at through those that it would be taught on.
    problems = at_most(task, "dev", PROMPTS, settings.seed) or Pool(task, settings.seed).take(0, PROMPTS)
    drawn = sampler.sample(problems, settings.seed)
    lengths = sorted(t.usage.sampled_tokens for t in drawn.traces)
    ended = statistics.mean(t.finish != "length" for t in drawn.traces)
    unparsed = statistics.mean(t.verdict is not None and t.verdict.status == "unparseable" for t in drawn.traces)
    differing = sum(len({r.reward for r in group}) > 1 for group in by_group(drawn.rollouts))
    learns, warmed = _teaches(objective, drawn), bool(settings.warmup_steps)
    why = diagnosis(drawn, sampling, objective)
    at_a_time = micro_tokens(settings, policy.model)
    mismatch, learn_seconds = _train_side(policy.model, drawn, at_a_time)
    bound = MISMATCH[policy.model.head.dtype]
    memory, free = needed_bytes(policy.model, at_a_time), free_bytes(policy.model.device)
    checks = [
        _check("ended by themselves", f"{ended:.0%} of {len(lengths)} samples", ended > 0 or warmed, why),
        _check("length", f"median {lengths[len(lengths) // 2]}, longest {lengths[-1]}, cap {limit} tokens"),
        _check("without an answer", f"{unparsed:.0%}"),
        _check("correct", f"{drawn.mean('accuracy'):.0%}"),
        _check("verifier failed", f"{drawn.mean('verifier_errors'):.0%}", drawn.mean("verifier_errors") < 1, why),
        _check("rewards differ", f"in {differing} of {len(problems)} groups", learns or warmed, why),
        _check(
            "sampler and trainer agree", f"{mismatch:.1e} nats a token (at most {bound:g})", mismatch <= bound,
            "use --policy NAME:dtype=fp32, and report this: log-probs of one model should not differ so much",
        ),
        _check("memory", f"about {memory / 1e9:.1f} GB of {free / 1e9:.1f} free", memory < free,
               "choose a smaller policy, or fewer --micro-tokens"),
        _check("speed", f"{drawn.sampled_tokens / drawn.seconds_generate:,.0f} sampled tokens/s"),
        _check("time", f"about {_minutes(settings, drawn, learn_seconds):.0f} minutes for {settings.steps} steps"),
    ]  # fmt: skip
    return {"ok": all(c["ok"] for c in checks), "checks": checks}


def _check(name: str, value: str, ok: bool = True, fix: str = "") -> dict[str, Any]:
    return {"name": name, "value": value, "ok": ok, "fix": "" if ok else fix}


def _teaches(objective: Objective[Any], drawn: Rollouts) -> bool:
    """Whether the objective finds something to learn in these answers, the policy being its own reference as yet."""
    if objective.kind == "supervised":
        return True  # it learns from written solutions
    if objective.kind == "preference":
        return bool(outcome_pairs(drawn.rollouts))
    asked = cast(RolloutObjective, objective)
    keep = asked.keep(_step(drawn.rollouts)).tolist() if drawn.rollouts else []
    kept = [r for r, wanted in zip(drawn.rollouts, keep, strict=True) if wanted]
    if not kept:
        return False
    step = _step(kept)
    moving = asked.advantages(step).view(len(kept), -1).any(1)
    return bool((moving & asked.trained(step.mask, step.truncated).any(1)).any())


def _step(rollouts: Sequence[Rollout]) -> StepBatch:
    return step_batch(rollouts, pad([r.logprobs for r in rollouts]))


def _train_side(model: Any, drawn: Rollouts, at_a_time: int) -> tuple[float, float]:
    """Mean |log-prob of the sampler - of a training forward|, and seconds of forward and backward per rollout."""
    if not drawn.rollouts:
        return 0.0, 0.0
    rows: list[Row] = [(r.prompt, r.ids, r.ids) for r in drawn.rollouts]
    apart, count, began = 0.0, 0, time.perf_counter()
    for piece in microbatches(rows, at_a_time, range(len(rows))):
        logp, _, mask = completion_logprobs(model, piece.prompts, piece.inputs)
        logp.sum().backward()  # type: ignore[no-untyped-call]
        sampled = pad([drawn.rollouts[i].logprobs for i in piece.index], mask.shape[1])
        apart += float((logp.detach() - sampled)[mask].abs().sum())
        count += int(mask.sum())
    seconds = time.perf_counter() - began
    model.zero_grad(set_to_none=True)
    return apart / count, seconds / len(rows)


def _minutes(settings: LearnSettings, drawn: Rollouts, learn_seconds: float) -> float:
    """Minutes that the steps after the warm-up will take if answers stay as long as these."""
    each = drawn.seconds_generate / len(drawn.traces) + learn_seconds
    return each * int(settings.prompts or 1) * int(settings.samples or 1) * int(settings.steps or 0) / 60
