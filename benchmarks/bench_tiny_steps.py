"""A tiny model's SFT and GRPO steps against TRL's trainers on the same model, the same batches and the same loss.

Here matrix products are small, so what is measured is everything around them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from benchmarks import bench_grpo_step
from benchmarks.equality import require_equal
from benchmarks.lesson import Lesson
from benchmarks.pairing import Row, alternate, fastest, row
from benchmarks.worker import Worker
from trivium.store.machine import cores

SPEC = "tiny:1M"
SFT = Lesson(steps=0, prompts=64, lr=1e-4)
GRPO = Lesson(steps=0, prompts=16, samples=8, max_tokens=64, lr=1e-5)
WARM_UP = 2
START = {"mode": "fp32", "attention": "sdpa", "batch": 64}
AXES: dict[str, Sequence[Any]] = {
    "mode": ("bf16 autocast", "bf16 weights"),
    "attention": ("eager",),
    "batch": (16, 32),
}


def rows(pairs: int = 5, spec: str = SPEC) -> list[Row]:
    """Both objectives."""
    made = []
    with tempfile.TemporaryDirectory() as folder:
        made += sft(spec, folder, pairs)
        made += bench_grpo_step.race(f"GRPO step, {spec}", spec, folder, GRPO, pairs, reach=5.0)
    return made


def sft(spec: str, folder: str, pairs: int) -> list[Row]:
    """64 written solutions a step.  Raises RunError if the two sides do not compute the same gradient."""
    with Worker("ours:export", spec=spec, folder=folder) as worker:
        worker.turn()
    plan = asdict(replace(SFT, steps=pairs + WARM_UP))
    equal = require_equal("sft", folder, plan)
    with Worker("theirs:rate", kind="sft", folder=folder, lesson=asdict(replace(SFT, steps=3))) as worker:
        worker.turn(settings=START)
        settings, tried = fastest(START, AXES, partial(bench_grpo_step.rate_of, worker))
    with (
        Worker("ours:sft", spec=f"hf:{folder}", lesson=plan) as ours,
        Worker("theirs:sft", folder=folder, settings=settings, lesson=plan) as theirs,
    ):
        for _ in range(WARM_UP):
            ours.turn(), theirs.turn()
        taken = alternate(ours.turn, theirs.turn, pairs)
    note = (
        f"rival in {settings['mode']}, {settings['attention']} attention, batches of {settings['batch']};"
        f" ours in {taken[0][0]['dtype']}"
    )
    return [
        row(
            f"SFT step, {spec}, batch {SFT.prompts}", "TRL SFTTrainer", "samples/s",
            [(bench_grpo_step.samples_a_second(a), bench_grpo_step.samples_a_second(b)) for a, b in taken],
            better="higher", reach=5.0, settings=settings, tried=tried, equality=equal, note=note,
            dtype=taken[0][0]["dtype"], threads=cores(),
            peak_mb_ours=taken[-1][0]["peak_mb"], peak_mb_theirs=taken[-1][1]["peak_mb"],
        )
    ]  # fmt: skip
