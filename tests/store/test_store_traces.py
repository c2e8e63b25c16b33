"""A trace survives JSON exactly, whatever its shape."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from trivium.store import trace_from_json, trace_to_json
from trivium.types import Segment, Trace, Usage, Verdict

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
