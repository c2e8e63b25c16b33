"""What there is to see below some folders: runs and comparisons, each with an id that no request can turn into a path.

An id is looked up among what was found; it is never joined to a path.  A file of traces that was named itself stands
among the runs: it has traces as they have, and nothing else of them.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from trivium.errors import DataError, UserError
from trivium.report.comparison import headline
from trivium.report.finding import judge
from trivium.store import Run, load_traces
from trivium.view.metrics import last_step

DEPTH = 4
"""Folders below each other that are looked into."""
FRESH = 1.0
"""Seconds for which what was found is not looked for again."""
_CLOSED = {"checkpoints", "model", "cells", "data", "node_modules", "__pycache__"}
_UNSAFE = re.compile(r"[^A-Za-z0-9._+-]+")
_PLACE = re.compile(r"([0-9a-f]+):([0-9a-f]+):(\d+)")
Kind = Literal["run", "comparison"]
Card = dict[str, Any]


@dataclass(slots=True)
class Found:
    """The runs and comparisons below `roots`, by id; found again whenever a second has passed.

    A root may be a file of traces too.
    """

    roots: Sequence[Path]
    _ids: dict[Kind, dict[str, Path]] = field(default_factory=lambda: {"run": {}, "comparison": {}})
    _at: float = float("-inf")
    _cards: dict[Path, tuple[tuple[float, ...], Card]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def all(self, kind: Kind) -> Mapping[str, Path]:
        """Folders, and files of traces, by id."""
        with self._lock:
            if time.monotonic() - self._at > FRESH:
                self._ids = _named(self.roots)
                self._at = time.monotonic()
            return self._ids[kind]

    def find(self, kind: Kind, name: str) -> Path | None:
        """The folder or file of an id, if it is still there."""
        path = self.all(kind).get(name)
        return path if path is not None and _kind(path) == kind else None

    def run_cards(self) -> list[Card]:
        """A card for each run, newest first."""
        held = locked()
        cards = [self.run_card(name, path, held) for name, path in self.all("run").items() if _kind(path) == "run"]
        return sorted(cards, key=lambda card: str(card["created"] or ""), reverse=True)

    def run_card(self, name: str, path: Path, held: frozenset[tuple[int, int]] | None) -> Card:
        """What a list says of a run; a damaged one says so in `error`."""
        if is_file(path):
            return {"id": name, **_file_card(path), "status": "file"}
        card = self._remembered(path, ("run.json", "result.json", "metrics.jsonl"), functools.partial(_run_card, path))
        return {"id": name, **card, "status": _status(path, held)}

    def comparison_cards(self) -> list[Card]:
        """A card for each comparison, newest first."""
        cards = [
            {"id": name, **self._remembered(path, ("comparison.json",), functools.partial(_comparison_card, path))}
            for name, path in self.all("comparison").items()
            if _kind(path) == "comparison"
        ]
        return sorted(cards, key=lambda card: str(card["created"] or ""), reverse=True)

    def _remembered(self, path: Path, files: Sequence[str], make: Callable[[], Card]) -> Card:
        """A card that is made again when one of some files has changed."""
        state = tuple(number for file in files for number in _changes(path / file))
        with self._lock:
            known = self._cards.get(path)
        if known is not None and known[0] == state:
            return known[1]
        card = make()
        with self._lock:
            self._cards[path] = (state, card)
        return card


def check_path(path: Path) -> None:
    """Raises UserError where there is nothing to see."""
    if is_file(path):
        _check_traces(path)
    elif not path.is_dir():
        what = "is neither file nor folder" if path.exists() else "does not exist"
        raise UserError(
            f"{path} {what}; expected a run, a comparison, a folder that holds some, such as runs, or a file of traces"
        )
    elif next(_below(path, DEPTH), None) is None:
        raise UserError(
            f"{path} is no run (it has no run.json), no comparison (no comparison.json), and holds none; "
            "make one with: trivium learn, or trivium compare --out FOLDER; to see a file of traces, name the file"
        )


def is_file(path: Path) -> bool:
    """Whether what was found is a file of traces, not a folder."""
    return os.path.isfile(path)  # not `Path.is_file`, which raises where a folder may not be looked into


def locked() -> frozenset[tuple[int, int]] | None:
    """Device and inode of every file that some process holds a lock on; `None` where the system does not tell.

    Trying for the lock would tell too, but would make a run that starts in that instant believe it is taken.
    """
    try:
        with open("/proc/locks", encoding="ascii", errors="replace") as file:
            lines = [line.split() for line in file]
    except OSError:
        return None
    held = set()
    for words in lines:
        if len(words) >= 6 and words[1] == "FLOCK" and (place := _PLACE.fullmatch(words[5])):
            held.add((os.makedev(int(place[1], 16), int(place[2], 16)), int(place[3])))
    return frozenset(held)


def _check_traces(path: Path) -> None:
    expected = "expected what trivium solve --save-traces FILE writes, or the traces of a finished run (Parquet)"
    try:
        first = next(load_traces(path), None)
    except DataError as error:
        raise UserError(f"{path} is no file of traces, as what it begins with is none; {expected}") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}); {expected}") from error
    if first is None:
        raise UserError(f"{path} holds no trace: it is empty, or its only line was cut off; {expected}")


def _status(path: Path, held: frozenset[tuple[int, int]] | None) -> str:
    if (path / "result.json").exists():
        return "finished"
    try:
        if held is None:  # then whether anything was written in the last minute
            newest = max(file.stat().st_mtime for file in path.iterdir() if file.suffix == ".jsonl")
            return "running" if time.time() - newest < 60 else "stopped"
        lock = (path / ".lock").stat()
    except (OSError, ValueError):
        return "stopped"
    return "running" if (lock.st_dev, lock.st_ino) in held else "stopped"


def _file_card(path: Path) -> Card:
    """What a list says of a file of traces: it has no steps; files of one name are told apart by their folder."""
    card = _blank(path) | {"step": None, "folder": Path(os.path.abspath(path)).parent.name or "/"}
    try:
        state = path.stat()
    except OSError as error:  # gone just now
        return card | {"error": f"{path.name} cannot be read ({error.strerror or error})"}
    created = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(state.st_mtime))
    return card | {"created": created, "bytes": state.st_size}


def _blank(path: Path) -> Card:
    return {
        "name": path.name, "verb": "", "task": "", "policy": "", "objective": "", "created": "", "headline": "",
        "step": 0, "steps": None, "bytes": 0, "error": "",
    }  # fmt: skip


def _run_card(path: Path) -> Card:
    card = _blank(path) | {"bytes": size_of(path)}
    run = Run(path)
    try:
        about = run.about
        settings = about["settings"]
        card |= {
            "name": str(about["name"]), "created": str(about["created"]), "verb": run.verb,
            "task": str(settings.get("task") or ""), "policy": str(settings.get("policy") or ""),
            "objective": str(settings.get("objective") or settings.get("method") or ""),
        }  # fmt: skip
        if (result := run.result) is not None:
            card["headline"] = judge(result).headline
    except (UserError, OSError) as error:
        card["error"] = str(error)
    except (KeyError, TypeError, AttributeError) as error:
        card["error"] = (
            f"{path.name} is damaged: its run.json or result.json lacks {error}; expected what Trivium wrote"
        )
    card["step"], card["steps"] = last_step(path / "metrics.jsonl")
    return card


def _comparison_card(path: Path) -> Card:
    card: Card = {"title": path.name, "created": "", "headline": "", "methods": 0, "budgets": [], "error": ""}
    try:
        comparison = read_comparison(path)
        card |= {
            "title": f"{comparison['policy']} on {comparison['task']}", "created": str(comparison["created"]),
            "headline": headline(comparison), "methods": len(comparison["rows"]),
            "budgets": [at["budget"] for at in comparison["curve"]],
        }  # fmt: skip
    except (UserError, OSError) as error:
        card["error"] = str(error)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        card["error"] = f"{path.name}/comparison.json is damaged ({error}); expected what trivium compare wrote"
    return card


def read_comparison(path: Path) -> dict[str, Any]:
    """A comparison as `trivium compare` wrote it.  Raises UserError where it is damaged."""
    file = path / "comparison.json"
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{file} is damaged ({error}); expected the JSON that trivium compare wrote") from error
    if not isinstance(found, dict):
        raise UserError(f"{file} is damaged; expected the JSON that trivium compare wrote")
    return found


def size_of(path: Path) -> int:
    """Bytes of all files below a folder; what goes away meanwhile counts nothing."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_size
            except OSError:
                continue
    return total


