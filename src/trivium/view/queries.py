"""Filter, search, sort and count over an index of traces, by DuckDB.

A filter is answered by one scan, which finds places alone (the ordinal of the file, the row); the last few answers are
kept, so that scrolling, sorting and another verdict cost nothing.  The rows of a page are then read from the parts that
hold them.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from trivium.view.index import SCHEMA, Chain, Part, Snapshot, TraceIndex

STATUSES = ("correct", "wrong", "unparseable", "error", "unjudged")
SORTS = ("order", "score", "tokens")
KEPT = 8
"""Answers of filters that are remembered."""
SHOWN = 300
AROUND = 80
"""Characters of a question in a list, and on each side of what was searched for."""
_NO_ROWS = SCHEMA.empty_table()
Place = tuple[str, int]
"""The label of a file, and a row of it."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which traces; `None` and an empty `q` are no condition.  Without `step_to`, `step` is that step alone."""

    stage: str | None = None
    step: int | None = None
    step_to: int | None = None
    level: int | None = None
    question: str | None = None
    method: str | None = None
    budget: float | None = None
    seed: int | None = None
    q: str = ""

    def sql(self) -> tuple[str, list[Any]]:
        """A condition and its parameters."""
        parts, values = ["true"], list[Any]()
        named = {"stage": self.stage, "level": self.level, "question_id": self.question, "method": self.method,
                 "budget": self.budget, "seed": self.seed}  # fmt: skip
        for column, value in named.items():
            if value is not None:
                parts.append(f"{column} = ?")
                values.append(value)
        if self.step_to is not None:
            parts.append("step BETWEEN ? AND ?")
            values += [-(1 << 62) if self.step is None else self.step, self.step_to]
        elif self.step is not None:
            parts.append("step = ?")
            values.append(self.step)
        if self.q:
            parts.append("contains(text, ?)")
            values.append(self.q.lower().encode(errors="replace").decode())
        return " AND ".join(parts), values


@dataclass(frozen=True, slots=True)
class Matches:
    """All traces of a filter, in order, as columns: ordinals of files, rows, statuses, scores and tokens."""

    labels: tuple[str, ...]
    at: Any
    row: Any
    status: Any
    score: Any
    tokens: Any

    def counts(self) -> dict[str, int]:
        counted = np.bincount(self.status, minlength=len(STATUSES))
        return {name: int(counted[i]) for i, name in enumerate(STATUSES)}

    def places(
        self, status: str | None, sort: str, descending: bool, offset: int, limit: int
    ) -> tuple[int, list[Place]]:
        """How many there are of a status, and those of one page."""
        chosen = np.arange(len(self.row)) if status is None else np.flatnonzero(self.status == STATUSES.index(status))
        if sort != "order":
            # Stable, so equals stay in order; what has no number comes last either way.
            key = (self.score if sort == "score" else self.tokens)[chosen]
            chosen = chosen[np.argsort(-key if descending else key, kind="stable")]
        elif descending:
            chosen = chosen[::-1]
        page = chosen[offset : offset + limit]
        return len(chosen), [(self.labels[self.at[i]], int(self.row[i])) for i in page]


