"""Loggers: what they call the numbers of a run, where these stand, and which run they belong to."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest

from trivium.store import Run
from trivium.store.loggers import open_logger

ROUND = {"problems": 4, "ends": 9, "solved": 3, "sampled_tokens": 80}


def search(arm: str, number: int, steps: int) -> dict[str, Any]:
    return {"phase": "search", "arm": arm, "round": number, "steps": steps, **ROUND}


def fit(arm: str, number: int, step: int, steps: int) -> dict[str, Any]:
    return {"phase": "fit", "arm": arm, "round": number, "step": step, "steps": steps, "loss": 0.5}


class Wandb:
    """What stands in for W&B: the options that runs were begun with, and the rows they were told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun: list[dict[str, Any]] = []
        self.rows: list[dict[str, float]] = []
        double = types.ModuleType("wandb")
        double.init = self._init  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "wandb", double)

    def _init(self, **options: Any) -> types.SimpleNamespace:
        self.begun.append(options)
        return types.SimpleNamespace(log=self.rows.append, finish=lambda: None)


def test_rounds_of_improve_are_logged_by_arm_one_behind_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    wandb = Wandb(monkeypatch)
    run = Run.create(tmp_path, "mine", {})
    before = [search("search", 1, 2), fit("search", 1, 1, 2), fit("search", 1, 2, 2), search("search", 2, 0)]
    after = [search("search", 3, 1), fit("search", 3, 1, 1), search("control", 1, 2), fit("control", 1, 1, 2)]
    for events in (before, after):  # the second time the run is taken up again
        logger = open_logger("wandb", run.path, {})
        for event in events:
            run.metrics(event)
            logger.event(event)
    fitted = [(k.split("/")[1], row) for row in wandb.rows for k in row if k.endswith("loss")]
    assert [(arm, row[f"fit/{arm}/step"]) for arm, row in fitted] == [
        ("search", 1), ("search", 2), ("search", 3), ("control", 1),
    ]  # fmt: skip
    found = [row for row in wandb.rows if "round/search/solved" in row]
    assert [row["round/search/step"] for row in found] == [1, 2, 3]
    assert found[0] == {f"round/search/{k}": float(v) for k, v in ROUND.items()} | {"round/search/step": 1}


def test_wandb_keeps_runs_of_one_name_apart_and_a_run_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    wandb = Wandb(monkeypatch)
    times = iter(["2026-01-02T03:04:05+0000", "2026-01-02T03:04:06+0000"])
    monkeypatch.setattr("trivium.store.run.time.strftime", lambda form: next(times))
    one, other = (Run.create(tmp_path / folder, "mine", {}) for folder in ("a", "b"))
    for run in (one, one, other):
        open_logger("wandb", run.path, run.settings)
    first, again, second = (options["id"] for options in wandb.begun)
    assert first == again != second
    assert first == "mine-202601020304050000"