def _named(roots: Sequence[Path]) -> dict[Kind, dict[str, Path]]:
    """Everything below the roots by id: its path below its root, or with a hash where that is not safe or taken."""
    ids: dict[Kind, dict[str, Path]] = {"run": {}, "comparison": {}}
    seen: set[Path] = set()
    for root in roots:
        for path, kind in _below(root, DEPTH):
            if (real := path.resolve()) in seen:
                continue
            seen.add(real)
            plain = path.relative_to(root).as_posix() if path != root else real.name
            name = _UNSAFE.sub("-", plain).strip(".") or kind
            if name != plain or name in ids[kind]:
                name = f"{name}-{hashlib.blake2b(os.fsencode(real), digest_size=4).hexdigest()}"
            ids[kind][name] = path
    return ids


def _below(path: Path, depth: int) -> Iterator[tuple[Path, Kind]]:
    kind = _kind(path)
    if kind is not None:
        yield path, kind
        return
    if not depth:
        return
    try:
        with os.scandir(path) as entries:
            inner = sorted(entry.name for entry in entries if entry.is_dir())
    except OSError:
        return
    for name in inner:
        if not name.startswith(".") and name not in _CLOSED:
            yield from _below(path / name, depth - 1)


def _kind(path: Path) -> Kind | None:
    if is_file(path) or is_file(path / "run.json"):
        return "run"
    return "comparison" if is_file(path / "comparison.json") else None


def _changes(path: Path) -> tuple[float, float]:
    try:
        found = path.stat()
    except OSError:
        return 0.0, -1.0
    return float(found.st_mtime_ns), float(found.st_size)
