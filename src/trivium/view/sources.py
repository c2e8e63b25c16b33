"""Files of traces as the index reads them: on from where it stopped, and one trace at a time.

A file of lines only grows, until a resumed run cuts it back or it is replaced; a Parquet file never changes.  Both are
read by position: a byte of a file of lines, a row of a Parquet file.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import orjson

BLOCK = 4 << 20
"""Bytes of a file that are read and indexed in one go."""
MARKED = 4096
"""Bytes at either end of a stretch that must be as they were for it to count as unchanged."""
ROWS = 1024
"""Rows of a Parquet file that are read in one go."""

Line = dict[str, Any]
State = tuple[int, int, int, int]
"""Device, inode, size and time of the last change."""


NEEDED = (
    "stage", "step", "question_id", "level", "split", "question", "response", "answer", "status", "score", "finish",
    "sampled_tokens",
)  # fmt: skip
"""Columns of a trace's line that an index holds."""
_TRACE, _NODE = b',"trace":{', b'{"parent":'
"""How Trivium writes the last column, and each node in it: in text the quotes would have backslashes."""


@dataclass(frozen=True, slots=True)
class Read:
    """What was read between two positions: of each trace its row, position and length, the columns and the number of
    nodes; `rows` counts broken lines too, which are no trace.
    """

    start: int
    end: int
    rows: int
    traces: list[tuple[int, int, int, Line, int]]


class Source(Protocol):
    """One file of traces."""

    path: Path
    label: str
    lasting: bool
    """Whether the file will never change again, so that all of its index is worth keeping."""

    def state(self) -> State | None:
        """What changes when the file does; `None` where it is gone."""

    def identity(self) -> str:
        """What stays as long as positions mean the same."""

    def end(self) -> int:
        """The position behind the last trace."""

    def mark(self, start: int, end: int) -> str:
        """What tells whether the stretch between two positions is still what it was."""

    def read(self, start: int, row: int) -> Iterator[Read]:
        """Everything from a position on, whose row is `row`."""

    def load(self, position: int, length: int) -> Line | None:
        """One trace with all its columns; `None` where none is there (any more)."""


@dataclass(slots=True)
class Lines:
    """A file of JSON lines, which may be growing; a torn last line is not read."""

    path: Path
    label: str
    block: int = BLOCK
    lasting: bool = False

    def state(self) -> State | None:
        return _state(self.path)

    def identity(self) -> str:
        found = self.path.stat()
        return f"{found.st_dev}-{found.st_ino}"

    def end(self) -> int:
        return self.path.stat().st_size

    def mark(self, start: int, end: int) -> str:
        with open(self.path, "rb") as file:
            first = os.pread(file.fileno(), min(MARKED, end - start), start)
            last = os.pread(file.fileno(), min(MARKED, end - start), max(start, end - MARKED))
        return hashlib.blake2b(first + last, digest_size=8).hexdigest()

    def read(self, start: int, row: int) -> Iterator[Read]:
        with open(self.path, "rb") as file:
            while block := self._block(file.fileno(), start):
                traces, at, count = [], start, 0
                for line in block.split(b"\n")[:-1]:
                    found = columns_of(line)
                    if found is not None:
                        traces.append((row + count, at, len(line), *found))
                    at, count = at + len(line) + 1, count + 1
                yield Read(start, at, count, traces)
                start, row = at, row + count

    def load(self, position: int, length: int) -> Line | None:
        with open(self.path, "rb") as file:
            return parse(os.pread(file.fileno(), length, position))

    def _block(self, handle: int, start: int) -> bytes:
        """Whole lines from a position on, at least one if there is one."""
        pieces: list[bytes] = []
        while piece := os.pread(handle, self.block, start + sum(map(len, pieces))):
            cut = piece.rfind(b"\n")
            if cut >= 0:
                return b"".join([*pieces, piece[: cut + 1]])
            pieces.append(piece)
        return b""


