"""`trivium claim`: what it says to a name that is none, and to Ctrl-C."""

from __future__ import annotations

from pathlib import Path

import pytest

from trivium.cli import main as cli

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
