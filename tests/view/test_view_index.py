"""The index of traces: equal to a scan of the files whatever happens to them, on disk, in memory and in between."""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from viewed import line, touch, write_lines

from trivium.store.files import json_line
from trivium.store.query import compact
from trivium.types import Verdict
from trivium.view import sources
from trivium.view.index import SCHEMA, TraceIndex, prune
from trivium.view.queries import Filter, Queries
from trivium.view.sources import Lines, columns_of, parse, sources_in

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    [',"trace":{', '{"parent":', '"}}', "\\", "</script>", "ß İ"]
)
VERDICTS = st.sampled_from(
    [None, Verdict.right("2"), Verdict.wrong("3"), Verdict.unparseable(), Verdict.error("broke")]
)


def build(index: TraceIndex) -> TraceIndex:
    for _ in index.build():
        pass
    return index


def rows(index: TraceIndex) -> list[dict[str, Any]]:
    """Everything the index says, in order."""
    queries = Queries()
    snapshot = index.snapshot
    matches = queries.matches(index, snapshot, Filter())
    _, places = matches.places(None, "order", False, 0, 10**6)
    found = queries.rows(snapshot, places, [n for n in SCHEMA.names if n not in ("label", "row")])
    queries.close()
    return found


def scanned(path: Path, label: str) -> list[dict[str, Any]]:
    """What an index of a file of lines should say."""
    found, at = [], 0
    for number, raw in enumerate(path.read_bytes().split(b"\n")[:-1]):
        try:
            read = json.loads(raw)
        except ValueError:
            read = None
        if isinstance(read, dict) and isinstance(read.get("trace"), dict):
            columns = {name: read.get({"tokens": "sampled_tokens"}.get(name, name)) for name in SCHEMA.names}
            text = "\n".join(str(read.get(name) or "") for name in ("question", "response", "answer")).lower()
            found.append(
                {**columns, "n": f"{label}.{number}", "position": at, "length": len(raw), "text": text, "nodes":
                 len(read["trace"]["nodes"])}
            )  # fmt: skip
            del found[-1]["label"], found[-1]["row"]
        at += len(raw) + 1
    return found


JUNK = [b"{}\n", b"[1]\n", b"\n", b'{"a":\n', b"\xff\xfe\n", b"\x00\x00\n"]
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.lists(st.tuples(TEXT, TEXT, VERDICTS), min_size=1, max_size=6)),
        st.tuples(st.just("torn"), st.integers(1, 40)),
        st.tuples(st.just("junk"), st.sampled_from(JUNK)),
        st.tuples(st.just("cut"), st.floats(0, 1)),
        st.tuples(st.just("replace"), st.just(None)),
        st.tuples(st.just("reopen"), st.just(None)),
    ),
    min_size=1,
    max_size=12,
)


