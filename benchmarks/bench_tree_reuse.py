"""Tree search that computes every shared beginning once, against the same search computing it again each time.

Both sides are the same MCTS with the same seeds in the same process; the rival's engine may store no keys and values.
Besides the ratio the row says how many prompt tokens were computed for each distinct token of the trees: 1 or less
means that nothing was read twice.
"""

from __future__ import annotations

import asyncio
import time

from benchmarks.ours import local
from benchmarks.pairing import Row, alternate, row
from benchmarks.worker import Facts, Turns, Worker
from trivium.search import method
from trivium.search.driver import run
from trivium.store.machine import cores
from trivium.tasks import task
from trivium.types import Sampling

PROBLEMS = {"sums:terms=7": 16, "rules:hops=6,distractors=12": 16, "shots:4,of=sums,terms=7": 32}
"""Prompts of some 40, 170 and, with worked examples as papers on search show them, 400 tokens; and how many problems
are searched at once."""
METHOD, MAX_TOKENS = "mcts:n=8,depth=6,branch=3", 96
PREFIX_BYTES = 1 << 30


def rows(pairs: int = 5) -> list[Row]:
    """SmolLM2-135M, problems per minute."""
    with Worker("bench_tree_reuse:search", spec="smollm2") as worker:
        return [race(worker, spec, pairs) for spec in PROBLEMS]


def race(worker: Worker, spec: str, pairs: int) -> Row:
    """Turns with and without a store on the problems of one task."""
    worker.turn(task=spec, bytes=PREFIX_BYTES, problems=2)
    taken = alternate(
        lambda: worker.turn(task=spec, bytes=PREFIX_BYTES, problems=PROBLEMS[spec]),
        lambda: worker.turn(task=spec, bytes=0, problems=PROBLEMS[spec]),
        pairs,
    )
    ours, theirs = taken[-1]
    return row(
        f"{METHOD} on {spec}, SmolLM2-135M, {PROBLEMS[spec]} problems", "the same search without reuse", "problems/min",
        [(a["rate"], b["rate"]) for a, b in taken], better="higher", reach=3.0, threads=cores(),
        turns=[{"ours": a, "theirs": b} for a, b in taken],
        note=f"prompts of {ours['prompt']:.0f} tokens, trees {ours['deep']:.1f} nodes deep; prompt tokens computed for"
        f" each distinct token of the trees: {ours['computed']:.2f} with reuse, {theirs['computed']:.2f} without",
    )  # fmt: skip


def search(turns: Turns, *, spec: str) -> None:
    """Trees for some problems; a command gives the bytes that may hold their beginnings."""
    student, mcts = local(spec), method(METHOD)

    def step(number: int, command: Facts) -> Facts:
        engine = student.engine
        engine.release()
        engine.prefixes.limit = command["bytes"]
        before = engine.counters.prefilled
        asked = task(command["task"]).problems("test", command["problems"])
        began = time.perf_counter()
        traces = asyncio.run(run(mcts, asked, student, sampling=Sampling(max_tokens=MAX_TOKENS)))
        seconds = time.perf_counter() - began
        deep = [max(len(trace.path(leaf)) for leaf in trace.leaves()) - 1 for trace in traces]
        distinct = sum(len(node.segment.ids) for trace in traces for node in trace.nodes)
        return {
            "prompt": sum(len(trace.nodes[0].segment.ids) for trace in traces) / len(traces),
            "deep": sum(deep) / len(deep), "rate": 60 * len(asked) / seconds, "seconds": seconds,
            "distinct_tokens": distinct,
            "computed": (engine.counters.prefilled - before) / distinct,
            "sampled": sum(t.usage.sampled_tokens for t in traces), "errors": sum(bool(t.error) for t in traces),
        }  # fmt: skip

    turns.each(step)
