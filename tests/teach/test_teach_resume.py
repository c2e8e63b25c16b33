"""A run that is killed and taken up again ends in the same weights, bit for bit, as one that never was.

Real processes and real signals: nothing inside can help.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from commands import TRIVIUM

from lesson import SMALL, go_on, teach
from trivium.policies import policy
from trivium.store import Run
from trivium.teach import LearnSettings, learn
from trivium.teach.parts import local_policy

SETTINGS = SMALL | {"objective": "grpo:beta=0.04", "warmup_steps": 5, "steps": 10, "eval_every": 4, "refill": 1}
OPTIONS = [part for key, value in SETTINGS.items() for part in (f"--{key.replace('_', '-')}", str(value))]


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*TRIVIUM, "learn", *arguments], cwd=folder, env=os.environ | {"OMP_NUM_THREADS": "1"},
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def rows(path: Path, phase: str) -> int:
    return path.read_text().count(f'"phase":"{phase}"') if path.exists() else 0


def stop_at(process: subprocess.Popen[str], metrics: Path, phase: str, n: int, number: int) -> str:
    """Send a signal some milliseconds after the `n`-th row of a phase; what the process wrote to stderr."""
    end = time.monotonic() + 120
    while rows(metrics, phase) < n:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.002)
    time.sleep(random.Random(n).random() * 0.05)
    process.send_signal(number)
    return process.communicate(timeout=60)[1]


def untimed(value):
    """A record without what a clock wrote, and without the paths of its folder."""
    if isinstance(value, dict):
        dropped = ("minutes", "report", "model", "next")
        return {k: untimed(v) for k, v in value.items() if not k.startswith("seconds") and k not in dropped}
    return [untimed(v) for v in value] if isinstance(value, list) else value


def history(run: Path) -> list:
    return [untimed(json.loads(line)) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_killed_runs_end_as_if_nothing_had_happened(tmp_path):
    whole, _ = teach(tmp_path / "whole", **SETTINGS)

    process = start(tmp_path, *OPTIONS, "--runs", "runs", "--name", "cut")
    run = tmp_path / "runs" / "cut"
    metrics = run / "metrics.jsonl"
    stop_at(process, metrics, "warmup", 2, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL

    process = start(tmp_path, "--resume", str(run))
    said = stop_at(process, metrics, "rl", 2, signal.SIGINT)
    assert process.returncode == 130, said
    assert f"continue with: trivium learn --resume {run}" in said

    process = start(tmp_path, "--resume", "cut")
    stop_at(process, metrics, "rl", 6, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (run / "result.json").exists()

    cut = Run.open(run)
    result = go_on(cut)
    assert (run / "model/model.safetensors").read_bytes() == (whole.path / "model/model.safetensors").read_bytes()
    assert history(run) == history(whole.path)
    assert untimed(result) == untimed(whole.result)
    assert sorted(p.name for p in run.glob("*.parquet")) == sorted(p.name for p in whole.path.glob("*.parquet"))

    process = start(tmp_path, "--resume", "cut")
    assert "is finished" in process.communicate(timeout=60)[1]
    assert process.returncode == 2


def test_a_run_stopped_in_an_evaluation_makes_it_when_it_goes_on(tmp_path):
    whole, _ = teach(tmp_path / "whole", **SETTINGS)
    cut = Run.create(tmp_path / "cut", None, asdict(LearnSettings(**SMALL | SETTINGS)))

    def interrupt(event):
        if event["phase"] == "rl" and event["step"] == 4:  # its evaluation comes next
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        learn(LearnSettings(**cut.settings), cut, interrupt)
    cut.close()
    result = go_on(Run.open(cut.path))
    assert history(cut.path) == history(whole.path)
    assert untimed(result) == untimed(whole.result)


@pytest.mark.parametrize("options", ["", ",lora=2"])
def test_weights_come_back_as_they_were_on_a_machine_that_likes_another_type_better(tmp_path, monkeypatch, options):
    made = policy("tiny:50k")
    made.save(tmp_path / "model")
    monkeypatch.setattr("trivium.policies.folder.fastest_dtype", lambda: torch.bfloat16)
    again = local_policy(LearnSettings(**SMALL | {"policy": f"{tmp_path / 'model'}{options}"}), "fp32")
    frozen = made.model.state_dict()
    same = {n: torch.equal(w, frozen[n]) for n, w in again.model.state_dict().items() if n in frozen}
    assert "norm.weight" in same
    assert all(same.values())