@given(CHANGES, st.sampled_from([64, 700, 1 << 20]), st.sampled_from([1, 900, 1 << 20]))
@settings(max_examples=60)
def test_the_index_is_what_a_scan_finds(changes: list[tuple[str, Any]], block: int, kept: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, cache, count = Path(folder, "traces-rl.jsonl"), Path(folder, "cache"), 0
        path.touch()
        index = TraceIndex(lambda: [Lines(path, "rl", block)], cache, kept)
        for what, how in changes:
            data = path.read_bytes()
            whole = data[: data.rfind(b"\n") + 1]
            if what == "append":
                made = [line(count + i, question=q, response=r, verdict=v) for i, (q, r, v) in enumerate(how)]
                count += len(how)
                path.write_bytes(whole + b"".join(map(json_line, made)))
            elif what == "torn":
                path.write_bytes(whole + json_line(line(count))[:how])
            elif what == "junk":
                path.write_bytes(whole + how)
            elif what == "cut":
                with open(path, "rb+") as file:
                    file.truncate(int(how * len(data)))
            elif what == "replace":
                other = path.with_name("other")
                other.write_bytes(whole[whole.find(b"\n") + 1 :])
                other.replace(path)
            else:
                index = TraceIndex(lambda: [Lines(path, "rl", block)], cache, kept)
            touch(path)
            build(index)
            assert rows(index) == scanned(path, "rl")
            assert index.done() == index.total == path.stat().st_size


def test_a_run_that_finishes_keeps_the_names_of_its_traces(tmp_path: Path) -> None:
    path = tmp_path / "traces-rl.jsonl"
    write_lines(path, [line(i, response=f"r{i}", verdict=Verdict.right()) for i in range(3000)])
    index = build(TraceIndex(lambda: sources_in(tmp_path), tmp_path / "cache"))
    before = [{k: v for k, v in row.items() if k not in ("position", "length")} for row in rows(index)]
    compact(path)
    build(index)
    assert [{k: v for k, v in row.items() if k not in ("position", "length")} for row in rows(index)] == before
    [chain] = index.snapshot.chains
    assert all(part.path is not None for part in chain.parts), "what never changes again is kept at once"
    for row in (0, 1024, 2999):
        found = chain.source.load(row, 1)
        assert found is not None
        assert found["response"] == f"r{row}"
        assert found["trace"]["response"] == f"r{row}"
    assert chain.source.load(3000, 1) is None
    again = build(TraceIndex(lambda: sources_in(tmp_path), tmp_path / "cache"))
    assert rows(again) == rows(index)


def test_parts_on_disk_are_read_and_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, cache = tmp_path / "traces-rl.jsonl", tmp_path / "cache"
    write_lines(path, [line(i) for i in range(50)])
    build(TraceIndex(lambda: [Lines(path, "rl", 4096)], cache, 8192))
    parts = sorted(cache.rglob("*.parquet"))
    assert len(parts) > 1
    read: list[int] = []
    monkeypatch.setattr(sources, "columns_of", lambda raw: read.append(1) or columns_of(raw))
    second = build(TraceIndex(lambda: [Lines(path, "rl", 4096)], cache, 8192))
    assert 0 < len(read) < 25, "only what no part covers"
    assert sorted(cache.rglob("*.parquet")) == parts
    assert rows(second) == scanned(path, "rl")


def test_damaged_and_half_written_parts_are_made_again(tmp_path: Path) -> None:
    path, cache = tmp_path / "traces-rl.jsonl", tmp_path / "cache"
    write_lines(path, [line(i) for i in range(50)])
    build(TraceIndex(lambda: [Lines(path, "rl", 4096)], cache, 8192))
    first, *_ = sorted(cache.rglob("*.parquet"), key=lambda p: int(p.name.partition("-")[0]))
    first.write_bytes(first.read_bytes()[:100])
    first.with_name(".1234-half.parquet").write_bytes(b"PAR1")
    assert rows(build(TraceIndex(lambda: [Lines(path, "rl", 4096)], cache, 8192))) == scanned(path, "rl")


def test_two_servers_build_one_index(tmp_path: Path) -> None:
    path, cache = tmp_path / "traces-rl.jsonl", tmp_path / "cache"
    write_lines(path, [line(i) for i in range(60)])
    one, two = (TraceIndex(lambda: [Lines(path, "rl", 4096)], cache, kept) for kept in (8192, 12288))
    steps = [one.build(), two.build()]
    while steps:
        steps = [step for step in steps if next(step, "end") != "end"]
    write_lines(path, [line(i) for i in range(60, 80)], append=True)
    assert rows(build(one)) == rows(build(two)) == scanned(path, "rl")
    assert rows(build(TraceIndex(lambda: [Lines(path, "rl", 4096)], cache, 8192))) == scanned(path, "rl")


@pytest.mark.parametrize("lasting", [False, True])
def test_without_a_cache_folder_the_index_is_in_memory_and_says_so(tmp_path: Path, lasting: bool) -> None:
    path = tmp_path / "traces-rl.jsonl"
    (tmp_path / "cache").write_text("a file where the folder should be")
    write_lines(path, [line(i) for i in range(50)])
    if lasting:
        compact(path)
    index = build(TraceIndex(lambda: sources_in(tmp_path), tmp_path / "cache", 8192 if lasting else 1))
    assert len(rows(index)) == 50
    assert "cannot be written" in index.note


def test_columns_that_others_wrote_are_taken_as_far_as_they_fit(tmp_path: Path) -> None:
    path = tmp_path / "traces-rl.jsonl"
    odd = line(0) | {"step": "seven", "level": True, "score": 10**400, "question": ["a"], "sampled_tokens": 1 << 70}
    text = json.dumps(line(1)).replace('"What is', '"\\ud800 is')
    nan = json.dumps(line(2) | {"score": float("nan")})
    path.write_text(json.dumps(odd) + "\n" + text + "\n" + nan + "\n")
    first, second, third = rows(build(TraceIndex(lambda: sources_in(tmp_path), tmp_path / "cache")))
    assert (first["step"], first["level"], first["score"], first["tokens"]) == (None, None, None, None)
    assert first["question"] == "['a']"
    assert second["question"] == "? is 1 + 1?"
    assert third["score"] is None or third["score"] != third["score"]


@given(TEXT, TEXT, st.integers(1, 5))
def test_the_quick_reading_of_a_line_is_the_full_one(question: str, response: str, nodes: int) -> None:
    made = line(0, question=question, response=response)
    made["trace"]["nodes"] = made["trace"]["nodes"][:1] * nodes
    raw = json_line(made).rstrip(b"\n")
    quick, full = columns_of(raw), parse(raw)
    assert quick is not None
    assert full is not None
    assert quick[1] == nodes
    assert "trace" not in quick[0]
    assert quick[0] == {k: v for k, v in full.items() if k != "trace"}


def test_unused_indexes_are_pruned_and_used_ones_stay(tmp_path: Path) -> None:
    path, cache = tmp_path / "traces-rl.jsonl", tmp_path / "cache"
    write_lines(path, [line(i) for i in range(50)])
    build(TraceIndex(lambda: [Lines(path, "rl", 4096)], cache, 8192))
    used = next(cache.rglob("*.parquet")).parent
    old = cache / "0-old"
    old.mkdir()
    (old / "1.parquet").touch()
    os.utime(old, (1, 1))
    for half, when in ((used / ".1-old.parquet", 1), (used / ".2-new.parquet", time.time())):
        half.touch()
        os.utime(half, (when, when))
    prune(cache, 1000.0)
    assert list(cache.rglob("*.parquet")), "what is in use stays"
    assert not old.exists()
    assert [half.name for half in used.glob(".*")] == [".2-new.parquet"], "another server may be writing it"
