"""`python -m benchmarks [--only NAME] [--pairs N]`: run the benchmarks and write `results/bench.json` and `bench.md`.

What a benchmark found is on disk as soon as it ends, so an interrupt or a failure loses only the one in flight.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import sys
import time
from pathlib import Path

from benchmarks.pairing import merged, read, table, write
from trivium.errors import TriviumError
from trivium.store.machine import PACKAGES, commit, machine, versions

BENCHMARKS = {
    "start-up": "bench_start_up",
    "driver": "bench_driver",
    "traces": "bench_traces",
    "ceilings": "bench_ceilings",
    "tiny-steps": "bench_tiny_steps",
    "group-sampling": "bench_group_sampling",
    "tree-reuse": "bench_tree_reuse",
    "gateway": "bench_gateway",
    "view": "bench_view",
    "serve": "bench_serve",
    "reasoners-mcts": "bench_reasoners_mcts",
    "grpo-step": "bench_grpo_step",
}
"""In order of length: what is quick is on disk first."""
RIVALS = ("trl", "datasets", "llm-reasoners")


def main(words: list[str] | None = None) -> int:
    """Run what was asked for; 1 if a benchmark failed, 130 on an interrupt."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure against other libraries.")
    parser.add_argument("--only", action="append", choices=BENCHMARKS, metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--pairs", type=int, default=5, help="turns of each side that count (default 5)")
    parser.add_argument("--out", type=Path, default=Path("results"), help="folder of bench.json and bench.md")
    asked = parser.parse_args(words)
    if asked.pairs < 1:
        parser.error(f"--pairs {asked.pairs}: expected at least 1")
    made = {"machine": machine(), "commit": commit(), "versions": versions((*PACKAGES, *RIVALS))}
    failed = []
    for name in asked.only or BENCHMARKS:
        began = time.perf_counter()
        print(f"{name} ...", file=sys.stderr, flush=True)
        rows = importlib.import_module(f"benchmarks.{BENCHMARKS[name]}").rows
        options = {"pairs": asked.pairs} if "pairs" in inspect.signature(rows).parameters else {}
        try:
            found = rows(**options)
        except KeyboardInterrupt:
            print(f"stopped; what was finished before {name} is in {asked.out}", file=sys.stderr)
            return 130
        except (TriviumError, AssertionError) as error:
            failed.append(name)
            print(f"{name} failed: {error}", file=sys.stderr)
            continue
        write(asked.out, merged(read(asked.out), name, ({**row, **made} for row in found)))
        print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    print(table(read(asked.out)))
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
