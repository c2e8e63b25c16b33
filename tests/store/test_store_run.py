"""Runs on disk: names, history, checkpoints under kills, full disks, locks, Parquet and queries."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trivium.errors import RunError, UserError
from trivium.store import Run, query, trace_from_json
from trivium.store.query import compact
from trivium.types import Message, Problem, Question, Segment, Trace, Verdict

SETTINGS = {"task": "sums:terms=3", "policy": "tiny:1M", "objective": "grpo", "lr": 1e-5}
QUESTION = Question("q1", (Message("user", "What is 2 + 2?"),), "number")
PROBLEM = Problem(QUESTION, 4, "4", "2+2", "train", "sums")


def a_trace(response: str = "4", correct: bool = True) -> Trace:
    trace = Trace("q1", answer=response, response=response)
    trace.add(-1, Segment("prompt", (1, 2), text="What is 2 + 2?"))
    trace.answer_node = trace.add(0, Segment("model", (3, 4), (-0.1, -1 / 3), response, "v0"))
    trace.verdict = Verdict.right(response) if correct else Verdict.wrong(response)
    return trace


def save(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "weights.bin").write_bytes(b"w" * 1000)


def write_step(run: Run, step: int) -> None:
    run.metrics({"phase": "rl", "step": step, "reward": step / 10, "terms": {"correct": 0.5}})
    run.traces("rl", step, [a_trace(str(step))], [PROBLEM])
    run.commit_checkpoint(step, save)


def test_create_records_what_is_needed_to_repeat_the_run(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "runs", None, SETTINGS)
    assert run.name == "sums-tiny-grpo-1"
    assert Run.create(tmp_path / "runs", None, SETTINGS).name == "sums-tiny-grpo-2"
    about = Run.open(run.path).about
    assert about["settings"] == SETTINGS
    assert {"python", "trivium", "torch", "transformers"} <= about["versions"].keys()
    assert about["machine"]["cores"] >= 1
    assert run.result is None
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == ["sums-tiny-grpo-1", "sums-tiny-grpo-2"]


def test_a_taken_name_says_how_to_go_on(tmp_path: Path) -> None:
    Run.create(tmp_path, "mine", SETTINGS)
    with pytest.raises(UserError, match=r"--resume .*mine.*--name"):
        Run.create(tmp_path, "mine", SETTINGS)


@pytest.mark.parametrize("name", ["", "..", "a/b", "-x", "a b"])
def test_a_name_that_is_no_folder_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="not usable"):
        Run.create(tmp_path, name, SETTINGS)
    assert not list(tmp_path.iterdir())


def test_opening_what_is_no_run_names_runs_nearby(tmp_path: Path) -> None:
    Run.create(tmp_path, "mine", SETTINGS)
    with pytest.raises(UserError, match=r"does not exist.*mine"):
        Run.open(tmp_path / "yours")


def test_history_after_resume_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = Run.create(tmp_path, "whole", SETTINGS)
    for step in (1, 2, 3, 4):
        write_step(whole, step)

    cut = Run.create(tmp_path, "cut", SETTINGS)
    for step in (1, 2):
        write_step(cut, step)
    cut.metrics({"phase": "rl", "step": 3, "reward": -1.0})
    cut.traces("extra", 3, [a_trace()], [PROBLEM])
    cut.close()
    with open(cut.path / "metrics.jsonl", "ab") as file:
        file.write(b'{"phase":"rl","st')  # a line torn by the kill

    again = Run.open(cut.path)
    found = again.latest_checkpoint()
    assert found is not None
    assert found[0] == 2
    again.truncate_after(2)
    for step in (3, 4):
        write_step(again, step)
    for name in ("metrics.jsonl", "traces-rl.jsonl"):
        assert (again.path / name).read_bytes() == (whole.path / name).read_bytes()
    assert not (again.path / "traces-extra.jsonl").exists()


def test_truncate_without_a_checkpoint_starts_over_and_refuses_a_missing_step(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "mine", SETTINGS)
    run.metrics({"phase": "note", "message": "hello"})
    with pytest.raises(RunError, match="no checkpoint of step 7"):
        run.truncate_after(7)
    run.truncate_after(0)
    assert list(run.rows()) == []
    run.metrics({"phase": "note", "message": "again"})
    assert [row["message"] for row in run.rows()] == ["again"]


def test_only_the_newest_checkpoints_are_kept_and_a_repeated_step_wins(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "mine", SETTINGS)
    for step in (1, 2, 3):
        run.commit_checkpoint(step, save, keep=2)
    assert sorted(p.name for p in (run.path / "checkpoints").iterdir()) == ["step-000002", "step-000003"]
    run.commit_checkpoint(3, lambda folder: (folder / "second").touch(), keep=1)
    found = run.latest_checkpoint()
    assert found is not None
    assert found[0] == 3
    assert (found[1] / "second").exists()


def test_a_writer_that_fails_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "mine", SETTINGS)
    run.commit_checkpoint(1, save)

    def broken(folder: Path) -> None:
        (folder / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.commit_checkpoint(2, broken)
    found = run.latest_checkpoint()
    assert found is not None
    assert found[0] == 1
    run.commit_checkpoint(2, save)
    assert [p.name for p in (run.path / "checkpoints").iterdir()] == ["step-000002"]


WRITER = """
import sys
from pathlib import Path
from trivium.store import Run
run = Run.open(Path(sys.argv[1]))
def save(folder):
    for i in range(5):
        (folder / str(i)).write_bytes(b"x" * 20000)
step = (run.latest_checkpoint() or (0, None))[0]
run.truncate_after(step)
print("ready", flush=True)
while True:
    step += 1
    run.metrics({"phase": "rl", "step": step})
    run.commit_checkpoint(step, save)
