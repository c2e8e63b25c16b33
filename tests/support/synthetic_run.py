"""A made-up but realistic `learn` run: the events and the result a real one gives."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trivium.stats import wilson
from trivium.store import Run

SETTINGS: dict[str, Any] = {
    "task": "sums:terms=3,digits=2",
    "policy": "smollm2",
    "objective": "grpo",
    "reward": "outcome+0.1*format",
    "steps": 60,
    "prompts": 16,
    "samples": 8,
    "max_tokens": 48,
    "lr": 1e-5,
    "warmup_steps": 16,
    "warmup_examples": 512,
    "eval_n": 300,
    "seed": 0,
    "temperature": 1.0,
}


def accuracy(correct: int, n: int) -> dict[str, Any]:
    made = wilson(correct, n)
    return {"accuracy": made.accuracy, "low": made.low, "high": made.high, "n": n}


def evaluation(stage: str, step: int, correct: int, n: int = 300, parts: int = 3) -> Iterator[dict[str, Any]]:
    for part in range(1, parts + 1):
        done = n * part // parts
        yield {
            "phase": "eval",
            "stage": stage,
            "step": step,
            **accuracy(correct * part // parts, done),
            "abstained": 4,
            "errors": 0,
            "sampled_tokens": 31 * done,
            "seconds": 4.0 * part,
            "done": done,
            "total": n,
        }


def events(steps: int = 60, warmup: int = 16) -> Iterator[dict[str, Any]]:
    """Every event of a run in the order a real one gives them."""
    rng = random.Random(1)
    yield {"phase": "note", "message": "bf16 compute with fp32 master weights: 2.1 TFLOP/s here against 0.25 in fp32"}
    yield {"phase": "stage", "stage": "before", "message": "Measuring the untrained model", "total": 300}
    yield from evaluation("before", 0, 4)
    yield {"phase": "stage", "stage": "warmup", "message": "Warm-up on 512 worked solutions", "total": warmup}
    for step in range(1, warmup + 1):
        yield {
            "phase": "warmup",
            "step": step,
            "steps": warmup,
            "loss": 2.4 * math.exp(-step / 5) + 0.35 + rng.gauss(0, 0.03),
            "tokens_trained": 1180,
            "seconds_learn": 1.2,
            "lr": 1e-5,
            "grad_norm": 2.0 / step,
        }
    yield {"phase": "stage", "stage": "after_warmup", "message": "Measuring after the warm-up", "total": 300}
    yield from evaluation("after_warmup", 0, 37)
    yield {"phase": "stage", "stage": "rl", "message": "Reinforcement learning", "total": steps}
    for step in range(1, steps + 1):
        share = step / steps
        right = min(0.98, max(0.0, 0.11 + 0.68 / (1 + math.exp(-9 * (share - 0.45))) + rng.gauss(0, 0.045)))
        all_correct, all_wrong = right**3 * 0.8, (1 - right) ** 3 * 0.8
        length = 34 - 9 * share + rng.gauss(0, 0.8)
        truncated = max(0.0, 0.09 * math.exp(-4 * share) + rng.gauss(0, 0.006))
        yield {
            "phase": "rl",
            "step": step,
            "steps": steps,
            "reward": 0.97 * right + 0.1 * (1 - truncated),
            "accuracy": right,
            "terms": {"outcome": right, "format": 0.1 * (1 - truncated)},
            "entropy": 0.62 * math.exp(-1.7 * share) + rng.gauss(0, 0.02),
            "length": length,
            "truncated": truncated,
            "signal": 1 - all_correct - all_wrong,
            "all_correct": all_correct,
            "all_wrong": all_wrong,
            "loss": rng.gauss(0, 0.05),
            "grad_norm": 1.1 + rng.gauss(0, 0.1),
            "lr": 1e-5,
            "kl": 0.004 * step / 10,
            "mismatch": 0.002,
            "verifier_errors": 0.0,
            "tokens_sampled": int(128 * length),
            "tokens_trained": int(128 * length * (1 - all_correct - all_wrong)),
            "seconds_generate": 2.1 + rng.gauss(0, 0.1),
            "seconds_verify": 0.05,
            "seconds_learn": 2.4 * (1 - all_correct - all_wrong) + 0.4,
            "seconds_left": 5.0 * (steps - step),
        }
        if step % 10 == 0:
            yield {
                "phase": "sample",
                "step": step,
                "question": "What is 41 + 87 - 35?",
                "response": "41 + 87 = 128\n128 - 35 = 93\n#### 93",
                "status": "correct",
                "reward": 1.1,
            }
        if step % 20 == 0 and step < steps:
            yield from evaluation("progress", step, int(right * 100), 100, 1)
    yield {"phase": "stage", "stage": "after", "message": "Measuring the trained model", "total": 300}
    yield from evaluation("after", 0, 231)  # real runs name no step here
    yield {"phase": "stage", "stage": "vote_before", "message": "Majority vote of the untrained model", "total": 300}
    yield from evaluation("vote_before", 0, 6)
    yield {"phase": "stage", "stage": "save", "message": "Writing the model", "total": None}


def slip(i: int) -> int:
    return int(i == 3)


def result(run: Path) -> dict[str, Any]:
    terms = [(41, 87, 35), (12, 55, 60), (73, 18, 44), (90, 27, 15), (38, 64, 29), (56, 11, 33)]
    return {
        "task": SETTINGS["task"],
        "policy": "smollm2",
        "objective": "grpo",
        "before": accuracy(4, 300),
        "after_warmup": accuracy(37, 300),
        "after": accuracy(231, 300),
        "vote_before": accuracy(6, 300) | {"samples_per_problem": 3},
        "difference_vs_greedy": {"mean": 0.757, "low": 0.707, "high": 0.803},
        "difference_vs_vote": {"mean": 0.75, "low": 0.7, "high": 0.797},
        "minutes": 6.1,
        "sampled_tokens": 268_512,
        "trained_tokens": 141_020,
        "warmup_tokens": 18_880,
        "model": str(run / "model"),
        "report": str(run / "report.html"),
        "verifier_error_rate": 0.0,
        "transcripts": [
            {
                "question": f"What is {a} + {b} - {c}?",
                "gold": str(a + b - c),
                "before": {
                    "response": f"The answer is {a + b}.\n\nTo find the sum, we add the numbers",
                    "status": "wrong",
                },
                "after": {
                    "response": f"{a} + {b} = {a + b}\n{a + b} - {c} = {a + b - c}\n#### {a + b - c + slip(i)}",
                    "status": "wrong" if slip(i) else "correct",
                },
            }
            for i, (a, b, c) in enumerate(terms)
        ],
        "next": [
            "trivium learn --task countdown",
            f"trivium learn --task {SETTINGS['task']} --policy hf:{run / 'model'} --steps 60",
            f"trivium solve vote:n=8 --task {SETTINGS['task']} --policy hf:{run / 'model'}",
        ],
    }


def make_run(root: Path, name: str = "sums-smollm2-grpo-1", steps: int = 60, finished: bool = True) -> Run:
    """A run folder with the whole history, and, if finished, the result."""
    run = Run.create(root, name, SETTINGS)
    for row in events(steps):
        run.metrics(row)
    if finished:
        run.finish(result(run.path))
    run.close()
    return run
