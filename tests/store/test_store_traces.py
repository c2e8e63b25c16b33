"""A trace survives JSON exactly, whatever its shape."""

from __future__ import annotations

import gc
import json
import math
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trivium.errors import DataError, UserError
from trivium.store import load_traces, trace_from_json, trace_to_json
from trivium.store.files import json_line
from trivium.store.query import compact
from trivium.store.traces import trace_line
from trivium.types import Node, Problem, Question, Segment, Trace, Usage, Verdict

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
VERDICTS = st.one_of(
    st.none(),
    st.builds(Verdict.error, st.text(max_size=9)),
    st.builds(Verdict.unparseable, st.text(max_size=9)),
    st.builds(lambda a, s: Verdict("wrong", s, {"steps": s}, a, "why"), st.text(max_size=9), st.floats(0, 1)),
)


@st.composite
def segments(draw: st.DrawFn) -> Segment:
    ids = tuple(draw(st.lists(st.integers(0, 60000), max_size=4)))
    logprobs = tuple(draw(st.lists(NUMBERS, min_size=len(ids), max_size=len(ids)))) if draw(st.booleans()) else ()
    source = draw(st.sampled_from(["prompt", "model", "tool", "environment"]))
    return Segment(source, ids, logprobs, draw(st.text(max_size=20)), "v1")


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    trace = Trace(draw(st.text(max_size=9)))
    for i in range(draw(st.integers(0, 4))):
        node = trace.add(-1 if i == 0 else draw(st.integers(0, i - 1)), draw(segments()), draw(st.text(max_size=5)))
        trace.nodes[node].visits = draw(st.integers(0, 9))
        trace.nodes[node].value = draw(st.none() | NUMBERS)
        trace.nodes[node].score = draw(st.none() | NUMBERS)
        trace.answer_node = node
    trace.answer, trace.response = draw(st.none() | st.text(max_size=9)), draw(st.text(max_size=30))
    trace.finish = draw(st.sampled_from(["stop", "length", "budget", "error"]))
    trace.usage = Usage(prompt_tokens=draw(st.integers(0, 9)), seconds=draw(NUMBERS))
    trace.verdict, trace.error = draw(VERDICTS), draw(st.text(max_size=9))
    return trace


@given(traces())
def test_trace_survives_json(trace: Trace) -> None:
    assert trace_from_json(json.loads(json.dumps(trace_to_json(trace)))) == trace


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(traces(), min_size=1, max_size=3))
def test_traces_come_back_whole_from_lines_and_from_parquet(tmp_path_factory, found: list[Trace]) -> None:
    problem = Problem(Question("q", ()), 1, "1", "k", "train", "toy")
    path = tmp_path_factory.mktemp("traces") / "traces-x.jsonl"
    path.write_bytes(b"".join(json_line(trace_line("x", i, t, problem)) for i, t in enumerate(found)) + b'{"torn')
    rows = list(load_traces(path))
    assert [trace for _, trace in rows] == found
    assert [row["step"] for row, _ in rows] == list(range(len(found)))
    path.write_bytes(b"".join(json_line(trace_line("x", i, t, problem)) for i, t in enumerate(found)))
    compact(path)
    assert [trace for _, trace in load_traces(path.with_suffix(".parquet"))] == found


def test_what_is_no_trace_is_named(tmp_path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        list(load_traces(tmp_path / "none.jsonl"))
    path = tmp_path / "t.jsonl"
    path.write_text('{"stage": "x"}\n')
    with pytest.raises(DataError, match="row 1, field trace"):
        list(load_traces(path))
    (tmp_path / "t.parquet").write_text("no")
    with pytest.raises(DataError, match="is no Parquet file"):
        list(load_traces(tmp_path / "t.parquet"))


def test_a_large_tree_is_the_same_after_the_file(tmp_path: Path) -> None:
    problem = Problem(Question("q", (), "number"), 7, "7", "k", "train", "toy")
    trace = Trace("q", usage=Usage(sampled_tokens=9_000), verdict=Verdict.right("7"))
    trace.add(-1, Segment("prompt", (1, 2, 3), (), "?", "v1"))
    for i in range(1, 3_000):
        trace.nodes.append(Node(i // 3, Segment("model", (i, 5), (-i / 7, -0.5), f"{i}\n", "v1"), i % 9, i / 13))
    path = tmp_path / "traces.jsonl"
    path.write_bytes(json_line(trace_line("solve", 0, trace, problem)))
    collecting = gc.isenabled()
    [(row, loaded)] = load_traces(path)
    assert loaded == trace
    assert row["gold"] == problem.gold
    assert gc.isenabled() == collecting


def test_what_json_has_not_is_replaced_wherever_it_is(tmp_path: Path) -> None:
    row = {"deep": [{"a": (math.nan, 1.5)}], "path": tmp_path, "mapping": MappingProxyType({"x": math.inf})}
    assert json.loads(json_line(row)) == {"deep": [{"a": [None, 1.5]}], "path": str(tmp_path), "mapping": {"x": None}}
    assert json_line({"plain": (1, "\u00e4")}) == '{"plain":[1,"\u00e4"]}\n'.encode()
