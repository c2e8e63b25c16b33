"""The command as a user runs it: on a socket, in one file, and with what it cannot use."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import httpx
import pytest
from commands import TRIVIUM
from viewed import library, line, make_run, write_lines

from trivium.cli.main import main
from trivium.errors import UserError
from trivium.view.listen import prepare

LOOPBACK = pytest.mark.enable_socket


@LOOPBACK
def test_the_command_answers_until_ctrl_c_and_then_ends_at_once(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", "demo", {"rl": [line(i) for i in range(3)]})
    command = [*TRIVIUM, "view", "--runs", str(tmp_path / "runs"), "--port", "0", "--token", "a token/with?signs"]
    settings = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=settings) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        address = process.stdout.readline().split()[2]
        with httpx.Client(timeout=20, base_url=address.partition("/?")[0]) as client:
            assert client.get("/api/index").status_code == 401
            assert client.get(address).status_code == 303
            assert client.get("/api/runs/demo/traces").json()["total"] == 3
            with client.stream("GET", "/api/runs/demo/live") as stream:
                assert next(stream.iter_raw()) == b": alive\n\n"
                began = time.monotonic()
                process.send_signal(signal.SIGINT)
                assert process.wait(timeout=20) == 0, "Ctrl-C is how it is meant to end"
                assert time.monotonic() - began < 5, "browsers that follow a run are not waited for"
        assert process.stderr.read() == ""


def test_others_may_only_look_with_a_token(tmp_path: Path) -> None:
    found = library(tmp_path, cache=tmp_path / "cache")
    with pytest.raises(UserError, match="--token T"):
        prepare(found, "0.0.0.0", None, print)
    with pytest.raises(UserError, match="expected at least 8"):
        prepare(found, "127.0.0.1", "short", print)
    prepare(found, "0.0.0.0", "long enough", print)
    prepare(found, "::1", None, print)
    found.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing-here"], "unknown run, folder or file of traces 'nothing-here'"),
        (["runs/file"], "runs/file holds no trace: it is empty"),
        (["saved.jsonl", "--export", "./saved.jsonl"], "this would write over the traces"),
        (["empty"], "is no run (it has no run.json)"),
        (["--ledger", "none.jsonl"], "--ledger none.jsonl: there is no such file"),
        (["--export", "no/such/folder/x.html"], "there is no folder no/such/folder"),
        (["--export", "runs"], "this is a folder; expected a file"),
        (["--host", "0.0.0.0", "--port", "0"], "lets other machines look"),
        (["--host", "256.1.1.1"], "choose a token"),
        (["--traces", "-1"], "Invalid value for '--traces'"),
    ],
)
def test_what_cannot_be_used_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "file").touch()
    write_lines(tmp_path / "saved.jsonl", [line(0)])
    (tmp_path / "empty").mkdir()
    assert main(["view", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_an_export_states_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    make_run(tmp_path / "runs", "demo", {"rl": [line(i) for i in range(3)]})
    assert main(["view", "demo", "--export", "out.html", "--traces", "2"]) == 0
    assert capsys.readouterr().out.startswith("out.html (")
    assert b"</html>" in (tmp_path / "out.html").read_bytes()
    assert main(["view", "--runs", "none", "--export", "empty.html"]) == 0
