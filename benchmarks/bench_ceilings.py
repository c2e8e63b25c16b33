"""How much of the machine a GRPO step uses, and how much memory it takes.

Ceilings are measured here: large matrix products in float32 and bf16, and a copy of a block no cache holds (bytes read
plus bytes written).  Work is counted, not measured: a token costs 2 operations a parameter forward and 6 forward and
backward; the output head counts for the tokens whose logits are needed.  Attention's own products are left out, which
at these lengths are a few percent.  A decoding step reads all weights once and each row's keys and values.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, replace

from benchmarks.bench_grpo_step import LESSON
from benchmarks.lesson import Lesson
from benchmarks.pairing import Row, alternate, row
from benchmarks.worker import Facts, Turns, Worker
from trivium.store.machine import cores

MEMORY_LIMIT_MB = 4000.0
SIDE, BLOCK_MB, REPEATS = 2048, 256, 5


def rows(pairs: int = 5, spec: str = "smollm2", lesson: Lesson = LESSON) -> list[Row]:
    """Shares of the ceilings that generating and learning reach, and the peak memory of a process that does both."""
    plan = asdict(replace(lesson, steps=pairs + 1))
    with Worker("ours:grpo", spec=spec, lesson=plan) as ours, Worker("bench_ceilings:ceilings") as machine:
        ours.turn(), machine.turn()
        taken = alternate(ours.turn, machine.turn, pairs)
    dtype, peak = taken[0][0]["dtype"], max(a["peak_mb"] for a, _ in taken)
    products = f"measured {dtype} matrix products"
    facts = {"dtype": dtype, "threads": cores(), "ceilings": [b for _, b in taken]}

    def share(what: str, rival: str, unit: str, ours: Callable[[Facts], float], ceiling: str) -> Row:
        reached = [(ours(a), b[ceiling]) for a, b in taken]
        return row(f"{what}, {spec}", rival, unit, reached, better="higher", note="the ratio is the share", **facts)

    return [
        share("generation, arithmetic", products, "GFLOP/s", generation_gflops, dtype),
        share("generation, memory", "measured copy", "GB/s", generation_gbytes, "copy"),
        share("learning, arithmetic", products, "GFLOP/s", learning_gflops, dtype),
        row(
            f"peak memory of GRPO steps, {spec}", "limit", "MB", [(peak, MEMORY_LIMIT_MB)], better="lower", reach=1.0,
            note="resident set of a fresh process, model, optimiser and cache included", **facts,
        ),
    ]  # fmt: skip


def generation_gflops(facts: Facts) -> float:
    """All prompt tokens and all sampled ones but each row's last pass the layers; all sampled ones use the head."""
    through = facts["prefilled_tokens"] + facts["sampled_tokens"] - facts["samples"]
    work = 2 * (facts["body_parameters"] * through + facts["head_parameters"] * facts["sampled_tokens"])
    return float(work / facts["seconds_generate"] / 1e9)


def generation_gbytes(facts: Facts) -> float:
    """Weights once a decoding step, and the keys and values of each row's past."""
    element = 2 if facts["dtype"] == "bf16" else 4
    weights = (facts["body_parameters"] + facts["head_parameters"]) * element * facts["decode_steps"]
    return float((weights + facts["places_read"] * facts["place_bytes"]) / facts["seconds_generate"] / 1e9)


def learning_gflops(facts: Facts) -> float:
    """Forward and backward of the layers for all tokens, of the head for the trained ones; the optimiser is free."""
    work = 6 * (facts["body_parameters"] * facts["forward_tokens"] + facts["head_parameters"] * facts["trained_tokens"])
    return float(work / facts["seconds_learn"] / 1e9)


def ceilings(turns: Turns) -> None:
    """Measure this machine: GFLOP/s of `fp32` and `bf16` products, GB/s of a `copy`; the best of `REPEATS`."""
    import torch

    def product(dtype: torch.dtype) -> float:
        a, b = torch.randn(SIDE, SIDE).to(dtype), torch.randn(SIDE, SIDE).to(dtype)
        out = torch.empty(SIDE, SIDE, dtype=dtype)
        return 2 * SIDE**3 / best(lambda: torch.mm(a, b, out=out)) / 1e9

    source = torch.ones(BLOCK_MB * 250_000)
    target = torch.empty_like(source)

    def step(number: int, command: Facts) -> Facts:
        return {
            "fp32": product(torch.float32), "bf16": product(torch.bfloat16),
            "copy": 2 * BLOCK_MB / 1e3 / best(lambda: target.copy_(source)),
        }  # fmt: skip

    turns.each(step)


def best(call: Callable[[], object]) -> float:
    """Seconds of the fastest of `REPEATS` calls."""
    found = float("inf")
    for _ in range(REPEATS):
        began = time.perf_counter()
        call()
        found = min(found, time.perf_counter() - began)
    return found
