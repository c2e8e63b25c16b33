"""`trivium compare` as a person and a program meet it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from trivium.cli import main as cli
from trivium.cli.chart import overlaid
from trivium.cli.compare import _split_specs
from trivium.policies import policy

Capture = pytest.CaptureFixture[str]
LINE = ["compare", "--task", "sums:terms=3", "--policy", "scripted:p=0.6", "--n", "20"]


def test_specs_are_split_at_methods_only() -> None:
    assert _split_specs("mcts:width=3,depth=2, vote,best-of-n:by=a.b:c,n=4,tree-of-thoughts:dfs") == [
        "mcts:width=3,depth=2", "vote", "best-of-n:by=a.b:c,n=4", "tree-of-thoughts:dfs",
    ]  # fmt: skip
    assert _split_specs("") == []


def test_json_has_the_promised_shape(capsys: Capture) -> None:
    assert cli.main([*LINE, "--methods", "vote:n=2", "--budget", "256,64", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["task"], found["policy"], found["budget"]) == ("sums", "scripted:p=0.6", 256)
    keys = {
        "method", "accuracy", "low", "high", "n", "tokens_per_problem", "seconds_per_problem", "abstained", "errors",
        "oracle_calls", "budget",
    }  # fmt: skip
    assert [row["method"] for row in found["rows"]] == ["greedy", "vote", "best-of-n", "vote:n=2"]
    assert all(keys <= set(row) and row["budget"] == 256 and row["tokens_per_problem"] <= 256 for row in found["rows"])
    assert all({"better", "worse", "difference", "low", "high"} <= set(pair) for pair in found["pairs"])
    assert len(found["pairs"]) == 5  # all against greedy (3) and against vote (2 more)
    assert [at["budget"] for at in found["curve"]] == [64, 256]
    assert found["curve"][-1] == {"budget": 256, "rows": found["rows"], "pairs": found["pairs"]}
    assert {row["k"] for row in found["pass_at_k"] if row["method"] == "vote"} >= {1, 2}


def test_text_fits_eighty_columns(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    methods = "best-of-n:by=oracle,temperature=0.7,best-of-n:by=nonsense"
    assert cli.main([*LINE, "--methods", methods, "--budget", "64,128,1024", "--against", "all"]) == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 80
    for words in ("At 1,024 sampled tokens", "* a bound", "did not run", "Accuracy over the budget", "pass@k", "Holm"):
        assert words in said, words


def test_a_folder_holds_everything_and_goes_on(tmp_path: Path, capsys: Capture) -> None:
    line = [*LINE, "--budget", "64,128", "--out", str(tmp_path), "--seeds", "2"]
    assert cli.main(line) == 0
    names = {path.name for path in tmp_path.iterdir()} - {".lock"}
    assert names == {"settings.json", "cells", "comparison.json", "comparison.html", "accuracy.svg", "curve.svg"}
    assert len(list((tmp_path / "cells").iterdir())) == 3 * 2 * 2
    before = json.loads((tmp_path / "comparison.json").read_text())
    assert before["rows"][0]["n"] == 40
    changed = {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").iterdir()}
    assert cli.main([*line, "--methods", "vote:n=2"]) == 0
    after = json.loads((tmp_path / "comparison.json").read_text())
    assert after["rows"][:3] == before["rows"]  # not attempted again: even the seconds are the same
    assert all(path.stat().st_mtime_ns == when for path, when in changed.items())
    capsys.readouterr()
    assert cli.main([*line, "--n", "21"]) == 2
    assert "holds a comparison with n=20, and this one has n=21" in capsys.readouterr().err


@pytest.mark.parametrize("spelling", ["{}", "hf:{}", "{},dtype=fp32", "hf:{},dtype=fp32"])
def test_new_weights_are_another_policy_however_it_is_spelled(spelling: str, tmp_path: Path) -> None:
    from trivium.cli.compare import _weights

    spec = spelling.format(tmp_path)
    assert _weights(spec) is None
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"1")
    before = _weights(spec)
    weights.write_bytes(b"12")
    assert None is not _weights(spec) != before


def test_new_weights_of_a_voice_are_another_comparison(tmp_path: Path, capsys: Capture) -> None:
    voice = tmp_path / "voice"
    policy("tiny:30k").save(voice)
    line = [*LINE, "--n", "2", "--budget", "64", "--voice", f"judge={voice}", "--out", str(tmp_path / "kept")]
    assert cli.main(line) == 0
    os.utime(voice / "model.safetensors", ns=(1, 1))
    capsys.readouterr()
    assert cli.main(line) == 2
    assert "holds a comparison with voices_weights=" in capsys.readouterr().err


def test_ctrl_c_says_how_to_go_on(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("trivium.search.compare.compare", interrupted)
    assert cli.main([*LINE, "--out", str(tmp_path)]) == 130
    assert f"what is finished is in {tmp_path}; the same command goes on" in capsys.readouterr().err
    assert cli.main(LINE) == 130
    assert "nothing is kept" in capsys.readouterr().err


def test_training_is_shared_by_the_problems_said(capsys: Capture) -> None:
    line = [*LINE, "--budget", "64", "--json"]
    assert cli.main(line) == 0
    free = json.loads(capsys.readouterr().out)
    assert cli.main([*line, "--amortise", "100", "--training-tokens", "5000"]) == 0
    paid = json.loads(capsys.readouterr().out)
    for a, b in zip(free["rows"], paid["rows"], strict=True):
        assert b["tokens_per_problem"] == pytest.approx(a["tokens_per_problem"] + 50)
    assert paid["amortised"] == {"training_tokens": 5000, "problems": 100, "tokens_per_problem": 50.0}


def test_the_folder_of_a_run_gives_the_model_and_what_it_cost(tmp_path: Path) -> None:
    from trivium.cli.compare import _trained, _training

    (tmp_path / "model").mkdir()
    (tmp_path / "run.json").write_text("{}")
    (tmp_path / "result.json").write_text('{"sampled_tokens": 40000, "trained_tokens": 20000, "warmup_tokens": 1000}')
    for given in (tmp_path, tmp_path / "model"):
        folder, result = _trained(f"{given},dtype=fp32")
        assert folder == f"{tmp_path / 'model'},dtype=fp32"
        assert _training(1000, None, result) == {
            "training_tokens": 61000, "problems": 1000, "tokens_per_problem": 61.0,
        }  # fmt: skip
    assert _trained("scripted:p=0.6") == ("scripted:p=0.6", None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--methods", "voet"], "Did you mean vote"),
        (["--budget", "0"], "expected a positive whole number of sampled_tokens"),
        (["--budget", "12.5"], "expected a positive whole number"),
        (["--budget", ""], "is empty"),
        (["--budget", "-1", "--unit", "seconds"], "expected a positive number of seconds"),
        (["--unit", "tokens"], "sampled_tokens"),
        (["--split", "tst"], "Did you mean test?"),
        (["--against", "mcts"], "--against mcts: expected all, or some of greedy, vote, best-of-n"),
        (["--amortise", "10"], "add --training-tokens T"),
        (["--training-tokens", "10"], "--amortise N"),
        (["--voice", "judge"], "NAME=POLICY"),
    ],
)
def test_wrong_input_is_one_message(options: list[str], words: str, capsys: Capture) -> None:
    assert cli.main([*LINE, *options]) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert said.out == ""


def test_overlaid_curves_end_in_their_marks() -> None:
    drawn = overlaid([[0.0, 1.0], [1.0, 0.0], [0.0, 0.99]], "abc", 20, 5, 0.0, 1.0)
    assert [line[20:] for line in drawn] == ["ac", "", "", "", "b"]
    assert drawn[0][0] != "\u2800"  # b begins at the top
    assert all(len(line) >= 20 for line in drawn)
    assert overlaid([[0.5, 0.5]], "a", 4, 3, 0.0, 1.0)[1].endswith("a")
