"""An index of traces: what a list, a filter and a search need, so that no page ever reads all of a gigabyte.

The index of one file is a chain of parts.  A part covers a stretch of the file and says what stood at both its ends, so
that a file which was cut back and grew again (a resumed run) or was replaced loses those parts that are no longer true,
and only those.  Parts are immutable: a query sees the chain as it was when it began, whatever is indexed meanwhile.

Long parts are kept as Parquet files below the cache folder, each written elsewhere and renamed.  Their names hold all
that a chain needs, so servers share them without a lock, and a kill leaves at worst a part to be read once more.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from trivium.view.sources import Line, Read, Source, State

FORMAT = 1
"""Of the parts on disk; parts of another format are left alone and pruned when they are old."""
KEPT = 32 << 20
"""Bytes of a growing file that are indexed in memory before they are worth a file: less is read again in 0.2 s."""
GROUP = 8192
HALF = 3600
"""Seconds after which a part that is not finished will never be."""
SCHEMA = pa.schema(
    [
        ("label", pa.string()), ("row", pa.int64()), ("position", pa.int64()), ("length", pa.int64()),
        ("stage", pa.string()), ("step", pa.int64()), ("question_id", pa.string()), ("level", pa.int64()),
        ("split", pa.string()), ("question", pa.string()), ("response", pa.string()), ("answer", pa.string()),
        ("status", pa.string()), ("score", pa.float64()), ("finish", pa.string()), ("tokens", pa.int64()),
        ("nodes", pa.int64()), ("method", pa.string()), ("budget", pa.float64()), ("seed", pa.int64()),
        ("text", pa.string()),
    ]
)  # fmt: skip
"""`text` is what a search looks in, in lower case."""
_NAMES = {"tokens": "sampled_tokens"}
"""Columns that are called otherwise in a trace's line."""
_PART = re.compile(r"(\d+)-(\d+)-(\d+)-(\d+)-([0-9a-f]{16})\.parquet")
_WHOLE = (-(1 << 63), (1 << 63) - 1)


@dataclass(frozen=True, slots=True)
class Part:
    """The index of one stretch of a file; it is in the file `path`, or where there is none in `table`.

    Of its `rows` some may be no `traces`.
    """

    start: int
    end: int
    row: int
    rows: int
    traces: int
    mark: str
    path: Path | None = None
    table: Any = None

    def true_of(self, source: Source) -> bool:
        return self.end <= source.end() and source.mark(self.start, self.end) == self.mark


@dataclass(frozen=True, slots=True)
class Chain:
    """The index of one file: parts without a gap from its beginning on."""

    source: Source
    identity: str
    parts: tuple[Part, ...] = ()
    state: State | None = None
    """Of the file when all of it was indexed; `None` before."""

    @property
    def end(self) -> int:
        return self.parts[-1].end if self.parts else 0

    @property
    def rows(self) -> int:
        return self.parts[-1].row + self.parts[-1].rows if self.parts else 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All chains at one moment, in the order of the files; `version` differs where anything does."""

    version: int = 0
    chains: tuple[Chain, ...] = ()

    def chain(self, label: str) -> Chain | None:
        return next((chain for chain in self.chains if chain.source.label == label), None)


@dataclass(slots=True)
class TraceIndex:
    """The index of all files that `sources` finds, brought up to date by whoever runs `build`."""

    sources: Callable[[], Sequence[Source]]
    cache: Path
    kept: int = KEPT
    note: str = ""
    """What a user should know: that the cache folder cannot be written."""
    snapshot: Snapshot = field(default_factory=Snapshot)
    ready: threading.Event = field(default_factory=threading.Event)
    wanted: bool = False
    total: int = 0
    doubted: bool = False
    """Whether a part could not be read, so that all are to be looked at again."""

    def build(self) -> Iterator[None]:
        """Bring the index up to date, giving way after every block.  One thread at a time."""
        found = self.sources()
        self.total = sum(state[2] for source in found if (state := source.state()))
        known = {chain.source.label: chain for chain in self.snapshot.chains}
        self._publish([self._taken_up(source, known) for source in found])
        self.doubted = False
        for at in range(len(self.snapshot.chains)):
            try:
                for chain in self._followed(self.snapshot.chains[at]):
                    chains = list(self.snapshot.chains)
                    chains[at] = chain
                    self._publish(chains)
                    yield
            except OSError:
                continue  # the file is gone, or was replaced by its Parquet file: the next turn sees what is there
        self.ready.set()

    def traces(self) -> int:
        """How many traces are indexed."""
        return sum(part.traces for chain in self.snapshot.chains for part in chain.parts)

    def unread(self) -> int:
        """How many lines are no traces."""
        return sum(part.rows - part.traces for chain in self.snapshot.chains for part in chain.parts)

    def done(self) -> int:
        """How many of `total` bytes are indexed."""
        shares = ((chain, (chain.source.state() or (0, 0, 0, 0))[2]) for chain in self.snapshot.chains)
        return sum(size if chain.state else min(chain.end, size) for chain, size in shares)

    def _publish(self, chains: Sequence[Chain]) -> None:
        if tuple(chains) != self.snapshot.chains:
            self.snapshot = Snapshot(self.snapshot.version + 1, tuple(chains))

    def _taken_up(self, source: Source, known: Mapping[str, Chain]) -> Chain:
        """What of a file's index is still true, from memory or from the disk."""
        state = source.state()
        before = known.get(source.label)
        try:
            identity = source.identity()
            if before is not None and before.identity == identity and before.source.path == source.path:
                if before.state is not None and before.state == state and not self.doubted:
                    return before
                return Chain(source, identity, _true(before.parts, source))
            return Chain(source, identity, tuple(self._stored(source, identity)))
        except OSError:
            return Chain(source, "")

    def _followed(self, chain: Chain) -> Iterator[Chain]:
        """The chain as it grows to the end of its file."""
        if chain.state is not None:
            return
        source, state = chain.source, chain.source.state()
        for read in source.read(chain.end, chain.rows):
            made = Part(read.start, read.end, chain.rows, read.rows, len(read.traces),
                        source.mark(read.start, read.end), None, table_of(source.label, read))  # fmt: skip
            chain = Chain(source, chain.identity, (*chain.parts, made))
            if made.end - _in_memory(chain.parts)[0].start >= self.kept and not source.lasting:
                chain = self._stored_too(chain)
            yield chain
        if source.lasting:
            chain = self._stored_too(chain)
        yield Chain(source, chain.identity, chain.parts, state)

    def _folder(self, source: Source, identity: str) -> Path:
        name = f"{source.path.resolve()}\n{identity}\n{source.label}".encode(errors="surrogateescape")
        return self.cache / f"{FORMAT}-{hashlib.blake2b(name, digest_size=16).hexdigest()}"

    def _stored(self, source: Source, identity: str) -> list[Part]:
        """The longest chain of parts on disk that the file bears out."""
        folder = self._folder(source, identity)
        try:
            names = os.listdir(folder)
            os.utime(folder)  # in use, so not to be pruned
        except OSError:
            return []
        found: dict[tuple[int, int], Part] = {}
        for name in names:
            if not (matched := _PART.fullmatch(name)):
                continue
            start, end, row, rows = (int(matched[i]) for i in range(1, 5))
            try:
                traces = pq.read_metadata(folder / name).num_rows
            except (pa.ArrowException, OSError):
                traces = -1
            part = Part(start, end, row, rows, traces, matched[5], folder / name)
            if traces < 0 or not part.true_of(source):  # damaged, or of what the file was before it was cut back
                with suppress(OSError):
                    (folder / name).unlink()
            elif (start, row) not in found or found[start, row].end < end:
                found[start, row] = part
        parts: list[Part] = []
        place = (0, 0)
        while place in found and found[place].end > place[0]:
            parts.append(found[place])
            place = (parts[-1].end, parts[-1].row + parts[-1].rows)
        return parts

    def _stored_too(self, chain: Chain) -> Chain:
        """The chain with what it has in memory as one part on disk; as it was where that cannot be written."""
        loose = _in_memory(chain.parts)
        if not loose:
            return chain
        first, last, source = loose[0], loose[-1], chain.source
        mark = source.mark(first.start, last.end)
        rows = sum(part.rows for part in loose)
        folder = self._folder(source, chain.identity)
        path = folder / f"{first.start}-{last.end}-{first.row}-{rows}-{mark}.parquet"
        temporary = folder / f".{os.getpid()}-{path.name}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            try:
                table = pa.concat_tables([part.table for part in loose])
                pq.write_table(table, temporary, row_group_size=GROUP, compression="lz4")
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            self.note = (
                f"the index is kept in memory, because {self.cache} cannot be written ({error.strerror or error})"
            )
            return chain
        kept = chain.parts[: len(chain.parts) - len(loose)]
        made = Part(first.start, last.end, first.row, rows, table.num_rows, mark, path)
        return Chain(source, chain.identity, (*kept, made))


