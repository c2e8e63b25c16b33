"""One run on disk: settings, append-only history, checkpoints that a kill cannot tear, and the result.

    runs/<name>/
      run.json               all settings used, versions, commit, machine; written before anything else
      metrics.jsonl          one event a line
      traces-<stage>.jsonl   one sample a line; becomes traces-<stage>.parquet when the run is finished
      checkpoints/step-N/    complete by construction: written elsewhere, synced, then renamed
      result.json            exists exactly when the run is finished

A checkpoint remembers how long the history was when it was made (`history.json`).  Resuming cuts the history back to
that length, so that it reads as if the run had never been interrupted.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from trivium.errors import RunError, UserError
from trivium.store import machine
from trivium.store.files import disk, finite, json_line, own_folder, read_lines, sync_folder, sync_tree, write_json
from trivium.store.query import compact
from trivium.store.traces import trace_line
from trivium.types import Problem, Trace

_CHECKPOINT = re.compile(r"step-(\d+)(?:\.(\d+))?")
_NAME = re.compile(r"[\w][\w.+-]*")

Report = Callable[["Run", Mapping[str, Any]], object]
"""Writes what is made of a result."""


class Run:
    """A run folder.  Reading needs nothing; the first write takes the lock, and `close` gives it back."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._appending: dict[str, IO[bytes]] = {}
        self._lock: IO[bytes] | None = None
        self._made: list[Path] = []

    @classmethod
    def create(cls, root: Path, name: str | None, settings: Mapping[str, Any]) -> Run:
        """Make `root/name` with its run.json; without a name, task-policy-objective and a counter.

        Raises:
            UserError: the name is taken or is not usable as a folder name.
        """
        if name is not None and not _NAME.fullmatch(name):
            raise UserError(
                f"run name {name!r} is not usable; expected letters, digits, and any of . _ + - after the first"
            )
        made = [folder for folder in (root, *root.parents) if not folder.exists()]
        root.mkdir(parents=True, exist_ok=True)
        temporary = root / f".new-{os.getpid()}-{time.monotonic_ns()}"
        with disk(temporary):
            temporary.mkdir()
            (temporary / "checkpoints").mkdir()
        try:
            for candidate in [name] if name is not None else _default_names(settings):
                path = root / candidate
                if path.exists():
                    continue
                write_json(temporary / "run.json", _about(candidate, settings))
                try:
                    # Renaming onto a folder with content fails, so of two processes only one gets the name.
                    temporary.rename(path)
                except OSError:
                    continue
                sync_folder(root)
                run = cls(path)
                run._made = made
                return run
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        raise UserError(
            f"a run named {name!r} exists in {root}. Continue it with: trivium {_verb(settings)} --resume "
            f"{root / str(name)}, "
            "or choose another --name"
        )

    @classmethod
    def open(cls, path: Path) -> Run:
        """An existing run.

        Raises:
            UserError: the folder is missing or is not a run.
        """
        if not (path / "run.json").is_file():
            what = "is not a run (it has no run.json)" if path.exists() else "does not exist"
            near = [p.parent.name for p in sorted(path.parent.glob("*/run.json"))][-3:]
            raise UserError(f"{path} {what}; expected a run folder" + (f" such as {', '.join(near)}" if near else ""))
        return cls(path)

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def about(self) -> dict[str, Any]:
        """The content of run.json: name, created, command, settings, versions, commit, machine."""
        return _read(self.path / "run.json")

    @property
    def settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = self.about["settings"]
        return settings

    @property
    def verb(self) -> str:
        """The command that this run belongs to, and that goes on with it: `learn`, `improve` or `gateway`."""
        return _verb(self.settings)

    def go_on(self, called: str | None = None) -> str:
        """What to type to go on with this run, which is `called` by its name or its folder."""
        if self.verb == "gateway":
            return f"trivium gateway --out {self.path}"
        return f"trivium {self.verb} --resume {called or self.path}"

    @property
    def result(self) -> dict[str, Any] | None:
        """The content of result.json, or `None` while the run is not finished."""
        path = self.path / "result.json"
        return _read(path) if path.exists() else None

    def rows(self) -> Iterator[dict[str, Any]]:
        """Every recorded event, oldest first."""
        return read_lines(self.path / "metrics.jsonl")

    def metrics(self, row: Mapping[str, Any]) -> None:
        """Append one event: no kill can lose it from here on, and from the next checkpoint on no power cut can."""
        self._append("metrics.jsonl", json_line(row))

    def traces(self, stage: str, step: int, traces: Sequence[Trace], problems: Sequence[Problem]) -> None:
        """Append what was sampled for `problems`, one line for each trace."""
        pairs = zip(traces, problems, strict=True)
        self._append(f"traces-{stage}.jsonl", b"".join(json_line(trace_line(stage, step, t, p)) for t, p in pairs))

    def commit_checkpoint(self, step: int, write: Callable[[Path], None], keep: int = 1) -> None:
        """Let `write` fill a folder, make it the checkpoint of `step`, and prune all but the newest `keep`.

        Append the events of `step` before: they belong to this checkpoint.  At every instant a complete checkpoint
        exists: the new one gets its name only when it is wholly on the disk, and only then do older ones go.

        Raises:
            RunError: the disk is full, or another process writes this run.
        """
        self._own()
        folder = self.path / "checkpoints"
        for stale in folder.glob(".*"):
            shutil.rmtree(stale, ignore_errors=True)
        with disk(folder / f"step-{step:06d}"):
            for file in self._appending.values():
                os.fsync(file.fileno())
            temporary = folder / f".writing-{step:06d}"
            temporary.mkdir()
            write(temporary)
            write_json(temporary / "history.json", self._lengths())
            sync_tree(temporary)
            temporary.rename(self._free_name(step))
            sync_folder(folder)
        for _, _, old in self._checkpoints()[:-keep]:
            condemned = old.with_name(f".old-{old.name}")
            old.rename(condemned)
            shutil.rmtree(condemned, ignore_errors=True)

    def latest_checkpoint(self) -> tuple[int, Path] | None:
        """Step and folder of the newest complete checkpoint."""
        found = self._checkpoints()
        return (found[-1][0], found[-1][2]) if found else None

    def truncate_after(self, step: int) -> None:
        """Cut the history back to the checkpoint of `step` (0 without a checkpoint: to nothing).

        Raises:
            RunError: there is no checkpoint of that step, or another process writes this run.
        """
        self._own()
        marks: Mapping[str, int] = {}
        found = [path for at, _, path in self._checkpoints() if at == step]
        if found:
            marks = _read(found[-1] / "history.json")
        elif step:
            raise RunError(f"{self.path} has no checkpoint of step {step} to go back to")
        self._release_files()
        for path in self._history():
            length = marks.get(path.name, 0)
            if length:
                os.truncate(path, length)
            else:
                path.unlink()

    def finish(self, result: Mapping[str, Any], report: Report = lambda run, result: None) -> None:
        """Turn the traces into Parquet files, let `report` write what is made of the result, then write result.json.

        `report` is given the result as it will be read.  The file comes last, since a run that has it is never taken up
        again; all that comes before can be done anew.

        Raises:
            RunError: the disk is full; there is no result.json then, and no trace is lost.
        """
        self._own()
        self._release_files()
        for path in sorted(self.path.glob("traces-*.jsonl")):
            with disk(path):
                compact(path)
        report(self, json.loads(json.dumps(finite(result))))
        write_json(self.path / "result.json", result)

    def discard_if_empty(self) -> None:
        """Remove the folder of a run that has recorded nothing, such as one whose settings were refused.

        With it go the folders around it that were made for it, unless something else is in them by now.
        """
        if not self._history() and not self._checkpoints():
            self.close()
            shutil.rmtree(self.path, ignore_errors=True)
            with suppress(OSError):
                for folder in self._made:
                    folder.rmdir()

    def close(self) -> None:
        """Release the files and the lock."""
        self._release_files()
        if self._lock:
            self._lock.close()
            self._lock = None

    def _own(self) -> None:
        self._lock = self._lock or own_folder(self.path, "start a run of another --name")

    def _append(self, name: str, line: bytes) -> None:
        self._own()
        path = self.path / name
        with disk(path):
            if name not in self._appending:
                self._appending[name] = open(path, "ab", buffering=0)  # noqa: SIM115 - kept open, see `_release_files`
            written = self._appending[name].write(line)
            if written != len(line):  # an almost full disk takes a part; asking for the rest raises ENOSPC
                self._appending[name].write(line[written:])

    def _release_files(self) -> None:
        for file in self._appending.values():
            file.close()
        self._appending.clear()

    def _history(self) -> list[Path]:
        return [*self.path.glob("metrics.jsonl"), *sorted(self.path.glob("traces-*.jsonl"))]

    def _lengths(self) -> dict[str, int]:
        return {path.name: path.stat().st_size for path in self._history()}

    def _checkpoints(self) -> list[tuple[int, int, Path]]:
        """(step, revision, folder), oldest first."""
        matches = ((_CHECKPOINT.fullmatch(path.name), path) for path in (self.path / "checkpoints").glob("step-*"))
        return sorted((int(match[1]), int(match[2] or 0), path) for match, path in matches if match)

    def _free_name(self, step: int) -> Path:
        """A second checkpoint of one step gets a revision: replacing the first would leave an instant without any."""
        revisions = [revision for at, revision, _ in self._checkpoints() if at == step]
        suffix = f".{max(revisions) + 1}" if revisions else ""
        return self.path / "checkpoints" / f"step-{step:06d}{suffix}"


def _about(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "settings": dict(settings),
        "versions": machine.versions(),
        "commit": machine.commit(),
        "machine": machine.machine(),
    }


def _verb(settings: Mapping[str, Any]) -> str:
    """What settings say; of the others, only rounds of search and learning have rounds."""
    return str(settings.get("verb") or ("improve" if "rounds" in settings else "learn"))


def _default_names(settings: Mapping[str, Any]) -> Iterator[str]:
    how = "method" if _verb(settings) == "improve" else "objective"
    parts = (str(settings.get(key) or "").partition(":")[0] for key in ("task", "policy", how))
    base = "-".join(re.sub(r"[^\w.+]+", "-", part) for part in parts if part) or "run"
    return (f"{base}-{i}" for i in itertools.count(1))


def _read(path: Path) -> dict[str, Any]:
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}); expected the JSON that Trivium wrote") from error
    return data
