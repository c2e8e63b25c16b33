"""Trivium's side of the races, through the same calls that `trivium learn` makes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from benchmarks.lesson import BETA2, GRAD_CLIP, TEMPERATURE, Lesson, Pay, rewards
from benchmarks.worker import Facts, Turns
from trivium.learn import OBJECTIVES
from trivium.learn.batch import Demonstration, Rollout, microbatches
from trivium.learn.fit import Learner, Optimiser
from trivium.policies import policy
from trivium.policies.folder import dtype_name
from trivium.policies.local import LocalPolicy
from trivium.policies.smollm2 import fetch
from trivium.teach.memory import micro_tokens
from trivium.teach.settings import LearnSettings
from trivium.types import Completion, Message, Problem, Request, Sampling

SMALL = 20_000_000
"""Parameters below which a learner takes the micro-batch of `trivium learn --policy tiny`."""


def export(turns: Turns, *, spec: str, folder: str) -> None:
    """Put the policy's weights where transformers reads them, in float32."""

    def step(number: int, command: Facts) -> Facts:
        if spec == "smollm2":
            return {"folder": str(fetch())}
        local(spec).save(Path(folder))
        return {"folder": folder}

    turns.each(step)


def grpo(turns: Turns, *, spec: str, lesson: dict[str, Any]) -> None:
    """GRPO steps: sample, pay, learn.  A command gives the `pay` and the lesson's `step`, by default the next."""
    plan, student = Lesson(**lesson), local(spec)
    learner, objective = learner_of(student, plan.lr), OBJECTIVES.build("grpo")

    def step(number: int, command: Facts) -> Facts:
        place = command.get("step", number)
        problems, counters = plan.of(place), student.engine.counters
        before = (counters.prefilled, counters.sampled, counters.steps)
        began = time.perf_counter()
        groups = sample_groups(student, problems, plan, seed=place)
        sampled_at = time.perf_counter()
        rollouts = paid(groups, command.get("pay", "dense"))
        report = learner.step(rollouts, objective)
        ended = time.perf_counter()
        student.weights_version += 1
        prefilled, sampled, steps = (
            now - was for now, was in zip((counters.prefilled, counters.sampled, counters.steps), before, strict=True)
        )
        useful = [i for i, r in enumerate(rollouts) if r.reward != mean_of_group(rollouts, r.group)]
        silent = plan.prompts - len({rollouts[i].group for i in useful})
        return {
            "seconds": ended - began, "seconds_generate": sampled_at - began, "seconds_learn": ended - sampled_at,
            "samples": len(rollouts), "sampled_tokens": sampled, "prefilled_tokens": prefilled, "decode_steps": steps,
            "trained_tokens": report.trained_tokens, "forward_tokens": forward_tokens(rollouts, useful, learner),
            "places_read": places_read(rollouts), "silent_groups": silent, "mismatch": report.metrics.get("mismatch"),
            **shape(student),
        }  # fmt: skip

    turns.each(step)


def sft(turns: Turns, *, spec: str, lesson: dict[str, Any]) -> None:
    """Supervised steps on the tasks' written solutions."""
    plan, student = Lesson(**lesson), local(spec)
    learner, objective = learner_of(student, plan.lr), OBJECTIVES.build("sft")
    batches = [demonstrations(student, plan.of(i)) for i in range(plan.steps)]

    def step(number: int, command: Facts) -> Facts:
        began = time.perf_counter()
        report = learner.step(batches[number], objective)
        seconds = time.perf_counter() - began
        return {
            "seconds": seconds, "samples": plan.prompts, "trained_tokens": report.trained_tokens, **shape(student)
        }  # fmt: skip

    turns.each(step)


