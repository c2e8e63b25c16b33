"""`trivium rehearse`: an arm on dev problems, as text and as JSON, and no line in the ledger."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from trivium.cli import main as cli
from trivium.cli.rehearse import _numbers

Capture = pytest.CaptureFixture[str]
ASKED = ["rehearse", "rise", "--size", "smoke", "--arm", "imitation", "--set", "test=5", "--set", "lesson.steps=1"]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_arm_runs_with_changed_settings_and_nothing_is_decided(place: Path, capsys: Capture) -> None:
    assert cli.main(ASKED) == 0
    said = capsys.readouterr().out
    assert said.startswith("imitation, seed 0, dev problems")
    assert "accuracy" in said
    assert "pretrain_steps 1" in said
    assert "optimiser_steps 2" in said
    assert not (place / "results").exists()
    assert cli.main([*ASKED, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["set"] == ["test=5", "lesson.steps=1"]
    assert found["spent"]["optimiser_steps"] == 2


def test_sizes_and_settings_that_are_none_are_named(capsys: Capture) -> None:
    assert cli.main(["rehearse", "rise", "--size", "full"]) == 2
    assert "unknown size 'full'" in capsys.readouterr().err
    assert cli.main(["rehearse", "rise", "--set", "lrr=1"]) == 2
    assert "Did you mean lr?" in capsys.readouterr().err


def test_a_mean_that_there_is_none_of_is_written_too() -> None:
    assert _numbers({"accuracy": 0.70625, "tokens": 24.0, "spent": 12345, "gain": math.nan}) == (
        "accuracy 0.7063, tokens 24, spent 12,345, gain nan"
    )