def table_of(label: str, read: Read) -> Any:
    """The index rows of what was read."""
    lines = [line for *_, line, _ in read.traces]
    columns: dict[str, list[Any]] = {
        "label": [label] * len(lines),
        "row": [row for row, *_ in read.traces],
        "position": [position for _, position, *_ in read.traces],
        "length": [length for _, _, length, *_ in read.traces],
        "nodes": [nodes for *_, nodes in read.traces],
    }
    for name in SCHEMA.names:
        if name not in columns and name != "text":
            source = _NAMES.get(name, name)
            columns[name] = [line.get(source) for line in lines]
    columns["text"] = [searched(line) for line in lines]
    try:
        return pa.table(columns, SCHEMA)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):  # written by others than Trivium
        made = {name: [_fitting(SCHEMA.field(name).type, v) for v in values] for name, values in columns.items()}
        return pa.table(made, SCHEMA)


def searched(line: Line) -> str:
    """What a search looks in, in lower case."""
    return "\n".join(str(line.get(name) or "") for name in ("question", "response", "answer")).lower()


def prune(cache: Path, older_than: float) -> None:
    """Remove indexes that nobody used since a time, and what a kill left half written; what cannot be removed stays."""
    for folder in cache.glob("*-*"):
        try:
            for half in folder.glob(".*"):
                if half.stat().st_mtime < time.time() - HALF:
                    half.unlink()
            if folder.stat().st_mtime < older_than:
                for path in folder.iterdir():
                    path.unlink()
                folder.rmdir()
        except OSError:
            continue


def _true(parts: Sequence[Part], source: Source) -> tuple[Part, ...]:
    """The beginning of a chain that the file still bears out."""
    kept: list[Part] = []
    for part in parts:
        if not part.true_of(source) or (part.path is not None and not part.path.exists()):
            break
        kept.append(part)
    return tuple(kept)


def _in_memory(parts: Sequence[Part]) -> Sequence[Part]:
    at = len(parts)
    while at and parts[at - 1].path is None:
        at -= 1
    return parts[at:]


def _fitting(kind: Any, value: Any) -> Any:
    """A value that a column can hold; text for whatever should be text, `None` for what is no number."""
    if value is None:
        return None
    if pa.types.is_string(kind):
        return str(value).encode(errors="replace").decode()
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if pa.types.is_floating(kind):
        try:
            return float(value)
        except OverflowError:
            return None
    return value if isinstance(value, int) and _WHOLE[0] <= value <= _WHOLE[1] else None
