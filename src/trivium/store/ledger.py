"""The ledger: every verdict on a claim ever reached here, one JSON line each, never changed again."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trivium.claims import POINTS
from trivium.errors import DataError
from trivium.store.files import disk, json_line, read_lines, whole_lines

Line = Mapping[str, Any]
LEDGER = Path("results/ledger.jsonl")
FIELDS = (
    "slug", "paper", "claim", "verdict", "effect", "low", "high", "margin", "better", "worse", "metric", "seeds",
    "scores", "budget", "minutes", "configurations_tried", "commit", "versions", "machine", "date", "size",
)  # fmt: skip
"""What every line has at least."""


def append(path: Path, lines: Sequence[Line]) -> None:
    """Add lines, all of them or none: what a kill or a full disk cut off is not built upon.

    Raises RunError when the disk is full.
    """
    with disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a+b", buffering=0) as file:  # a buffer would keep what a full disk refused, and write it later
            fcntl.flock(file, fcntl.LOCK_EX)
            whole = whole_lines(file)
            try:
                file.truncate(whole)
                rest = b"".join(json_line(line) for line in lines)
                while rest:
                    rest = rest[file.write(rest) :]
                os.fsync(file.fileno())
            except BaseException:
                file.truncate(whole)
                raise


def read(path: Path) -> list[dict[str, Any]]:
    """All lines, oldest first; none where there is no such file.

    Raises:
        DataError: the path is a folder, or a line is no JSON object or lacks a field.
    """
    if path.is_dir():
        raise DataError(f"--ledger {path} is a folder; expected a file, such as {path / LEDGER.name}")
    lines = list(read_lines(path))
    for number, line in enumerate(lines, 1):
        if absent := [name for name in FIELDS if name not in line]:
            raise DataError(f"{path}, line {number}: no field {absent[0]!r}; expected {', '.join(FIELDS)}")
    return lines


def of_size(lines: Sequence[Line], size: str = "lab") -> list[Line]:
    """The lines of one size: what a large model did at the full size says nothing of the lab's small ones."""
    return [line for line in lines if line["size"] == size]


def latest(lines: Sequence[Line], size: str = "lab") -> dict[tuple[str, str], Line]:
    """The newest line of every claim at a size, by slug and claim, in the order the claims first came."""
    return {(line["slug"], line["claim"]): line for line in of_size(lines, size)}


def current(lines: Sequence[Line], size: str = "lab") -> dict[tuple[str, str], Line]:
    """What the last run of every recipe at a size decided, by slug and claim, in the order of its claims.

    A run decides all claims that it can and appends them together, with one date: a claim that it had to refuse, or
    that the recipe no longer makes, has no verdict any more.
    """
    last = {line["slug"]: line["date"] for line in of_size(lines, size)}
    return {(line["slug"], line["claim"]): line for line in of_size(lines, size) if line["date"] == last[line["slug"]]}


def unit(line: Mapping[str, Any]) -> str:
    """What a line's numbers are.

    Lines from before they said it have points where every score lies in [0, 1], and else what their metric is called.
    """
    scores = [score for by_seed in line["scores"].values() for score in by_seed.values() if score is not None]
    shares = bool(scores) and all(0 <= score <= 1 for score in scores)
    said: str = line.get("unit") or (POINTS if shares else line["metric"].replace("_", " "))
    return said
