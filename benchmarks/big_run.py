"""A run folder as large as one wants, as `trivium learn` would have left it: for what must stay quick on such a run."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from trivium.store.files import json_line, write_json
from trivium.store.query import compact
from trivium.store.traces import trace_line
from trivium.types import Message, Problem, Question, Segment, Trace, Usage, Verdict

SAMPLES, STEPS_LOGGED = 128, 2000
WORDS = [
    "so", "then", "the", "sum", "of", "these", "numbers", "is", "carried", "over", "and", "we", "add", "what",
    "remains", "first", "take", "both", "sides", "apart", "count", "every", "one", "again", "because", "it", "must",
    "be", "even", "therefore", "subtract", "nine", "from", "twelve", "which", "leaves", "three", "more",
]  # fmt: skip
NEEDLE = "a walrus in the attic"
"""What one response in 50,000 says."""


def write_big_run(folder: Path, traces: int = 200_000, tokens: int = 135, finished: bool = False) -> None:
    """Write a run with so many traces of about so many tokens each; 200,000 of 135 are 1 GB.  Equal at every call."""
    folder.mkdir(parents=True)
    settings = {"task": "sums:terms=4", "policy": "tiny:1M", "objective": "grpo", "steps": traces // SAMPLES}
    about = {"name": folder.name, "created": "2026-01-02T03:04:05+0000", "command": ["trivium", "learn"], "settings":
             settings, "versions": {}, "commit": None, "machine": {}}  # fmt: skip
    write_json(folder / "run.json", about)
    rng = random.Random(0)
    with open(folder / "metrics.jsonl", "wb") as file:
        for step in range(1, STEPS_LOGGED + 1):
            row = {
                "phase": "rl", "step": step, "steps": STEPS_LOGGED, "reward": rng.random(), "entropy": rng.random(),
                "length": 100.0, "loss": rng.random(), "tokens_sampled": 12_800, "seconds_generate": 1.5,
            }  # fmt: skip
            file.write(json_line(row))
    lines = folder / "traces-rl.jsonl"
    with open(lines, "wb") as file:
        file.writelines(_lines(rng, traces, tokens))
    if finished:
        compact(lines)


def _lines(rng: random.Random, traces: int, tokens: int) -> Iterator[bytes]:
    # Numbers are drawn once and shifted: drawing 27 million of them would take longer than all that is measured.
    ids = [rng.randrange(50_000) for _ in range(4 * tokens)]
    logprobs = [-rng.expovariate(2) for _ in range(4 * tokens)]
    for n in range(traces):
        asked = f"What is {rng.randrange(100)} + {rng.randrange(100)} - {rng.randrange(100)}?"
        at = rng.randrange(3 * tokens)
        said = " ".join(rng.choices(WORDS, k=tokens // 2))
        if n % 50_000 == 777:
            said += f" {NEEDLE}"
        right = rng.random() < n / traces
        said += f"\nAnswer: {n % 97}"
        question = Question(f"q{n % 5000}", (Message("user", asked),), "number")
        problem = Problem(question, 1, "1", f"k{n % 5000}", "train", "bench", n % 5)
        trace = Trace(problem.question.id, answer=str(n % 97), response=said, answer_node=1)
        trace.add(-1, Segment("prompt", tuple(ids[:30]), (), f"<|user|>{asked}<|assistant|>", "tiny:1M@0"))
        segment = Segment("model", tuple(ids[at : at + tokens]), tuple(logprobs[at : at + tokens]), said, "tiny:1M@0")
        trace.add(0, segment)
        trace.usage = Usage(30, 0, tokens, 1, seconds=rng.random())
        trace.verdict = Verdict.right(trace.answer) if right else Verdict.wrong(trace.answer)
        yield json_line(trace_line("rl", 1 + n // SAMPLES, trace, problem))
