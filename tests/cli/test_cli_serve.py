"""`trivium serve` and `trivium key` as a person meets them: what is refused before anything listens."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from trivium.cli import main as cli
from trivium.serve.address import bound

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _own_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


@pytest.mark.enable_socket
@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["serve", "--policy", "scriptd", "--port", "0"], "Did you mean scripted?"),
        (["serve", "--policy", "scripted", "--method", "voet", "--port", "0"], "Did you mean vote?"),
        (["serve", "--policy", "scripted", "--policy", "scripted", "--port", "0"], "already a policy 'scripted'"),
        (["serve", "--policy", "scripted", "--answer-format", "numbr", "--port", "0"], "Did you mean number?"),
        (["serve", "--policy", "scripted", "--host", "0.0.0.0"], "trivium key create NAME"),
        (["serve", "--policy", "scripted", "--keys", "nowhere.json"], "there is no such file"),
        (["serve", "--policy", "scripted", "--port", "70000"], "See: trivium serve --help"),
        (["serve", "--policy", "scripted", "--voice", "judge", "--port", "0"], "NAME=POLICY"),
        (["key", "creat", "ann"], "Did you mean create?"),
        (["key", "create"], "needs a name"),
        (["key", "create", "a/b"], "expected 1 to 64 letters"),
        (["key", "revoke", "ann"], "unknown key 'ann'"),
        (["key", "list", "ann"], "takes no name"),
        (["key", "revoke", "ann", "--tokens-per-day", "5"], "takes no limits"),
    ],
)
def test_wrong_input_is_one_message_and_exit_code_2(line: list[str], words: str, capsys: Capture) -> None:
    assert cli.main(line) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert said.err.startswith("trivium: ")
    assert said.out == ""


@pytest.mark.enable_socket
def test_a_port_that_is_taken_is_noticed_before_models_are_loaded(capsys: Capture) -> None:
    with bound("127.0.0.1", 0) as taken:
        assert cli.main(["serve", "--policy", "no-such-model", "--port", str(taken.getsockname()[1])]) == 2
    assert "cannot listen at 127.0.0.1" in capsys.readouterr().err


def test_without_the_extra_one_line_says_what_to_install(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *rest: None if name == "uvicorn" else found(name, *rest)
    )
    assert cli.main(["serve", "--policy", "scripted"]) == 2
    assert "pip install 'trivium[serve]'" in capsys.readouterr().err


def test_keys_are_made_listed_and_revoked(tmp_path: Path, capsys: Capture) -> None:
    assert cli.main(["key", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert cli.main(["key", "create", "ann", "--requests-per-minute", "60", "--tokens-per-day", "5000"]) == 0
    secret = capsys.readouterr().out.split()[0]
    assert secret.startswith("tv-")
    assert cli.main(["key", "create", "bob", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"name", "key"}
    assert cli.main(["key", "revoke", "bob"]) == 0
    capsys.readouterr()
    assert cli.main(["key", "list"]) == 0
    said = capsys.readouterr().out
    assert "60 requests a minute, 5,000 tokens a day" in said
    assert "revoked" in said
    assert cli.main(["key", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == ["ann", "bob"]
    assert not any("hash" in row for row in rows)
    assert secret not in (tmp_path / "trivium" / "keys.json").read_text()


def test_keys_that_are_all_revoked_let_nobody_in(capsys: Capture) -> None:
    cli.main(["key", "create", "ann"])
    cli.main(["key", "revoke", "ann"])
    capsys.readouterr()
    assert cli.main(["serve", "--policy", "scripted"]) == 2
    assert "all keys in" in capsys.readouterr().err
