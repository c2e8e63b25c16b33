"""Filters, counts, orders and pages of traces, against the same done by hand."""

from __future__ import annotations

import itertools
import math
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from viewed import line, make_run, write_lines

from trivium.types import Verdict
from trivium.view.index import TraceIndex
from trivium.view.queries import SORTS, STATUSES, Filter, Queries, excerpt, name_of, place_of
from trivium.view.sources import Lines, sources_in

VERDICTS = [
    None,
    Verdict.right(),
    Verdict.wrong(score=0.25),
    Verdict.wrong(),
    Verdict.unparseable(),
    Verdict.error("x"),
]
WORDS = ["abc", "ABC", "a%c", "a_c", "'", '"', "\\", "é", "É", "2", "\n", "", "İstanbul"]


def made(seed: int) -> dict[str, Any]:
    def pick(items: list[Any], k: int) -> Any:
        return items[seed // k % len(items)]

    return line(
        seed, stage=pick(["rl", "after"], 1), step=pick([0, 1, 2, 5], 2), level=pick([0, 1], 3),
        question=pick(WORDS, 1), response=pick(WORDS, 5), answer=pick([None, "2", "abc"], 4), verdict=pick(VERDICTS, 1),
    )  # fmt: skip


def index_of(folder: Path, lines: list[dict[str, Any]]) -> TraceIndex:
    write_lines(folder / "traces-a.jsonl", lines[::2])
    write_lines(folder / "traces-b.jsonl", lines[1::2])
    index = TraceIndex(lambda: [Lines(p, p.stem[-1], 900) for p in sorted(folder.glob("*.jsonl"))], folder / "c", 2000)
    for _ in index.build():
        pass
    return index


def by_hand(lines: list[dict[str, Any]], wanted: Filter) -> list[dict[str, Any]]:
    low = -math.inf if wanted.step is None else wanted.step
    high = wanted.step_to if wanted.step_to is not None else math.inf if wanted.step is None else wanted.step
    return [
        row
        for row in lines
        if wanted.stage in (None, row["stage"])
        and low <= row["step"] <= high
        and wanted.level in (None, row["level"])
        and wanted.question in (None, row["question_id"])
        and wanted.q.lower() in f"{row['question']}\n{row['response']}\n{row['answer'] or ''}".lower()
    ]


@given(
    st.lists(st.integers(0, 10**6).map(made), max_size=40),
    st.builds(
        Filter, stage=st.sampled_from([None, "rl", "after"]), step=st.sampled_from([None, 0, 2]),
        step_to=st.sampled_from([None, 1, 5]), level=st.sampled_from([None, 1]), question=st.sampled_from([None, "q1"]),
        q=st.sampled_from(WORDS),
    ),
    st.sampled_from([None, *STATUSES]), st.sampled_from(SORTS), st.booleans(), st.integers(0, 20), st.integers(0, 20),
)  # fmt: skip
def test_filters_are_those_by_hand(
    lines: list[dict[str, Any]], wanted: Filter, status: str | None, sort: str, down: bool, offset: int, limit: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        index, queries = index_of(Path(folder), lines), Queries()
        matches = queries.matches(index, index.snapshot, wanted)
        total, places = matches.places(status, sort, down, offset, limit)
        rows = queries.rows(index.snapshot, places, ["question_id", "status", "score", "tokens", "response", "step"])
        queries.close()
    expected = by_hand([*lines[::2], *lines[1::2]], wanted)
    counts = {name: sum((row["status"] or "unjudged") == name for row in expected) for name in STATUSES}
    assert matches.counts() == counts
    kept = [row for row in expected if status in (None, row["status"] or "unjudged")]
    column = {"score": "score", "tokens": "sampled_tokens"}.get(sort)
    if column is not None:
        numbers = {id(row): row[column] for row in kept}
        kept.sort(key=lambda row: (numbers[id(row)] is None, (numbers[id(row)] or 0) * (-1 if down else 1)))
    elif down:
        kept.reverse()
    assert total == len(kept)
    shown = [(r["question_id"], r["status"], r["score"], r["tokens"], r["response"], r["step"]) for r in rows]
    assert shown == [
        (r["question_id"], r["status"], r["score"], r["sampled_tokens"], r["response"], r["step"])
        for r in kept[offset : offset + limit]
    ]


def test_every_place_has_a_name_and_no_other_name_is_one() -> None:
    for label, row in itertools.product(["rl", "vote_n=4-512-seed0", "a.b"], [0, 12]):
        assert place_of(name_of((label, row))) == (label, row)
    for name in ("rl", "rl.", "rl.-1", "rl.x", "rl.1.", "rl.٣", "rl." + "9" * 30, ""):
        assert place_of(name) is None


def test_neighbours_step_over_lines_that_are_no_traces(tmp_path: Path) -> None:
    path = tmp_path / "traces-rl.jsonl"
    write_lines(path, [line(0), {}, {}, line(1), line(2)])
    index, queries = TraceIndex(lambda: sources_in(tmp_path), tmp_path / "cache"), Queries()
    for _ in index.build():
        pass
    assert queries.beside(index.snapshot, ("rl", 3)) == ("rl.0", "rl.4")
    assert queries.beside(index.snapshot, ("rl", 0)) == (None, "rl.3")
    assert queries.beside(index.snapshot, ("rl", 4)) == ("rl.3", None)
    assert queries.beside(index.snapshot, ("none", 4)) == (None, None)


def test_stages_have_their_steps_and_counts(tmp_path: Path) -> None:
    folder = make_run(tmp_path, lines={"rl": [line(i) for i in (3, 4, 9)], "after": [line(0, stage="after")]})
    index, queries = TraceIndex(lambda: sources_in(folder), tmp_path / "cache"), Queries()
    assert queries.stages(index.snapshot) == []
    for _ in index.build():
        pass
    assert queries.stages(index.snapshot) == [
        {"stage": "after", "steps": [0, 0], "traces": 1},
        {"stage": "rl", "steps": [3, 9], "traces": 3},
    ]


def test_an_excerpt_shows_what_was_searched_for() -> None:
    row = {"question": "no", "response": "x" * 200 + "NEEDLE" + "y" * 200, "answer": None}
    found = excerpt(row, "needle")
    assert "NEEDLE" in found
    assert found.startswith("…x")
    assert found.endswith("y…")
    assert excerpt({"question": "Needle?", "response": "", "answer": "1"}, "needle?") == "Needle?"
    assert excerpt({"question": "", "response": None, "answer": "1"}, "needle") == ""
