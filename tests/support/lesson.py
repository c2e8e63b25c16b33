"""A whole `learn` run that takes a second: a tiny model, single digits, a handful of steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trivium.store import Run
from trivium.teach import LearnSettings, learn
from trivium.types import Problem, Verdict

SMALL: dict[str, Any] = {
    "policy": "tiny:50k", "task": "sums:terms=2,digits=1", "steps": 6, "prompts": 3, "samples": 4, "max_tokens": 10,
    "warmup_steps": 3, "warmup_batch": 4, "eval_n": 6, "threads": 1, "checkpoint_share": 1e9,
}  # fmt: skip


def teach(runs: Path, events: list | None = None, **changes: Any) -> tuple[Run, dict[str, Any]]:
    """Begin a run and go through it."""
    settings = LearnSettings(**SMALL | changes)
    run = Run.create(runs, None, asdict(settings))
    return run, go_on(run, events)


def go_on(run: Run, events: list | None = None) -> dict[str, Any]:
    """Take a run up from its last checkpoint, as `--resume` does."""
    latest = run.latest_checkpoint()
    run.truncate_after(latest[0] if latest else 0)
    try:
        return learn(LearnSettings(**run.settings), run, (events if events is not None else []).append)
    finally:
        run.close()


class Judged:
    """A task whose verifier is replaced."""

    def __init__(self, task: Any, verify: Callable[[Problem, str], Verdict]) -> None:
        self.task, self.verify = task, verify

    def __getattr__(self, name: str) -> Any:
        return getattr(self.task, name)
