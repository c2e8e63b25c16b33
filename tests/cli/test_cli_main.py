"""The command line as a person and a program meet it: names, messages, exit codes, and what is not loaded."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from synthetic_run import make_run

from trivium.cli import main as cli
from trivium.cli.names import KINDS, REGISTRIES, registry
from trivium.data.pool import at_most
from trivium.search.driver import Listen
from trivium.tasks import task
from trivium.types import Trace
from trivium.verify import VERIFIERS

HEAVY = "'torch transformers duckdb pyarrow rich httpx sqlglot reasoning_gym math_verify'.split()"
Capture = pytest.CaptureFixture[str]


def loaded_by(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint('LOADED', *[m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    return set(done.stdout.splitlines()[-1].split()[1:])


@pytest.mark.parametrize(
    "line", [["--help"], ["--version"], ["list", "tasks"], ["list", "objectives"], ["list", "--help"]]
)
def test_light_commands_load_nothing_heavy(line: list[str]) -> None:
    assert loaded_by(f"import trivium\nfrom trivium.cli.main import main\nassert main({line!r}) == 0") == set()


def test_parts_without_tensors_never_load_torch() -> None:
    code = """
import importlib, pkgutil
for name in ("tasks", "search", "rewards", "store", "report", "verify", "sandbox"):
    package = importlib.import_module(f"trivium.{name}")
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
"""
    assert not {"torch", "transformers"} & loaded_by(code)


def test_help_names_every_command(capsys: Capture) -> None:
    assert cli.main([]) == 0
    said = capsys.readouterr().out
    assert all(f"  {name}" in said for name in cli.COMMANDS)


@pytest.mark.parametrize("kind", KINDS)
def test_list_is_complete_and_every_summary_is_a_sentence(kind: str, capsys: Capture) -> None:
    assert cli.main(["list", kind, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows
    assert all({"name", "summary"} <= set(row) and row["name"] and row["summary"].strip() for row in rows)
    if kind in REGISTRIES:
        assert [row["name"] for row in rows] == registry(kind).names()


def test_list_as_text_fits_the_terminal(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert cli.main(["list", "tasks"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 60
    assert any(line.startswith("sums ") for line in lines)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["lern"], "unknown command 'lern'. Did you mean learn"),
        (["list", "tsks"], "Did you mean tasks?"),
        (["list", "tasks", "--jso"], "Did you mean --json?"),
        (["list"], "See: trivium list --help"),
        (["--debugg"], "Did you mean --debug?"),
        (["show", "smus"], "Did you mean sums"),
        (["show", "policies/tinny"], "Did you mean tiny"),
        (["fetch", "smollm"], "Did you mean smollm2?"),
        (["report", "nowhere"], "unknown run 'nowhere'"),
        (["solve", "vote:m=3", "--task", "sums", "--policy", "scripted"], "unknown option of method vote"),
        (["solve", "voet", "--task", "sums", "--policy", "scripted"], "Did you mean vote"),
        (["solve", "vote", "--task", "smus", "--policy", "scripted"], "Did you mean sums"),
        (["solve", "vote", "--task", "sums", "--policy", "scriptd"], "Did you mean scripted"),
        (
            ["solve", "vote", "--task", "sums", "--policy", "runs/demo/model"],
            "no folder runs/demo/model; expected",
        ),
        (["solve", "vote", "--task", "sums", "--policy", "scritpd:p=a/b"], "unknown policy 'scritpd'"),
        (["solve", "vote", "--task", "sums", "--policy", "scripted", "--split", "tst"], "Did you mean test?"),
        (["solve", "vote", "--task", "sums", "--policy", "scripted", "--budget", "sampled=3"], "sampled_tokens"),
        (["solve", "vote", "--task", "sums", "--policy", "scripted", "--budget", "calls=0"], "positive number"),
        (["solve", "vote", "--task", "sums", "--policy", "scripted", "--budget", "seven"], "unit=limit"),
        (["solve", "vote", "--task", "sums", "--policy", "scripted", "--n", "0"], "See: trivium solve --help"),
        (["solve", "vote", "--task", "sums", "--policy", "scripted", "--voice", "judge"], "NAME=POLICY"),
        (
            ["solve", "vote", "--task", "sums", "--policy", "scripted", "--voice", "a=x", "--voice", "a=y"],
            "given twice",
        ),
        (["solve", "vote"], "--task"),
    ],
)
def test_wrong_input_is_one_message_and_exit_code_2(line: list[str], words: str, capsys: Capture) -> None:
    assert cli.main(line) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert said.err.startswith("trivium: ")
    assert "Traceback" not in said.err
    assert said.out == ""


def test_a_bug_is_one_line_with_the_traceback_in_a_file(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(kind: str) -> None:
        raise ZeroDivisionError("a slip")

    monkeypatch.setattr("trivium.cli.list.described", broken)
    assert cli.main(["list", "tasks"]) == 70
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "ZeroDivisionError: a slip" in said
    path = Path(said.split("traceback in ")[1].rstrip(")\n"))
    assert "in broken" in path.read_text()
    path.unlink()
    assert cli.main(["--debug", "list", "tasks"]) == 70
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:1] . DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
)
def test_too_little_memory_is_no_bug(error: Exception, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(kind: str) -> None:
        raise error

    monkeypatch.setattr("trivium.cli.list.described", full)
    assert cli.main(["list", "tasks"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("trivium: out of memory: try a smaller policy")
    assert "bug" not in said
    Path(said.split("traceback in ")[1].rstrip(")\n")).unlink()


def test_a_reader_that_leaves_early_is_no_error() -> None:
    line = f"{sys.executable} -c 'from trivium.cli.main import run; run()' list objectives | head -1"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1


def test_show_a_task_gives_options_and_an_example(capsys: Capture) -> None:
    assert cli.main(["show", "sums", "--json"]) == 0
    about = json.loads(capsys.readouterr().out)
    assert about["kind"] == "task"
    assert {"name": "terms", "type": "int", "required": False, "default": 3} in about["options"]
    assert about["example"]["question"]
    assert about["example"]["gold"]
    assert cli.main(["show", "sums:terms=2"]) == 0
    assert "An example problem" in capsys.readouterr().out


def test_show_a_method_and_a_task_that_needs_an_option(capsys: Capture) -> None:
    assert cli.main(["show", "vote"]) == 0
    assert "temperature" in capsys.readouterr().out
    assert cli.main(["show", "shots:2,of=sums,terms=2", "--json"]) == 0
    about = json.loads(capsys.readouterr().out)
    assert [option["name"] for option in about["options"]] == ["shots", "of"]
    assert len(about["example"]["question"].split("\n\n")) == 5, "two examples, each with its solution"
    assert cli.main(["show", "file"]) == 0
    assert "example" not in capsys.readouterr().out.lower().split("options")[-1]
    assert cli.main(["show", "length"]) == 0
    options = capsys.readouterr().out.split("Options")[-1]
    assert "--reward 'length(option=value,...)=WEIGHT,...'" in options, "as --reward reads it, and a spec elsewhere"
    assert "shape" in options
    assert "max_tokens" not in options, "which the run gives"


def test_show_a_verifier_or_a_parser(capsys: Capture) -> None:
    assert cli.main(["show", "number"]) == 0
    assert "--task file:rows.jsonl,verifier=number" in capsys.readouterr().out
    shown = {"sql": "task", "verifiers/sql": "verifier", "parsers/number": "parser", "maths": "verifier"}
    for spec, kind in shown.items():
        assert cli.main(["show", spec, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["kind"] == kind
    assert cli.main(["show", "numbr"]) == 2
    assert "Did you mean number" in capsys.readouterr().err
    assert cli.main(["show", "file"]) == 0
    said = capsys.readouterr().out
    assert all(f"`{name}`" in said for name in VERIFIERS)


def test_too_few_rows_are_answered_with_the_option_and_the_number(tmp_path: Path, capsys: Capture) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"q": f"{i} plus {i}?", "a": 2 * i}) + "\n" for i in range(80)))
    spec = f"file:{rows},question=q,answer=a,verifier=number"
    there = len(at_most(task(spec), "test", 300, 0))
    for line, option in (
        (["solve", "greedy", "--policy", "scripted"], "--n"),
        (["compare", "--policy", "scripted", "--budget", "64"], "--n"),
        (["learn", "--policy", "tiny:50k", "--warmup-steps", "0", "--runs", str(tmp_path / "runs")], "--eval-n"),
    ):
        assert cli.main([*line, "--task", spec]) == 2
        said = capsys.readouterr().err
        assert f"Ask for fewer with {option} {there}, or name a field" in said
        assert "split=FIELD" in said


def test_show_a_run_and_query_it(tmp_path: Path, capsys: Capture) -> None:
    run = make_run(tmp_path, "mine", steps=5)
    assert cli.main(["show", "mine", "--runs", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "It learned: from 1.3% to 77.0%" in said
    assert "Step 5 of 5" in said
    assert cli.main(["show", str(run.path), "--json"]) == 0
    about = json.loads(capsys.readouterr().out)
    assert about["settings"]["task"] == "sums:terms=3,digits=2"
    assert about["last"]["step"] == 5
    sql = "SELECT step FROM metrics WHERE phase = 'rl' ORDER BY step"
    assert cli.main(["show", str(run.path), "--sql", sql, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [{"step": step} for step in range(1, 6)]
    assert cli.main(["show", str(run.path), "--sql", sql + " DESC"]) == 0
    assert capsys.readouterr().out.split() == ["step", "5", "4", "3", "2", "1"]
    assert cli.main(["show", str(run.path), "--sql", "SELEC 1"]) == 2


def test_show_an_unfinished_run_says_how_to_go_on(tmp_path: Path, capsys: Capture) -> None:
    run = make_run(tmp_path, steps=3, finished=False)
    assert cli.main(["show", str(run.path)]) == 0
    assert f"trivium learn --resume {run.path}" in capsys.readouterr().out


def test_report_is_written_again(tmp_path: Path, capsys: Capture) -> None:
    run = make_run(tmp_path, steps=3)
    assert cli.main(["report", str(run.path)]) == 0
    assert Path(capsys.readouterr().out.strip()).read_text().startswith("<!doctype html>")


def test_solve_reports_what_the_scripted_policy_does(tmp_path: Path, capsys: Capture) -> None:
    line = ["solve", "greedy", "--task", "sums", "--policy", "scripted", "--n", "12"]
    traces = tmp_path / "deep" / "traces.jsonl"
    assert cli.main([*line, "--json", "--save-traces", str(traces)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"accuracy", "low", "high", "n", "abstained", "errors", "usage"}
    assert found["n"] + found["errors"] == 12
    assert found["low"] <= found["accuracy"] <= found["high"]
    assert found["usage"]["calls"] == 12
    rows = [json.loads(row) for row in traces.read_text().splitlines()]
    assert len(rows) == 12
    assert sum(row["status"] == "correct" for row in rows) == round(found["accuracy"] * 12)
    assert cli.main(line) == 0
    assert "accuracy" in (said := capsys.readouterr().out)
    assert "Go on with" not in said


def test_solve_ends_with_how_to_look_at_the_traces_and_that_works(tmp_path: Path, capsys: Capture, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    line = [
        "solve",
        "mcts:n=4",
        "--task",
        "sums",
        "--policy",
        "scripted",
        "--n",
        "2",
        "--save-traces",
        "my traces.jsonl",
    ]
    assert cli.main(line) == 0
    *_, before, told = capsys.readouterr().out.splitlines()
    assert (before, told) == ("Go on with", "  trivium view 'my traces.jsonl'")
    _, *again = shlex.split(told)
    assert cli.main([*again, "--export", "out.html"]) == 0
    assert b"/api/runs/my-traces.jsonl-" in (tmp_path / "out.html").read_bytes()


def test_solve_writes_no_lines_into_what_is_named_parquet(tmp_path: Path, capsys: Capture) -> None:
    line = ["solve", "greedy", "--task", "sums", "--policy", "scripted", "--save-traces", str(tmp_path / "t.parquet")]
    assert cli.main(line) == 2
    assert "choose another, such as" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_solve_under_a_budget_spends_no_more(capsys: Capture) -> None:
    line = ["solve", "vote:n=8", "--task", "sums", "--policy", "scripted", "--n", "5", "--json"]
    assert cli.main([*line, "--budget", "sampled_tokens=40"]) == 0
    assert json.loads(capsys.readouterr().out)["usage"]["sampled_tokens"] <= 5 * 40


def test_ctrl_c_is_answered_with_a_word_by_every_command(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("trivium.policies.policy", interrupted)
    assert cli.main(["program", "--task", "sums", "--policy", "scripted"]) == 130
    assert capsys.readouterr().err == "trivium: stopped\n"


def test_a_line_of_progress_makes_room_for_a_message(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert cli.main(["solves"]) == 2
    assert capsys.readouterr().err.startswith("\r\033[Ktrivium: unknown command 'solves'")


def test_a_solve_that_is_stopped_says_how_far_it_came_and_what_is_kept(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trivium.search import evaluate

    whole = evaluate.solve

    def stops_after_three(*arguments: Any, listen: Listen, **options: Any) -> None:
        heard = 0

        def hear(trace: Trace) -> None:
            nonlocal heard
            listen(trace)
            heard += 1
            if heard == 3:
                raise KeyboardInterrupt

        whole(*arguments, listen=hear, **options)

    monkeypatch.setattr(evaluate, "solve", stops_after_three)
    line = ["solve", "greedy", "--task", "sums", "--policy", "scripted", "--n", "9", "--concurrency", "1"]
    traces = tmp_path / "traces.jsonl"
    assert cli.main([*line, "--save-traces", str(traces)]) == 130
    assert capsys.readouterr().err == f"trivium: stopped after 3 of 9 problems; the traces of those are in {traces}\n"
    assert len(traces.read_text().splitlines()) == 3
    assert cli.main(line) == 130
    assert capsys.readouterr().err == "trivium: stopped after 3 of 9 problems\n"
