"""Lines are added whole or not at all, and what was cut off before is not built upon."""

from __future__ import annotations

import errno
import resource
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.errors import RunError
from trivium.store import ledger
from trivium.store.files import json_line
from trivium.store.ledger import FIELDS, append, current, latest, read


def line(claim: str, **changes: Any) -> dict[str, Any]:
    return dict.fromkeys(FIELDS, 0) | {"slug": "some", "claim": claim, "size": "lab"} | changes


def test_what_stands_is_what_the_last_run_of_a_recipe_decided() -> None:
    lines = [line("b", date="1"), line("a", date="1"), line("a", date="2"), line("c", date="2", slug="other"),
             line("b", date="3", size="full"), line("b", date="0", slug="other")]  # fmt: skip
    assert list(current(lines)) == [("some", "a"), ("other", "b")]
    assert [found["date"] for found in current(lines).values()] == ["2", "0"]
    assert list(current(lines, "full")) == [("some", "b")]


@given(cut=st.integers(0, 200), long=st.integers(0, 200_000))
def test_what_a_kill_cut_off_is_not_built_upon(tmp_path_factory: pytest.TempPathFactory, cut: int, long: int) -> None:
    path = tmp_path_factory.mktemp("ledger") / "ledger.jsonl"
    append(path, [line("one", paper_says="x" * long), line("two")])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - cut])
    left = [found["claim"] for found in read(path)]
    append(path, [line("three")])
    assert [found["claim"] for found in read(path)] == [*left, "three"]


def test_a_full_disk_leaves_the_ledger_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ledger.jsonl"
    append(path, [line("one")])
    before = path.read_bytes()

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ledger.os, "fsync", full)
    with pytest.raises(RunError, match="free some space, then give the same command again"):
        append(path, [line("two")])
    assert path.read_bytes() == before


def test_a_disk_that_takes_a_part_leaves_the_ledger_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    append(path, [line("one")])
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + len(json_line(line("two"))) + 9, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            append(path, [line("two"), line("three")])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before


def test_a_large_models_verdict_does_not_take_the_place_of_the_labs() -> None:
    lines = [line("one", verdict="refuted"), line("one", verdict="confirmed", size="full")]
    assert [found["verdict"] for found in latest(lines).values()] == ["refuted"]
    assert [found["verdict"] for found in latest(lines, "full").values()] == ["confirmed"]
