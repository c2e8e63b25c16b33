"""What the pages ask for, as plain data: the same answers for a server and for an exported file."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from trivium import __version__
from trivium.errors import UserError
from trivium.store import Run
from trivium.view.builder import Builder
from trivium.view.claims import Claims
from trivium.view.found import Card, Found, Kind, is_file, locked, read_comparison
from trivium.view.index import TraceIndex
from trivium.view.metrics import Metrics
from trivium.view.pieces import add_pieces
from trivium.view.queries import SHOWN, SORTS, STATUSES, Filter, Place, Queries, excerpt, place_of
from trivium.view.shape import shaped, whole_node
from trivium.view.sources import Line, Source, source_of, sources_in

MOST_ROWS = 500
PATIENCE = 0.25
"""Seconds that an answer waits for the index: a small run is whole at once, a big one comes as far as it is."""
LISTED = (
    "stage", "step", "question_id", "question", "answer", "status", "score", "level", "tokens", "finish", "nodes",
    "method", "budget", "seed", "response",
)  # fmt: skip
_WHOLE_ONLY = ("method", "budget", "seed")
Params = Mapping[str, str]
Answer = dict[str, Any]


class NotFound(Exception):
    """There is no such thing (any more); `str()` is a sentence."""


class Refused(Exception):
    """A question that means nothing; `str()` is a sentence."""


@dataclass(slots=True)
class Library:
    """Runs, comparisons and claims, and an index for the traces of each; safe from any thread."""

    found: Found
    claims: Claims
    cache: Path
    builder: Builder = field(init=False)
    queries: Queries = field(init=False, default_factory=Queries)
    _indexes: dict[Path, TraceIndex] = field(init=False, default_factory=dict)
    _metrics: dict[Path, Metrics] = field(init=False, default_factory=dict)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.builder = Builder(self.cache)

    def close(self) -> None:
        self.builder.stop()
        self.queries.close()

    def overview(self, live: bool = True) -> Answer:
        """Everything there is, without what is in it; how many traces a file has is what there is to say of it."""
        paths = self.found.all("run")
        for index in [self._index("run", path) for path in paths.values() if is_file(path)]:
            self.builder.settle(index, PATIENCE)
        runs = [{**card, "traces": self._counted(paths.get(card["id"]))} for card in self.found.run_cards()]
        return {
            "live": live, "version": __version__, "runs": runs, "comparisons": self.found.comparison_cards(),
            "claims": self.claims.counts(),
        }  # fmt: skip

    def run(self, name: str) -> Answer:
        """A run's settings, result, series and stages; a file of traces has the stages alone."""
        path = self._path("run", name)
        card = self.found.run_card(name, path, locked())
        settings, made, result = _about(path)
        events = self.metrics(path).update()
        index = self._index("run", path)
        self.builder.settle(index, PATIENCE)
        return {
            "card": {**card, "traces": self._counted(path)}, "settings": settings, "made": made, "result": result,
            "series": events.series(), "stages": self._asked(index, self.queries.stages, index.snapshot),
        }  # fmt: skip

    def comparison(self, name: str) -> Answer:
        """A comparison as it was written, and whether its traces are kept."""
        path = self._path("comparison", name)
        try:
            found = read_comparison(path)
        except (UserError, OSError) as error:
            raise NotFound(str(error)) from error
        index = self._index("comparison", path)
        self.builder.settle(index, PATIENCE)
        return {**found, "traces": self._counted(path) or (None if self.builder.building(index) else 0)}

    def progress(self, kind: Kind, name: str) -> Answer:
        """How far the index of traces is."""
        index = self._index(kind, self._path(kind, name), want=False)
        building = self.builder.building(index)
        state = "building" if building else "ready" if index.wanted else "none"
        answer: Answer = {"state": state, "done": index.done(), "of": index.total}
        return answer | ({"note": note} if (note := _note(index)) else {})

    def traces(self, kind: Kind, name: str, params: Params) -> Answer:
        """The traces that pass a filter, a page of them."""
        page = Page.of(params)
        index = self._index(kind, self._path(kind, name))
        self.builder.settle(index, PATIENCE)
        answer: Answer = self._asked(index, self._page, index, page)
        if self.builder.building(index):
            answer["building"] = {"done": index.done(), "of": index.total}
        return answer | ({"note": note} if (note := _note(index)) else {})

    def trace(self, kind: Kind, name: str, n: str) -> Answer:
        """One trace, whole."""
        path = self._path(kind, name)
        row, line = self._line(kind, path, n)
        trace = line.pop("trace")
        method = str(line.get("method") or "") or _searching(path, kind, n)
        before, after = row.pop("beside")
        about = {key: value for key, value in line.items() if key != "cell_seconds"}
        found = shaped(trace, method)
        add_pieces(found["trace"]["nodes"], path)
        return {**about, **row, "prev": before, "next": after, **found}

    def node(self, kind: Kind, name: str, n: str, m: str) -> Answer:
        """One node of a trace, whole."""
        path = self._path(kind, name)
        _, line = self._line(kind, path, n)
        node = whole_node(line["trace"], int(m)) if m.isascii() and m.isdecimal() and len(m) < 10 else None
        if node is None:
            raise NotFound(f"trace {n} has no node {m}; it has {len(line['trace']['nodes'])}, counted from 0")
        add_pieces([node], path)
        return node

    def finish(self, kind: Kind, name: str) -> None:
        """Wait until all traces are indexed."""
        self.builder.finish(self._index(kind, self._path(kind, name)))

    def spread(self, kind: Kind, name: str, most: int) -> tuple[list[Answer], int]:
        """Rows of at most so many traces, as many of each file and evenly from its beginning to its end; and how many
        traces there are.
        """
        index = self._index(kind, self._path(kind, name))
        snapshot = index.snapshot
        matches = self.queries.matches(index, snapshot, Filter())
        total, places = matches.places(None, "order", False, 0, len(matches.row))
        by_file: dict[str, list[Place]] = {}
        for place in places:
            by_file.setdefault(place[0], []).append(place)
        shares = shared(most, [len(found) for found in by_file.values()])
        chosen = [
            found[i * len(found) // share]
            for found, share in zip(by_file.values(), shares, strict=True)
            for i in range(share)
        ]
        return [_listed(row, "") for row in self.queries.rows(snapshot, chosen, LISTED)], total

    def paper(self, slug: str) -> Answer:
        """All verdicts on the claims of one paper."""
        found = self.claims.paper(slug)
        if found is None:
            raise NotFound(f"there is no paper {slug!r}; all are listed under Claims")
        return found

    def metrics(self, path: Path) -> Metrics:
        """The events of a run's folder."""
        with self._lock:
            return self._metrics.setdefault(path, Metrics(path / "metrics.jsonl"))

    def path(self, name: str) -> Path:
        """The folder of a run, or a file of traces.  Raises NotFound."""
        return self._path("run", name)

    def _path(self, kind: Kind, name: str) -> Path:
        path = self.found.find(kind, name)
        if path is None:
            raise NotFound(f"there is no {kind} {name!r} here (any more); go back to the list of {kind}s")
        return path

    def _index(self, kind: Kind, path: Path, want: bool = True) -> TraceIndex:
        with self._lock:
            index = self._indexes.get(path)
            if index is None:
                sources = self._sources_of_run(path) if kind == "run" else lambda: sources_in(path / "cells", "*")
                index = self._indexes[path] = TraceIndex(sources, self.cache)
        if want:
            self.builder.want(index)
        return index

    def _sources_of_run(self, path: Path) -> Callable[[], Sequence[Source]]:
        def find() -> Sequence[Source]:
            if is_file(path):
                return [source_of(path)]
            order = list(dict.fromkeys(re.sub(r"-\d+", "", stage) for stage in self.metrics(path).update().stages))
            found = sources_in(path)
            return sorted(found, key=lambda s: (order.index(s.label) if s.label in order else len(order), s.label))

        return find

    def _counted(self, path: Path | None) -> int | None:
        """How many traces a run has, where they are all indexed."""
        index = self._indexes.get(path) if path is not None else None
        if index is None or not index.wanted or self.builder.building(index):
            return None
        return index.traces()

    def _page(self, index: TraceIndex, page: Page) -> Answer:
        snapshot = index.snapshot
        matches = self.queries.matches(index, snapshot, page.filter)
        total, places = matches.places(page.status, page.sort, page.descending, page.offset, page.limit)
        rows = self.queries.rows(snapshot, places, LISTED)
        return {"total": total, "rows": [_listed(row, page.filter.q) for row in rows], "counts": matches.counts()}

    def _line(self, kind: Kind, path: Path, n: str) -> tuple[Answer, Line]:
        """A trace's row of the index, and its line in the file."""
        place = place_of(n)
        index = self._index(kind, path)
        if place is not None:
            for patience in (PATIENCE, 10 * PATIENCE):
                self.builder.settle(index, patience)
                found: tuple[Answer, Line] | None = self._asked(index, self._loaded, index, n)
                if found is not None:
                    return found
                index.doubted = True  # the file was cut back just now, and what is indexed is no longer true
                self.builder.want(index)
        building = " yet; they are still being indexed" if self.builder.building(index) else " (any more)"
        raise NotFound(f"there is no trace {n!r} here{building}; go back to the list of traces")

    def _loaded(self, index: TraceIndex, n: str) -> tuple[Answer, Line] | None:
        snapshot, place = index.snapshot, place_of(n)
        if place is None or (chain := snapshot.chain(place[0])) is None:
            return None
        rows = self.queries.rows(snapshot, [place], ("position", "length", "question_id", "step", "tokens", "nodes"))
        if not rows:
            return None
        [row] = rows
        line = chain.source.load(row.pop("position"), row.pop("length"))
        if line is None or any(not _same(line.get(name), row[name]) for name in ("question_id", "step")):
            return None
        return {**row, "beside": self.queries.beside(snapshot, place)}, line

    def _asked(self, index: TraceIndex, ask: Callable[..., Any], *about: Any) -> Any:
        """An answer from the index; asked once more where a file went away meanwhile."""
        try:
            return ask(*about)
        except (duckdb.Error, OSError):
            index.doubted = True
            self.builder.want(index)
            self.builder.settle(index, 10 * PATIENCE)
        try:
            return ask(*(index.snapshot if about == (before,) else before for before in about))
        except (duckdb.Error, OSError) as error:
            raise NotFound(f"the traces cannot be read just now ({error}); try again") from error


@dataclass(frozen=True, slots=True)
class Page:
    """A question for traces."""

    filter: Filter
    status: str | None
    sort: str
    descending: bool
    offset: int
    limit: int

    @classmethod
    def of(cls, params: Params) -> Page:
        """Raises Refused for a value that means nothing."""
        wanted = Filter(
            stage=params.get("stage") or None, step=_whole(params, "step"), step_to=_whole(params, "step_to"),
            level=_whole(params, "level"), question=params.get("question") or None,
            method=params.get("method") or None, budget=_number(params, "budget"), seed=_whole(params, "seed"),
            q=params.get("q", ""),
        )  # fmt: skip
        status = params.get("status") or None
        if status is not None and status not in STATUSES:
            raise Refused(f"status={status}: expected one of {', '.join(STATUSES)}")
        sort = params.get("sort") or "order"
        if sort not in SORTS:
            raise Refused(f"sort={sort}: expected one of {', '.join(SORTS)}")
        limit = _whole(params, "limit")
        return cls(
            wanted, status, sort,
            params.get("descending", "0") not in ("", "0", "false"), max(0, _whole(params, "offset") or 0),
            min(MOST_ROWS, max(0, 100 if limit is None else limit)),
        )  # fmt: skip


def shared(most: int, sizes: Sequence[int]) -> list[int]:
    """How much of each size fits in `most` together, as evenly as the small ones allow."""
    shares = [0] * len(sizes)
    left = most
    for rank, i in enumerate(sorted(range(len(sizes)), key=lambda i: sizes[i])):
        shares[i] = min(sizes[i], left // (len(sizes) - rank))
        left -= shares[i]
    return shares


def _whole(params: Params, name: str) -> int | None:
    given = params.get(name) or None
    if given is None:
        return None
    if not re.fullmatch(r"-?[0-9]{1,18}", given):
        raise Refused(f"{name}={given[:40]}: expected a whole number")
    return int(given)


def _number(params: Params, name: str) -> float | None:
    given = params.get(name) or None
    try:
        return None if given is None else float(given)
    except ValueError:
        raise Refused(f"{name}={given[:40] if given else ''}: expected a number") from None


def _listed(row: dict[str, Any], q: str) -> Answer:
    """A row of a list: short texts, and where something was searched, its surroundings."""
    found = excerpt(row, q) if q else ""
    row.pop("response")
    shown = {**row, "question": (row["question"] or "")[:SHOWN], "excerpt": found}
    return shown if row["method"] is not None else {k: v for k, v in shown.items() if k not in _WHOLE_ONLY}


def _same(written: Any, indexed: Any) -> bool:
    """Whether a value is what the index holds of it; what a column cannot hold is nothing there."""
    return indexed is None or str(written).encode(errors="replace").decode() == str(indexed)


def _note(index: TraceIndex) -> str:
    lost = index.unread()
    unread = f"{lost} {'line is' if lost == 1 else 'lines are'} no trace and left out" if lost else ""
    return "; ".join(filter(None, (index.note, unread)))


def _about(path: Path) -> tuple[Card, Card, Card | None]:
    """Settings, origin and result of a run, as far as they can be read: the card says what is wrong."""
    run = Run(path)
    try:
        about = run.about
        settings = about.get("settings") if isinstance(about, dict) else None
    except (UserError, OSError):
        about, settings = {}, None
    made = {key: about.get(key) for key in ("versions", "commit", "command", "machine")} if settings else {}
    try:
        result = run.result
    except (UserError, OSError):
        result = None
    return settings if isinstance(settings, dict) else {}, made, result if isinstance(result, dict) else None


def _searching(path: Path, kind: Kind, n: str) -> str:
    """The method that a run of `trivium improve` searched with, for the traces that it made."""
    label = n.rpartition(".")[0]
    if kind == "run" and (label == "search" or label.endswith("-method")):
        return str(_about(path)[0].get("method") or "")
    return ""
