"""`trivium learn` around a made-up teacher: options, displays, stopping, resuming, logging."""

from __future__ import annotations

import importlib
import json
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import synthetic_run

from trivium.cli import main as cli
from trivium.cli.doctor import two_digits
from trivium.errors import RunError, UserError
from trivium.store import Run

Capture = pytest.CaptureFixture[str]


@dataclass(frozen=True)
class LearnSettings:
    task: str = field(default="sums:terms=3", metadata={"help": "What to learn."})
    policy: str = "smollm2"
    objective: str = "grpo"
    steps: int = 4
    lr: float = 1e-5
    lora: int | None = None
    filter: bool = True
    kinds: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UserError(f"steps={self.steps}; expected at least 1")


class Teacher(types.ModuleType):
    """Stands in for `trivium.teach`: plays the synthetic run, and stops where a test wants it to."""

    def __init__(self) -> None:
        super().__init__("trivium.teach")
        self.stop: BaseException | None = None
        self.seen: list[LearnSettings] = []
        self.checks: list[dict[str, Any]] = []
        self.LearnSettings = LearnSettings

    def learn(self, settings: LearnSettings, run: Run, listen: Callable[[Mapping[str, Any]], None]) -> dict[str, Any]:
        self.seen.append(settings)
        found = run.latest_checkpoint()
        start = found[0] if found else 0
        for event in synthetic_run.events(settings.steps):
            if event["phase"] == "rl" and event["step"] > start:
                run.metrics(event)
                listen(event)
                run.commit_checkpoint(event["step"], lambda folder: (folder / "weights").touch())
                if self.stop and event["step"] == 2:
                    raise self.stop
            elif event["phase"] != "rl" and not start:
                listen(event)
        result = synthetic_run.result(run.path)
        run.finish(result)
        return result

    def check(self, settings: LearnSettings) -> None:
        if settings.objective == "grpoo":
            raise UserError("unknown objective 'grpoo'")

    def preflight(self, settings: LearnSettings) -> dict[str, Any]:
        self.seen.append(settings)
        return {"checks": self.checks}


@pytest.fixture
def teacher(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Teacher]:
    made = Teacher()
    monkeypatch.setitem(sys.modules, "trivium.teach", made)
    monkeypatch.setattr("trivium.teach", made, raising=False)
    monkeypatch.setattr(LearnSettings, "__module__", __name__)
    monkeypatch.chdir(tmp_path)
    sys.modules.pop("trivium.cli.learn", None)
    importlib.import_module("trivium.cli.learn")
    yield made
    sys.modules.pop("trivium.cli.learn", None)


def test_the_settings_are_the_options(teacher: Teacher, capsys: Capture) -> None:
    assert cli.main(["learn", "--help"]) == 0
    said = capsys.readouterr().out
    for words in ("--steps", "[default: 4]", "--no-filter", "What to learn.", "--resume", "--log"):
        assert words in said
    assert cli.main(["learn", "--steps", "3", "--lr", "2e-5", "--no-filter", "--lora", "8"]) == 0
    assert teacher.seen == [LearnSettings(steps=3, lr=2e-5, filter=False, lora=8)]
    assert Run.open(Path("runs/sums-smollm2-grpo-1")).settings["lora"] == 8


def test_json_ends_with_one_line_and_progress_goes_elsewhere(teacher: Teacher, capsys: Capture) -> None:
    assert cli.main(["learn", "--json"]) == 0
    said = capsys.readouterr()
    assert said.out.count("\n") == 1
    found = json.loads(said.out)
    keys = {
        "before",
        "after_warmup",
        "after",
        "vote_before",
        "minutes",
        "sampled_tokens",
        "trained_tokens",
        "model",
        "report",
    }
    assert keys <= found.keys()
    for stage in ("before", "after_warmup", "after", "vote_before"):
        assert {"accuracy", "low", "high", "n"} <= found[stage].keys()
    assert "step 4/4" in said.err


def test_lines_tell_the_story_and_how_to_go_on(teacher: Teacher, capsys: Capture) -> None:
    assert cli.main(["learn"]) == 0
    said = capsys.readouterr().out
    for words in (
        "Untrained: 1.3% [0.5, 3.4] of 300",
        "warm-up 1/16",
        "It learned: from 1.3%",
        "Go on with",
        "report.html",
    ):
        assert words in said


def test_ctrl_c_keeps_what_was_learnt_and_resume_goes_on(teacher: Teacher, capsys: Capture) -> None:
    teacher.stop = KeyboardInterrupt()
    assert cli.main(["learn", "--name", "mine"]) == 130
    assert "stopped at step 2; continue with: trivium learn --resume runs/mine" in capsys.readouterr().err
    teacher.stop = None
    assert cli.main(["learn", "--resume", "runs/mine"]) == 0
    assert [row["step"] for row in Run.open(Path("runs/mine")).rows()] == [1, 2, 3, 4]
    assert teacher.seen[0] == teacher.seen[1]
    capsys.readouterr()
    assert cli.main(["learn", "--resume", "mine"]) == 2
    assert "is finished" in capsys.readouterr().err


