"""How long a big search tree takes to disk and back: one trace of 100,000 nodes, against Python's pickle.

Pickle is how common search libraries keep their trees; only Python reads it, and only with the same classes.  Both
sides must give back an equal trace.  Ours must stay under `LIMIT_S` seconds.
"""

from __future__ import annotations

import gc
import pickle
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.pairing import alternate, row
from trivium.store.files import json_line
from trivium.store.traces import load_traces, trace_line
from trivium.types import Message, Node, Problem, Question, Segment, Trace

NODES, TOKENS, LIMIT_S = 100_000, 8, 2.0
PROBLEM = Problem(Question("q", (Message("user", "What is 1 + 1?"),), "number"), 2, "2", "k", "train", "bench")


def rows(pairs: int = 5) -> list[dict[str, Any]]:
    """Seconds to write a trace and load it again, against `LIMIT_S`."""
    trace = tree()
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder, "trace.jsonl"), Path(folder, "trace.pickle")
        if not through_json(trace, ours) == trace == through_pickle(trace, theirs):
            raise AssertionError("a trace that was written and loaded is not the same")
        megabytes = {"mb_on_disk": ours.stat().st_size / 1e6, "mb_on_disk_theirs": theirs.stat().st_size / 1e6}
        measured = alternate(
            lambda: _seconds(lambda: through_json(trace, ours)),
            lambda: _seconds(lambda: through_pickle(trace, theirs)),
            pairs,
        )
    name = f"trace of {NODES:,} nodes, write and load"
    pickled = statistics.median(theirs for _, theirs in measured)
    return [
        row(
            name, "limit", "s", [(mine, LIMIT_S) for mine, _ in measured], better="lower", reach=1.0, **megabytes,
            pickle_s=pickled, note=f"as lines of JSON; Python's pickle of the same trace takes {pickled:.2g} s",
        )
    ]  # fmt: skip


def tree() -> Trace:
    """A random tree of steps, each with its token ids, log-probs, visits and value."""
    rng, trace = random.Random(0), Trace("q", answer="2", response="2", answer_node=1)
    trace.add(-1, Segment("prompt", tuple(range(40)), (), PROBLEM.question.messages[0].content, "policy@0"))
    for i in range(1, NODES):
        ids = tuple(rng.randrange(50_000) for _ in range(TOKENS))
        logprobs = tuple(-rng.random() for _ in range(TOKENS))
        segment = Segment("model", ids, logprobs, f"{i} + {i} = {2 * i}\n", "policy@0")
        trace.nodes.append(Node(max(0, i // 4), segment, rng.randrange(9), rng.random()))
    return trace


def through_json(trace: Trace, path: Path) -> Trace:
    path.write_bytes(json_line(trace_line("solve", 0, trace, PROBLEM)))
    [(_, loaded)] = load_traces(path)
    return loaded


def through_pickle(trace: Trace, path: Path) -> Trace:
    path.write_bytes(pickle.dumps(trace))
    loaded: Trace = pickle.loads(path.read_bytes())
    return loaded


def _seconds(call: Callable[[], object]) -> float:
    gc.collect()
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    for found in rows():
        print(found)
        if found["ours"] >= LIMIT_S:
            raise SystemExit(f"writing and loading takes {found['ours']:.2f} s; the limit is {LIMIT_S:g}")
