"""A full GRPO step (generate, pay, learn) against TRL's `GRPOTrainer` in the fastest settings it has on this machine.

Both sides get the same prompts, reward function, optimiser and loss; both sample at most `max_tokens` tokens at
temperature 1 from the same weights.  Gradients are compared first.  The second row pays one group in four, which is
what a real run looks like: groups of equal rewards teach nothing, and we do not compute them.  The rival computes every
group whatever it is paid, so its turns are those of the first row.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from benchmarks.equality import require_equal
from benchmarks.lesson import Lesson, Pay
from benchmarks.pairing import Row, Settings, alternate, fastest, row
from benchmarks.worker import Facts, Worker
from trivium.errors import RunError
from trivium.store.machine import cores

LESSON = Lesson(steps=0, prompts=8, samples=8, max_tokens=64)
TRIAL_TOKENS = 24
"""Tokens a sample at most while the rival's settings are compared, where a lesson is longer."""
START = {"mode": "bf16 autocast", "attention": "sdpa", "batch": 16, "cache": None}
PAYS: dict[Pay, str] = {"dense": "every group pays", "sparse": "one group in four pays"}
AXES: dict[str, Sequence[Any]] = {
    "mode": ("bf16 weights", "fp32"),
    "attention": ("eager",),
    "batch": (8, 64),
    "cache": ("static",),
}


def rows(pairs: int = 5) -> list[Row]:
    """SmolLM2-135M, 8 prompts x 8 samples of at most 64 tokens."""
    with tempfile.TemporaryDirectory() as folder:
        return race("GRPO step, SmolLM2-135M", "smollm2", folder, LESSON, pairs, reach=8.0)


def race(name: str, spec: str, folder: str, lesson: Lesson, pairs: int, *, reach: float | None) -> list[Row]:
    """Both rows for one policy; `folder` is where its weights go for the rival.

    Raises RunError if the two sides do not compute the same gradient.
    """
    with Worker("ours:export", spec=spec, folder=folder) as worker:
        where = worker.turn()["folder"]
    plan = asdict(replace(lesson, steps=pairs + 1))
    equal = require_equal("grpo", where, plan)
    trial = asdict(replace(lesson, steps=1, max_tokens=min(lesson.max_tokens, TRIAL_TOKENS)))
    with Worker("theirs:rate", kind="grpo", folder=where, lesson=trial) as worker:
        worker.turn(settings=START, prompts=1)
        settings, tried = fastest(START, AXES, partial(rate_of, worker))
    with (
        Worker("ours:grpo", spec=f"hf:{where}", lesson=plan) as ours,
        Worker("theirs:grpo", folder=where, settings=settings, lesson=plan) as theirs,
    ):
        ours.turn(), theirs.turn()
        steps = iter(range(1, pairs + 1))

        def our_turn() -> dict[Pay, Facts]:
            step = next(steps)
            return {pay: ours.turn(pay=pay, step=step) for pay in PAYS}

        taken = alternate(our_turn, theirs.turn, pairs)

    made = []
    for pay, what in PAYS.items():
        sides = [(mine[pay], other) for mine, other in taken]
        made.append(
            row(
                f"{name}, {lesson.prompts} x {lesson.samples}, {what}", "TRL GRPOTrainer", "samples/s",
                [(samples_a_second(a), samples_a_second(b)) for a, b in sides], better="higher",
                reach=reach if pay == "dense" else None, settings=settings, tried=tried, equality=equal,
                note=_note(settings, sides, lesson), dtype=sides[0][0]["dtype"], threads=cores(),
                peak_mb_ours=sides[-1][0]["peak_mb"], peak_mb_theirs=sides[-1][1]["peak_mb"],
                turns=[{"ours": a, "theirs": b} for a, b in sides],
            )
        )  # fmt: skip
    return made


def samples_a_second(facts: Facts) -> float:
    return float(facts["samples"] / facts["seconds"])


def rate_of(worker: Worker, settings: Settings) -> float:
    """The rival's rate in `settings`.  Raises RunError if it cannot run in them."""
    facts = worker.turn(settings=settings)
    if "error" in facts:
        raise RunError(facts["error"])
    return samples_a_second(facts)


def _note(settings: Settings, taken: list[tuple[Facts, Facts]], lesson: Lesson) -> str:
    skipped = sum(a["silent_groups"] for a, _ in taken)
    lengths = [sum(side["sampled_tokens"] for side in sides) / len(taken) for sides in zip(*taken, strict=True)]
    return (
        f"rival in {settings['mode']}, {settings['attention']} attention, batches of {settings['batch']},"
        f" {settings['cache'] or 'dynamic'} cache; ours in {taken[0][0]['dtype']} with float32 masters;"
        f" {lengths[0]:.0f} and {lengths[1]:.0f} tokens sampled a step; groups without signal:"
        f" {skipped} of {lesson.prompts * len(taken)}"
    )
