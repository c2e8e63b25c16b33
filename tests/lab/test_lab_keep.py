"""Things are made once, by one process, whole or not at all."""

from __future__ import annotations

import json
import multiprocessing
import time
from pathlib import Path

import pytest

from trivium.lab.keep import find, keep


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def slow(where: Path, log: Path) -> None:
    def make(folder: Path) -> dict[str, int]:
        time.sleep(0.3)
        (folder / "thing").write_text("x")
        with open(log, "a") as file:
            file.write("made\n")
        return {"cost": 7}

    keep(where, "thing", "", make)


def test_two_processes_make_it_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    spawn = multiprocessing.get_context("fork")
    both = [spawn.Process(target=slow, args=(tmp_path / "shelf", log)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert log.read_text() == "made\n"
    kept = find(tmp_path / "shelf", "thing")
    assert kept is not None
    assert kept.about["cost"] == 7
    assert (kept.folder / "thing").read_text() == "x"


def test_a_failure_leaves_nothing_and_the_next_call_makes_it(tmp_path: Path) -> None:
    def fails(folder: Path) -> dict[str, int]:
        (folder / "half").write_text("x")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        keep(tmp_path, "thing", "", fails)
    assert find(tmp_path, "thing") is None
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == []
    assert keep(tmp_path, "thing", "", lambda folder: {"n": 1}).about["n"] == 1


def test_what_was_kept_before_times_were_noted_is_older_than_any(tmp_path: Path) -> None:
    kept = keep(tmp_path, "thing", "", lambda folder: {})
    about = {key: value for key, value in kept.about.items() if key != "kept_at"}
    (kept.folder / "about.json").write_text(json.dumps(about))
    assert find(tmp_path, "thing") is not None
    assert find(tmp_path, "thing", since=1.0) is None


def test_what_other_code_made_is_not_used(tmp_path: Path) -> None:
    import trivium.lab.keep as module

    keep(tmp_path, "thing", "", lambda folder: {"n": 1})
    before = module.unchanged
    try:
        module.unchanged = lambda hashes: False
        assert keep(tmp_path, "thing", "", lambda folder: {"n": 2}).about["n"] == 2
    finally:
        module.unchanged = before
