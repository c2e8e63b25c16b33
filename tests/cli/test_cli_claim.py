"""`trivium claim`: what it says to a name that is none, to Ctrl-C, and of how long it would take."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trivium.cli import main as cli
from trivium.errors import RunError
from trivium.lab.runner import Job
from trivium.recipes import entries, recipe
from trivium.store.ledger import FIELDS, append

Capture = pytest.CaptureFixture[str]


def test_a_name_unlike_all_138_is_not_answered_with_all_of_them(capsys: Capture) -> None:
    assert cli.main(["claim", "nosuch"]) == 2
    said = capsys.readouterr().err
    assert "None of the 138 known ones is near it" in said
    assert "trivium find WORDS" in said
    assert len(said) < 160


def test_a_name_like_some_is_answered_with_them(capsys: Capture) -> None:
    assert cli.main(["claim", "dotz"]) == 2
    assert "Did you mean dots" in capsys.readouterr().err


def test_ctrl_c_says_how_to_go_on(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: object, **settings: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("trivium.lab.runner.run", interrupted)
    assert cli.main(["claim", "dots", "--ledger", str(tmp_path / "ledger.jsonl")]) == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert not (tmp_path / "ledger.jsonl").exists()


@pytest.mark.parametrize(
    "asked", [["claim", "dots"], ["claim", "dots", "--estimate"], ["show", "dots"], ["board", "--check"]]
)
def test_a_folder_is_no_ledger_and_this_is_said_before_any_arm_runs(
    asked: list[str], tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trivium.lab.runner.run", lambda *jobs, **options: pytest.fail("an arm ran"))
    assert cli.main([*asked, "--ledger", str(tmp_path)]) == 2
    assert f"--ledger {tmp_path} is a folder; expected a file" in capsys.readouterr().err


def test_a_broken_ledger_is_named_before_any_arm_runs(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trivium.lab.runner.run", lambda *jobs, **options: pytest.fail("an arm ran"))
    ledger = tmp_path / "ledger.jsonl"
    ledger.write_text('{"slug": "dots"\n')
    assert cli.main(["claim", "dots", "--ledger", str(ledger)]) != 0
    assert "ledger.jsonl, line 1" in capsys.readouterr().err


def test_what_cannot_be_decided_does_not_keep_the_other_recipes_from_theirs(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def fails(jobs: list[Job], **settings: object) -> None:
        asked.append(jobs[0].slug)
        raise RunError(f"{jobs[0].slug} failed")

    monkeypatch.setattr("trivium.lab.runner.run", fails)
    assert cli.main(["claim", "--all", "--json", "--ledger", str(tmp_path / "ledger.jsonl")]) == 1
    assert asked == [entry.slug for entry in entries()]
    said = capsys.readouterr().err
    assert all(f"{slug} failed" in said for slug in asked)


def test_where_nothing_may_be_decided_nothing_is_said_to_be_appended(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trivium.lab.runner.run", lambda *jobs, **options: {})
    monkeypatch.setattr("trivium.lab.verdicts.verdicts", lambda *asked: ([], ["dots, 'one': unequal budgets"]))
    ledger = tmp_path / "ledger.jsonl"
    assert cli.main(["claim", "dots", "--ledger", str(ledger)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "unequal budgets" in said.err
    assert not ledger.exists()


@pytest.mark.parametrize(
    "asked", [["list", "recipes"], ["show", "dots"], ["find", "preference", "tree"], ["claim", "dots", "--estimate"]]
)
def test_where_there_is_no_ledger_this_is_said_beside_what_is_shown(
    asked: list[str], tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main([*asked, "--json"]) == 0
    said = capsys.readouterr()
    assert "no ledger at results/ledger.jsonl" in said.err
    assert "--ledger FILE" in said.err
    json.loads(said.out)
    append(tmp_path / "ledger.jsonl", [dict.fromkeys(FIELDS, 0)])
    assert cli.main([*asked, "--ledger", "ledger.jsonl"]) == 0
    assert capsys.readouterr().err == ""


def test_an_estimate_is_for_the_seeds_that_would_run(tmp_path: Path, capsys: Capture) -> None:
    ledger = tmp_path / "ledger.jsonl"
    line = dict.fromkeys(FIELDS, 0) | {"slug": "dots", "claim": "one", "size": "lab"}
    append(ledger, [line | {"minutes": 60.0, "seeds": 2}, line | {"minutes": 12.0, "seeds": 4}])
    append(ledger, [line | {"minutes": 900.0, "seeds": 2, "size": "full"}])
    asked = ["claim", "dots", "--estimate", "--json", "--ledger", str(ledger)]
    for options, expected in (([], 3.0 * recipe("dots").seeds), (["--seeds", "7"], 21.0)):
        assert cli.main([*asked, *options]) == 0
        assert json.loads(capsys.readouterr().out) == {"minutes": {"dots": expected}, "total_minutes": expected}
    full = ["--size", "full", "--policy", "hf:x", "--seeds", "2"]
    assert cli.main([*asked, *full]) == 0
    assert json.loads(capsys.readouterr().out)["total_minutes"] == 900.0
    assert cli.main(["claim", "cogex", "--estimate", "--ledger", str(ledger)]) == 0
    assert "not measured yet" in capsys.readouterr().out