def test_a_run_that_cannot_go_on_is_exit_code_1(teacher: Teacher, capsys: Capture) -> None:
    teacher.stop = RunError("the disk is full; give the same command again")
    assert cli.main(["learn", "--name", "mine"]) == 1
    assert "continue with: trivium learn --resume runs/mine" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["--stps", "3"], "Did you mean --steps"),
        (["--steps", "many"], "--steps"),
        (["--steps", "0"], "expected at least 1"),
        (["--resume", "nowhere"], "unknown run 'nowhere'"),
        (["--resume", "nowhere", "--lr", "1"], "cannot change --lr"),
        (["--name", "a/b"], "not usable"),
        (["--log", "tensorbord"], "Did you mean tensorboard"),
    ],
)
def test_wrong_options_are_exit_code_2(teacher: Teacher, line: list[str], words: str, capsys: Capture) -> None:
    assert cli.main(["learn", *line]) == 2
    assert words in capsys.readouterr().err
    assert teacher.seen == []


def test_refused_settings_leave_no_run_behind(teacher: Teacher, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli.main(["learn", "--log", "tensorbord"]) == 2

    def refuse(*_: object) -> dict[str, Any]:
        raise UserError("unknown task")

    monkeypatch.setattr(teacher, "learn", refuse)
    assert cli.main(["learn", "--task", "smus"]) == 2
    assert cli.main(["learn", "--task", "smus", "--runs", "here/and/there"]) == 2
    assert not list(Path().iterdir()), "nor the folders that were made for it"
    Path("kept").mkdir()
    assert cli.main(["learn", "--task", "smus", "--runs", "kept/runs"]) == 2
    assert cli.main(["learn", "--task", "smus", "--runs", "kept"]) == 2
    assert [*Path().rglob("*")] == [Path("kept")]


def test_what_can_be_refused_at_once_is_refused_before_there_is_a_folder(teacher: Teacher, capsys: Capture) -> None:
    assert cli.main(["learn", "--objective", "grpoo"]) == 2
    assert "unknown objective 'grpoo'" in capsys.readouterr().err
    assert not Path("runs").exists()
    assert teacher.seen == []


def test_a_logger_that_is_not_installed_says_how_to_get_it(
    teacher: Teacher, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert cli.main(["learn", "--log", "wandb"]) == 2
    assert "pip install wandb" in capsys.readouterr().err


def test_wandb_gets_every_finished_number(teacher: Teacher, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[dict[str, float]] = []
    double = types.ModuleType("wandb")
    double.init = lambda **options: types.SimpleNamespace(log=rows.append, finish=lambda: rows.append({"done": 1.0}))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", double)
    assert cli.main(["learn", "--log", "wandb"]) == 0
    assert [row["rl/step"] for row in rows if "rl/reward" in row] == [1, 2, 3, 4]
    assert all("rl/term/outcome" in row for row in rows if "rl/reward" in row)
    assert [row["eval/before/n"] for row in rows if "eval/before/accuracy" in row] == [300]
    assert rows[-1] == {"done": 1.0}


def test_doctor_refuses_a_run_that_cannot_learn(teacher: Teacher, capsys: Capture) -> None:
    teacher.checks = [{"name": "reward spread", "value": "all equal", "ok": False, "fix": "--warmup-steps 16"}]
    assert cli.main(["doctor", "--policy", "tiny:1M", "--task", "sums"]) == 1
    said = capsys.readouterr().out
    assert "FAIL  reward spread: all equal" in said
    assert "fix: --warmup-steps 16" in said
    assert "keeps the contract of tasks" in said
    assert teacher.seen == [LearnSettings(task="sums", policy="tiny:1M")]


def test_doctor_of_the_machine_alone(teacher: Teacher, capsys: Capture) -> None:
    assert cli.main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is True
    names = {check["name"] for check in found["checks"]}
    assert {"machine", "torch", "float32 products", "bfloat16 products", "sandbox monty", "free disk here"} <= names
    values = {check["name"]: check["value"] for check in found["checks"]}
    assert float(values["bfloat16 products"].split()[0].replace(",", "")) > 0
    assert values["pretrained policies use"].split(",")[0] in ("float32", "bfloat16")
    assert teacher.seen == []


@pytest.mark.parametrize(
    ("value", "text"),
    [(416.3, "420"), (1234.0, "1,200"), (15.0, "15"), (0.34, "0.34"), (0.0341, "0.034")],
)
def test_slow_products_are_no_zero(value: float, text: str) -> None:
    assert two_digits(value) == text