@dataclass(slots=True)
class Rows:
    """The Parquet file of a finished run."""

    path: Path
    label: str
    lasting: bool = True

    def state(self) -> State | None:
        return _state(self.path)

    def identity(self) -> str:
        return "-".join(map(str, self.state() or ()))

    def end(self) -> int:
        rows: int = self._open().metadata.num_rows
        return rows

    def mark(self, start: int, end: int) -> str:
        return hashlib.blake2b(self.identity().encode(), digest_size=8).hexdigest()

    def read(self, start: int, row: int) -> Iterator[Read]:
        with self._open() as file:
            group, at = 0, 0
            while group < file.num_row_groups and at + file.metadata.row_group(group).num_rows <= start:
                at, group = at + file.metadata.row_group(group).num_rows, group + 1
            for batch in file.iter_batches(ROWS, range(group, file.num_row_groups)):
                if at + batch.num_rows > start:
                    wanted = batch.slice(max(0, start - at))
                    first = max(start, at)
                    found = map(_counted, wanted.to_pylist())
                    traces = [(first + i, first + i, 1, *each) for i, each in enumerate(found) if each is not None]
                    yield Read(first, first + wanted.num_rows, wanted.num_rows, traces)
                at += batch.num_rows

    def load(self, position: int, length: int) -> Line | None:
        with self._open() as file:
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                if position < rows:
                    return self._row(file, group, position)
                position -= rows
        return None

    def _row(self, file: Any, group: int, row: int) -> Line | None:
        # Not the group as a whole: one that DuckDB wrote by default has 122,880 rows.
        for batch in file.iter_batches(ROWS, [group]):
            if row < batch.num_rows:
                return whole(batch.slice(row, 1).to_pylist()[0])
            row -= batch.num_rows
        return None

    def _open(self) -> Any:
        import pyarrow.parquet as pq

        return pq.ParquetFile(self.path, memory_map=True)


def source_of(path: Path) -> Source:
    """A file of traces that stands alone.  Its label goes into addresses, so it is no name that a user chose."""
    return Rows(path, "traces") if path.suffix == ".parquet" else Lines(path, "traces")


def sources_in(folder: Path, pattern: str = "traces-*") -> list[Source]:
    """The files of traces in a run's folder; a Parquet file stands for the lines it was made of."""
    found: dict[str, Source] = {}
    for path in sorted(folder.glob(f"{pattern}.jsonl")):
        found[path.stem] = Lines(path, _label(path))
    for path in sorted(folder.glob(f"{pattern}.parquet")):
        found[path.stem] = Rows(path, _label(path))
    return list(found.values())


def columns_of(line: bytes) -> tuple[Line, int] | None:
    """The columns of a line and how many nodes its trace has; `None` where it is no trace.

    The trace itself, nine tenths of a line, is not read where Trivium wrote the line.
    """
    at = line.find(_TRACE)
    if at >= 0 and line.endswith(b"}}"):
        nodes = line.count(_NODE, at)
        try:
            found = orjson.loads(line[:at] + b"}")
        except ValueError:
            nodes = 0
        if nodes and all(name in found for name in NEEDED):
            return found, nodes
    read = parse(line)
    return None if read is None else (read, len(read["trace"]["nodes"]))


def parse(line: bytes) -> Line | None:
    """A line as a trace with its columns, `None` where it is none.

    What JSON has not but Python writes (NaN, halves of surrogate pairs, integers of any size) is read too.
    """
    try:
        found = orjson.loads(line)
    except ValueError:
        try:
            found = json.loads(line.decode(errors="replace"))
        except (ValueError, RecursionError):
            return None
    return found if _is_trace(found) else None


def whole(row: Line) -> Line | None:
    """A row of a Parquet file with its trace read; `None` where it is none."""
    try:
        found = row | {"trace": orjson.loads(row["trace"])}
    except (ValueError, KeyError, TypeError):
        return None
    return found if _is_trace(found) else None


def _counted(row: Line) -> tuple[Line, int] | None:
    """The columns of a row and how many nodes its trace has; `None` where it is no trace."""
    text = row.get("trace")
    nodes = text.count(_NODE.decode()) if isinstance(text, str) else 0
    if nodes:
        return row, nodes
    read = whole(row)
    return None if read is None else (read, len(read["trace"]["nodes"]))


def _is_trace(found: Any) -> bool:
    trace = found.get("trace") if isinstance(found, Mapping) else None
    return isinstance(trace, Mapping) and isinstance(trace.get("nodes"), list)


def _label(path: Path) -> str:
    return path.stem.removeprefix("traces-")


def _state(path: Path) -> State | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
