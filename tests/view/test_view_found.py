"""What is found below folders: ids, cards, damage, and who is running."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from synthetic_run import make_run as finished_run
from viewed import line, make_run, write_lines

from trivium.errors import UserError
from trivium.store.files import json_line, own_folder
from trivium.view import found as module
from trivium.view.found import Found, check_path, locked


def card(found: Found, name: str) -> dict[str, object]:
    return next(c for c in found.run_cards() if c["id"] == name)


def test_ids_are_safe_stable_and_different(tmp_path: Path) -> None:
    for name in ("plain", "deep/er/run", "a b", "a?b", "ü"):
        make_run(tmp_path / "one" / Path(name).parent, Path(name).name)
    make_run(tmp_path / "two", "plain")
    found = Found([tmp_path / "one", tmp_path / "two"])
    ids = found.all("run")
    assert len(ids) == 6
    assert all(re.fullmatch(r"[A-Za-z0-9._+-]+", name) for name in ids)
    assert ids["plain"] == tmp_path / "one" / "plain"
    assert set(Found([tmp_path / "one", tmp_path / "two"]).all("run")) == set(ids)
    for name, path in ids.items():
        assert found.find("run", name) == path
    for name in ("", ".", "..", "one/plain", "../two/plain", "plain/"):
        assert found.find("run", name) is None


def test_a_root_may_be_a_run_and_the_same_run_is_found_once(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs")
    (tmp_path / "link").symlink_to(run)
    assert dict(Found([run, tmp_path / "runs", tmp_path]).all("run")) == {"demo": run}


def test_a_file_of_traces_stands_among_the_runs(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", "demo", {"rl": [line(0)]})
    for name in ("one/t s.jsonl", "two/t s.jsonl", "one/plain.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_lines(tmp_path / name, [line(0)])
    files = [tmp_path / "one" / "t s.jsonl", tmp_path / "two" / "t s.jsonl", tmp_path / "one" / "plain.jsonl"]
    found = Found([*files, tmp_path / "runs", tmp_path / "one"])
    ids = found.all("run")
    assert {"demo", "plain.jsonl"} < set(ids)
    assert len(ids) == 4, "the folder of files adds nothing"
    assert all(re.fullmatch(r"[A-Za-z0-9._+-]+", name) for name in ids)
    cards = {str(c["folder"]): c for c in found.run_cards() if c["name"] == "t s.jsonl"}
    assert set(cards) == {"one", "two"}, "files of one name are told apart"
    assert {(c["status"], c["step"], c["error"]) for c in cards.values()} == {("file", None, "")}
    assert cards["one"]["bytes"] == files[0].stat().st_size
    files[0].unlink()
    assert found.find("run", str(cards["one"]["id"])) is None
    assert found.find("run", str(cards["two"]["id"])) == files[1]


def test_cards_say_how_far_a_run_is(tmp_path: Path) -> None:
    finished_run(tmp_path, "old", finished=True)
    make_run(tmp_path, "new")
    found = Found([tmp_path])
    done, going = card(found, "old"), card(found, "new")
    assert done["status"] == "finished"
    assert "It learned" in str(done["headline"])
    assert (going["status"], going["step"], going["steps"]) == ("stopped", 3, 4)
    assert going["bytes"] == sum(p.stat().st_size for p in (tmp_path / "new").rglob("*") if p.is_file())
    with own_folder(tmp_path / "new", "wait"):
        assert card(found, "new")["status"] == "running"
    assert card(found, "new")["status"] == "stopped"


def test_looking_takes_no_lock(tmp_path: Path) -> None:
    make_run(tmp_path)
    with own_folder(tmp_path / "demo", "wait"):
        held = locked()
        assert held is not None
        stat = (tmp_path / "demo" / ".lock").stat()
        assert (stat.st_dev, stat.st_ino) in held
    Found([tmp_path]).run_cards()
    own_folder(tmp_path / "demo", "wait").close()


def test_where_locks_cannot_be_listed_what_was_written_just_now_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path)
    monkeypatch.setattr(module, "locked", lambda: None)
    monkeypatch.setattr(module.time, "time", lambda: (run / "metrics.jsonl").stat().st_mtime + 30)
    assert card(Found([tmp_path]), "demo")["status"] == "running"
    monkeypatch.setattr(module.time, "time", lambda: (run / "metrics.jsonl").stat().st_mtime + 90)
    assert card(Found([tmp_path]), "demo")["status"] == "stopped"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("run.json", "{"), ("run.json", "[]"), ("run.json", "{}"), ("run.json", '{"settings": 3, "name": 1}'),
        ("run.json", ""), ("result.json", "{"), ("result.json", '{"before": 1}'), ("result.json", "[1]"),
    ],
)  # fmt: skip
def test_a_damaged_run_is_listed_with_its_error(tmp_path: Path, name: str, text: str) -> None:
    make_run(tmp_path, "good")
    (make_run(tmp_path, "bad") / name).write_text(text)
    found = Found([tmp_path])
    assert "damaged" in str(card(found, "bad")["error"])
    assert card(found, "good")["error"] == ""


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"task": 1, "policy": 2, "created": 3}'])
def test_a_damaged_comparison_is_listed_with_its_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "cmp").mkdir()
    (tmp_path / "cmp" / "comparison.json").write_text(text)
    [found] = Found([tmp_path]).comparison_cards()
    assert "damaged" in found["error"]


def test_cards_follow_what_is_written(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    found = Found([tmp_path])
    assert card(found, "demo")["task"] == "sums:terms=3"
    about = json.loads((run / "run.json").read_text())
    about["settings"]["task"] = "countdown:numbers=4"
    (run / "run.json").write_text(json.dumps(about))
    assert card(found, "demo")["task"] == "countdown:numbers=4"


def test_a_path_without_anything_to_see_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "notes.txt").write_text("What I saw.\n")
    (tmp_path / "events.jsonl").write_text('{"phase": "rl"}\n')
    (tmp_path / "number.jsonl").write_text("3\n")
    (tmp_path / "torn.jsonl").write_bytes(json_line(line(0))[:-9])
    (tmp_path / "lines.parquet").write_bytes(json_line(line(0)))
    none = "is no file of traces, as what it begins with is none; expected what trivium solve --save-traces FILE writes"
    for path, said in (
        (tmp_path, "holds none.*to see a file of traces, name the file"),
        (tmp_path / "file", "holds no trace: it is empty"),
        (tmp_path / "torn.jsonl", "holds no trace: .*was cut off"),
        (tmp_path / "notes.txt", none),
        (tmp_path / "events.jsonl", none),
        (tmp_path / "number.jsonl", none),
        (tmp_path / "lines.parquet", none),
        (tmp_path / "no", "does not exist"),
        (Path("/dev/null"), "is neither file nor folder"),
    ):
        with pytest.raises(UserError, match=said):
            check_path(path)
    make_run(tmp_path / "deep")
    check_path(tmp_path)
    write_lines(tmp_path / "t.jsonl", [line(0)])
    check_path(tmp_path / "t.jsonl")