"""


def test_a_kill_at_any_instant_leaves_a_complete_checkpoint_and_a_gapless_history(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "mine", SETTINGS)
    rng, last = random.Random(0), 0
    for _ in range(6):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(run.path)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(rng.uniform(0.02, 0.15))
        process.send_signal(signal.SIGKILL)
        process.wait()
        found = run.latest_checkpoint()
        assert found is not None or not list((run.path / "checkpoints").glob("step-*"))
        if found is None:
            continue
        step, folder = found
        assert step >= last
        last = step
        assert [(folder / str(i)).stat().st_size for i in range(5)] == [20000] * 5
        assert [row["step"] for row in run.rows()][:step] == list(range(1, step + 1))
    assert last > 0


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_one_clear_message(tmp_path: Path, error: Exception) -> None:
    run = Run.create(tmp_path, "mine", SETTINGS)
    run.commit_checkpoint(1, save)

    def full(folder: Path) -> None:
        raise error

    with pytest.raises(RunError, match=r"disk is full.*give the same command again"):
        run.commit_checkpoint(2, full)
    assert (run.latest_checkpoint() or (0,))[0] == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_while_logging(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "mine", SETTINGS)
    (run.path / "metrics.jsonl").symlink_to("/dev/full")
    with pytest.raises(RunError, match="disk is full"):
        run.metrics({"phase": "note", "message": "x"})


def test_other_errors_of_a_writer_pass_through(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "mine", SETTINGS)

    def broken(folder: Path) -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        run.commit_checkpoint(1, broken)


def test_two_writers_are_refused_and_readers_are_not(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "mine", SETTINGS)
    run.metrics({"phase": "note", "message": "x"})
    other = Run.open(run.path)
    assert [row["message"] for row in other.rows()] == ["x"]
    with pytest.raises(RunError, match="another process"):
        other.metrics({"phase": "note", "message": "y"})
    run.close()
    other.metrics({"phase": "note", "message": "y"})
    assert [row["message"] for row in run.rows()] == ["x", "y"]


def test_numbers_json_has_not_become_null(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "mine", SETTINGS)
    run.metrics({"phase": "rl", "step": 1, "kl": float("nan"), "terms": {"a": float("inf")}})
    assert list(run.rows()) == [{"phase": "rl", "step": 1, "kl": None, "terms": {"a": None}}]


def test_query_sees_the_same_before_and_after_compaction(tmp_path: Path) -> None:
    tmp_path = tmp_path / "it's here"
    run = Run.create(tmp_path, "mine", SETTINGS)
    assert query(run, "select * from metrics") == []
    assert query(run, "select * from traces") == []
    run.metrics({"phase": "stage", "stage": "rl", "message": "go", "total": None})
    write_step(run, 1)
    run.traces("rl", 2, [a_trace("7", correct=False), a_trace("é\n<b>\x00\ud800")], [PROBLEM, PROBLEM])
    with open(run.path / "metrics.jsonl", "ab") as file:
        file.write(b'{"phase":"rl","st')
    sql = "select step, response, status, score, sampled_tokens from traces order by step, response"
    before = query(run, sql)
    assert [row["status"] for row in before] == ["correct", "wrong", "correct"]
    assert query(run, "select max(reward) as r from metrics") == [{"r": 0.1}]
    run.finish({"after": {"accuracy": 0.5}})
    assert run.result == {"after": {"accuracy": 0.5}}
    assert not list(run.path.glob("*.jsonl.tmp"))
    assert [p.name for p in run.path.glob("traces-*")] == ["traces-rl.parquet"]
    assert query(run, sql) == before
    stored = query(run, "select trace from traces where response = '7'")[0]["trace"]
    assert trace_from_json(json.loads(stored)) == a_trace("7", correct=False)


def test_a_run_is_finished_only_when_all_that_belongs_to_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.create(tmp_path, "mine", SETTINGS)
    write_step(run, 1)
    full = OSError(errno.ENOSPC, "No space left on device")

    def refuse(*_: object) -> None:
        raise full

    told: list[object] = []

    def report(of: Run, coming: object) -> None:
        told.append(coming)
        raise full

    with monkeypatch.context() as patch:
        patch.setattr("trivium.store.run.compact", refuse)
        with pytest.raises(RunError, match="disk is full"):
            run.finish({"n": (1, float("nan"))})
    with pytest.raises(OSError, match="No space left"):
        run.finish({"n": (1, float("nan"))}, report)
    assert told == [{"n": [1, None]}], "what is read later"
    assert run.result is None
    run.truncate_after(1)
    run.finish({"n": 1}, lambda of, coming: told.append(coming))
    assert told[1] == run.result == {"n": 1}
    assert [p.name for p in run.path.glob("traces-*")] == ["traces-rl.parquet"]


def test_traces_are_on_the_disk_in_one_form_before_the_other_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.create(tmp_path, "mine", SETTINGS)
    write_step(run, 1)
    run.close()
    done: list[str] = []
    sync, unlink = os.fsync, Path.unlink
    monkeypatch.setattr(os, "fsync", lambda handle: (done.append("sync"), sync(handle)))
    monkeypatch.setattr(Path, "unlink", lambda path: (done.append("unlink"), unlink(path)))
    compact(run.path / "traces-rl.jsonl")
    assert done == ["sync", "sync", "unlink"], "of the file, then of its name"


def test_a_wrong_query_is_a_user_error(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "mine", SETTINGS)
    with pytest.raises(UserError, match="metrics and traces"):
        query(run, "select nonsense from nowhere")


def test_damaged_json_is_a_user_error(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "mine", SETTINGS)
    (run.path / "run.json").write_text("{")
    with pytest.raises(UserError, match="damaged"):
        _ = run.settings