class Queries:
    """One DuckDB for all indexes of a server; safe from any thread."""

    def __init__(self) -> None:
        self._db = duckdb.connect(":memory:")
        self._db.execute("SET autoinstall_known_extensions = false")
        self._known: OrderedDict[tuple[int, int, Filter], Matches] = OrderedDict()
        self._lock = threading.Lock()

    def close(self) -> None:
        self._db.close()

    def matches(self, index: TraceIndex, snapshot: Snapshot, wanted: Filter) -> Matches:
        """Every trace that passes a filter."""
        key = (id(index), snapshot.version, wanted)
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        found = self._scan(snapshot, wanted)
        with self._lock:
            self._known[key] = found
            while len(self._known) > KEPT:
                self._known.popitem(last=False)
        return found

    def rows(self, snapshot: Snapshot, places: Sequence[Place], columns: Iterable[str]) -> list[dict[str, Any]]:
        """The traces at some places, in that order; one that is no longer there is left out."""
        by_label: dict[str, list[int]] = {}
        for label, row in places:
            by_label.setdefault(label, []).append(row)
        parts, conditions, values = list[Part](), list[str](), list[Any]()
        for label, rows in by_label.items():
            chain = snapshot.chain(label)
            if chain is not None:
                parts += _holding(chain, rows)
                conditions.append("(label = ? AND list_contains(?::BIGINT[], row))")
                values += [label, rows]
        if not parts:
            return []
        names = ("label", "row", *columns)
        found = self._select(parts, f"SELECT {', '.join(names)}", " OR ".join(conditions), values)
        made = {row[:2]: dict(zip(names[2:], row[2:], strict=True)) for row in found.fetchall()}
        return [{"n": name_of(place)} | made[place] for place in places if place in made]

    def beside(self, snapshot: Snapshot, place: Place) -> tuple[str | None, str | None]:
        """The names of the traces before and after one, in its file."""
        label, row = place
        chain = snapshot.chain(label)
        if chain is None:
            return None, None
        near = [*range(max(0, row - 64), row), *range(row + 1, row + 65)]
        found = self._select(_holding(chain, near), "SELECT max(row) FILTER (row < ?), min(row) FILTER (row > ?)",
                             "row BETWEEN ? AND ?", [row - 64, row + 64], [row, row]).fetchone()  # fmt: skip
        before, after = found or (None, None)
        return (None if before is None else name_of((label, before))), (
            None if after is None else name_of((label, after))
        )

    def stages(self, snapshot: Snapshot) -> list[dict[str, Any]]:
        """The stages there are traces of, in order."""
        parts = [part for chain in snapshot.chains for part in chain.parts]
        if not parts:
            return []
        order = [chain.source.label for chain in snapshot.chains]
        select = "SELECT stage, min(step), max(step), count(*), min(list_position(?, label)) AS place"
        found = self._select(parts, select, "true", [], [order], " GROUP BY stage ORDER BY place, min(step), stage")
        return [{"stage": s, "steps": [a, b], "traces": n} for s, a, b, n, _ in found.fetchall()]

    def _scan(self, snapshot: Snapshot, wanted: Filter) -> Matches:
        labels = tuple(chain.source.label for chain in snapshot.chains)
        parts = [part for chain in snapshot.chains for part in chain.parts]
        if not parts:
            none = np.zeros(0, np.int64)
            return Matches(labels, none, none, none, none.astype(float), none.astype(float))
        condition, values = wanted.sql()
        cases = " ".join(f"WHEN '{name}' THEN {i}" for i, name in enumerate(STATUSES))
        select = (
            "SELECT list_position(?, label) - 1 AS place, row, "
            f"CASE status {cases} ELSE {len(STATUSES) - 1} END AS status, "
            "coalesce(score, 'nan'::DOUBLE) AS score, coalesce(tokens::DOUBLE, 'nan'::DOUBLE) AS tokens"
        )
        found = self._select(parts, select, condition, values, [list(labels)]).fetchnumpy()
        order = np.lexsort((found["row"], found["place"]))
        columns = (np.asarray(found[name])[order] for name in ("place", "row", "status", "score", "tokens"))
        return Matches(labels, *columns)

    def _select(
        self,
        parts: Sequence[Part],
        select: str,
        condition: str,
        values: Sequence[Any],
        selected: Sequence[Any] = (),
        rest: str = "",
    ) -> Any:
        """Run a query over parts; `selected` are the parameters of its SELECT."""
        cursor = self._db.cursor()
        loose = [part.table for part in parts if part.path is None]
        paths = [str(part.path) for part in parts if part.path is not None]
        cursor.register("loose", pa.concat_tables(loose) if loose else _NO_ROWS)
        source = "SELECT * FROM loose"
        stored: list[Any] = []
        if paths:
            source = f"SELECT * FROM read_parquet(?) UNION ALL {source}"
            stored = [paths]
        # The order of parameters is that of their places in the text.
        return cursor.execute(f"{select} FROM ({source}) WHERE {condition}{rest}", [*selected, *stored, *values])


def name_of(place: Place) -> str:
    """`rl.12`, as addresses and answers write a place."""
    return f"{place[0]}.{place[1]}"


def place_of(name: str) -> Place | None:
    """The place that a name stands for, if it can be one."""
    label, dot, row = name.rpartition(".")
    return (label, int(row)) if dot and row.isascii() and row.isdecimal() and len(row) < 19 else None


def excerpt(row: Mapping[str, Any], q: str) -> str:
    """The surroundings of what was searched for, in the first text that has it."""
    for name in ("response", "question", "answer"):
        text = row[name] or ""
        at = text.lower().find(q.lower())
        if at >= 0:
            start, end = max(0, at - AROUND), at + len(q) + AROUND
            return f"{'…' if start else ''}{text[start:end]}{'…' if end < len(text) else ''}"
    return ""


def _holding(chain: Chain, rows: Sequence[int]) -> list[Part]:
    """The parts of a chain that some rows are in."""
    if not rows:
        return []
    low, high = min(rows), max(rows)
    near = (part for part in chain.parts if part.row <= high and part.row + part.rows > low)
    return [part for part in near if any(part.row <= row < part.row + part.rows for row in rows)]