def generate(turns: Turns, *, spec: str, prompts: list[str], samples: int, tokens: int) -> None:
    """`samples` completions of exactly `tokens` tokens for every prompt."""
    student = local(spec)
    student.engine.eos = frozenset()

    def step(number: int, command: Facts) -> Facts:
        began = time.perf_counter()
        groups = asyncio.run(_groups(student, [(Message("user", p),) for p in prompts], samples, tokens, number))
        seconds = time.perf_counter() - began
        lengths = {len(c.segment.ids) for group in groups for c in group}
        return {"seconds": seconds, "tokens": tokens * samples * len(prompts), "lengths": sorted(lengths),
                **shape(student)}  # fmt: skip

    turns.each(step)


def local(spec: str) -> LocalPolicy:
    """The policy whose weights are here."""
    return cast(LocalPolicy, policy(spec))


def learner_of(student: LocalPolicy, lr: float) -> Learner:
    """A learner as `trivium learn` makes it, with the optimiser both sides share."""
    optimiser = Optimiser(lr=lr, beta2=BETA2, grad_clip=GRAD_CLIP)
    small = sum(p.numel() for p in student.model.parameters()) < SMALL
    settings = LearnSettings(policy="tiny" if small else "smollm2")
    return Learner(student.model, optimiser, micro_tokens(settings, student.model), TEMPERATURE)


def sample_groups(student: LocalPolicy, problems: Sequence[Problem], plan: Lesson, seed: int) -> list[list[Completion]]:
    """A group of completions for every problem."""
    messages = [p.question.messages for p in problems]
    groups = asyncio.run(_groups(student, messages, plan.samples, plan.max_tokens, seed))
    student.release()
    return groups


async def _groups(
    student: LocalPolicy, messages: Sequence[tuple[Message, ...]], samples: int, tokens: int, seed: int
) -> list[list[Completion]]:
    sampling = Sampling(temperature=TEMPERATURE, max_tokens=tokens)
    requests = [Request(m, sampling, samples, seed * 1_000_003 + i) for i, m in enumerate(messages)]
    return list(await asyncio.gather(*(student.sample(r) for r in requests)))


def paid(groups: Sequence[Sequence[Completion]], pay: Pay) -> list[Rollout]:
    """Completions with their rewards."""
    flat = [(g, c) for g, group in enumerate(groups) for c in group]
    earned = rewards([c.text for _, c in flat], [g for g, _ in flat], pay)
    return [
        Rollout(c.prompt.ids, c.segment.ids, c.segment.logprobs, reward, g, reward > 0, c.finish == "length")
        for (g, c), reward in zip(flat, earned, strict=True)
    ]


def demonstrations(student: LocalPolicy, problems: Sequence[Problem]) -> list[Demonstration]:
    """The written solutions as token ids."""
    return [
        Demonstration(student.encode(p.question.messages), student.encode_response(str(p.solution))) for p in problems
    ]


def mean_of_group(rollouts: Sequence[Rollout], group: int) -> float:
    mine = [r.reward for r in rollouts if r.group == group]
    return sum(mine) / len(mine)


def forward_tokens(rollouts: Sequence[Rollout], useful: Sequence[int], learner: Learner) -> int:
    """Tokens that the learning step pushed through the layers: each micro-batch's prompts once, and completions."""
    rows = [(r.prompt, r.ids, r.ids) for r in rollouts]
    pieces = microbatches(rows, learner.max_tokens, useful)
    return sum(sum(map(len, p.prompts)) + sum(len(ids) - 1 for _, ids in p.inputs) for p in pieces)


def places_read(rollouts: Sequence[Rollout]) -> int:
    """Cache places that decoding had to read: for every token after a sample's first, all places before it."""
    return sum(sum(range(len(r.prompt) + 1, len(r.prompt) + len(r.ids))) for r in rollouts)


def shape(student: LocalPolicy) -> Facts:
    """The numbers from which work is counted: parameters in the layers and in the head, and bytes."""
    c, head = student.model.c, student.model.head
    every = sum(p.numel() for p in student.model.parameters())
    return {
        "dtype": dtype_name(head.dtype),
        "parameters": every,
        "body_parameters": every - head.numel() * (1 if c.tied else 2),
        "head_parameters": head.numel(),
        "place_bytes": 2 * c.layers * c.kv_heads * c.head_dim * head.element_size(),
    }
