"""Traces as a page draws them: their kind from what real methods write, and the sums over their nodes."""

from __future__ import annotations

from typing import Any

import pytest
from attempts import ask, consult
from hypothesis import given
from hypothesis import strategies as st

from trivium.policies.scripted import Scripted, sums
from trivium.store.traces import trace_to_json
from trivium.types import Segment, Trace
from trivium.view.shape import CUT, MOST_NODES, kind_of, shaped, whole_node


def shape(trace: Trace) -> dict[str, Any]:
    return shaped(trace_to_json(trace))


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ("greedy", "sample"), ("vote:n=4", "tree"), ("best-of-n:n=3,by=stated", "tree"), ("mcts:n=4", "tree"),
        ("beam", "tree"), ("tree-of-thoughts", "tree"), ("debate", "debate"), ("round-table", "debate"),
        ("refine", "conversation"), ("least-to-most", "conversation"),
    ],
)  # fmt: skip
def test_the_kind_follows_from_the_trace(method: str, kind: str) -> None:
    assert shape(ask(method, Scripted(sums(0.5)), max_tokens=64))["kind"] == kind


def test_the_method_tells_where_it_is_known() -> None:
    plain = trace_to_json(ask("greedy", Scripted(sums(1.0))))
    assert shaped(plain)["kind"] == "sample"
    assert shaped(plain, "mcts:n=8")["kind"] == "tree"
    assert shaped(plain, "emulate:mode=hybrid")["kind"] == "program"
    assert shaped(plain, "somebody:s")["kind"] == "sample"


def test_programs_and_tools_are_told_apart() -> None:
    def trace(said: str, source: Any, note: str = "") -> Trace:
        made = Trace("q")
        made.add(-1, Segment("prompt", text="ask"))
        made.add(0, Segment("model", text=said), note)
        made.add(0, Segment(source, text="42"))
        return made

    assert shape(trace("```python\nans = 42\n```", "tool"))["kind"] == "program"
    assert shape(trace("Let me look that up.", "tool"))["kind"] == "conversation"
    assert shape(trace("true", "model", 'can_fly("cat")'))["kind"] == "program"
    assert shape(trace("```python\nans = 42\n```", "environment"))["kind"] == "conversation"


@pytest.mark.parametrize("method", ["debate:n=3,rounds=3,until_agreed=false", "round-table:n=3,rounds=2"])
def test_a_debate_has_rounds_and_speakers(method: str) -> None:
    different = iter(range(10_000))

    def script(asked: Any) -> str:
        n = next(different)
        return f"Speaker thinks {n}.\nAnswer: {n % 7}"

    nodes = shape(ask(method, Scripted(script)))["trace"]["nodes"]
    seats = [(n["round"], n["speaker"]) for n in nodes if n["round"] is not None]
    assert sorted(seats) == [(r, s) for r in (1, 2, 3) for s in (0, 1, 2)]
    assert all(n["source"] == "model" for n in nodes if n["round"])
    asides = [n for n in nodes if n["source"] == "model" and n["round"] is None]
    assert bool(asides) == method.startswith("round-table"), "how sure one is, is no part of the debate"
    if method.startswith("debate"):
        words = {(n["round"], n["speaker"]): n["text"].strip() for n in nodes if n["round"]}
        for n in nodes:
            if n["round"] and n["round"] > 1:
                prompt = nodes[n["parent"]]["text"]
                own = words[n["round"] - 1, n["speaker"]]
                assert f"assistant: {own}" in prompt, "a speaker keeps its own words in mind"


def test_a_debate_in_which_all_say_the_same_still_has_its_rounds() -> None:
    same = Scripted(lambda asked: "I say so.\nAnswer: 93")
    nodes = shape(ask("debate:n=3,rounds=3,until_agreed=false", same))["trace"]["nodes"]
    assert sorted((n["round"], n["speaker"]) for n in nodes if n["round"]) == [
        (r, s) for r in (1, 2, 3) for s in range(3)
    ]


def test_speakers_of_several_voices_are_in_one_first_round() -> None:
    voices = [Scripted(lambda asked, n=n: f"I am {n}.\nAnswer: {n}") for n in range(3)]
    nodes = shape(consult("round-table:n=3,rounds=1", *voices))["trace"]["nodes"]
    assert {(n["round"], n["speaker"]) for n in nodes if n["round"]} == {(r, s) for r in (1, 2) for s in range(3)}


@given(st.lists(st.tuples(st.integers(-5, 30), st.integers(0, 5)), max_size=30))
def test_costs_are_the_tokens_below_and_children_are_counted(made: list[tuple[int, int]]) -> None:
    raw = [{"parent": parent, "source": "model", "ids": [1] * n, "text": "x"} for parent, n in made]
    nodes = shaped({"nodes": raw})["trace"]["nodes"]
    for i, node in enumerate(nodes):
        below = [j for j in range(len(nodes)) if i in ancestors(nodes, j)]
        assert node["cost"] == sum(nodes[j]["tokens"] for j in below)
        assert node["children"] == sum(other["parent"] == i for other in nodes)
        assert node["depth"] == len(ancestors(nodes, i)) - 1


def ancestors(nodes: list[dict[str, Any]], i: int) -> list[int]:
    """A node and all above it."""
    found = []
    while i >= 0:
        found.append(i)
        i = nodes[i]["parent"]
    return found


def test_big_traces_are_cut_and_their_nodes_are_still_there_whole() -> None:
    nodes = [{"parent": i // 3 - 1 if i else -1, "source": "model", "ids": [1, 2], "logprobs": [-1.0, -2.0], "text":
              f"{i} " * 300} for i in range(MOST_NODES + 1)]  # fmt: skip
    small, big = shaped({"nodes": nodes[:-1]}), shaped({"nodes": nodes})
    assert not small["cut"]
    assert small["trace"]["nodes"][5]["ids"] == [1, 2]
    assert big["cut"]
    assert all(len(n["text"]) <= CUT and n["ids"] == n["logprobs"] == [] for n in big["trace"]["nodes"])
    assert big["trace"]["nodes"][5]["tokens"] == 2
    whole = whole_node({"nodes": nodes}, 5)
    assert whole is not None
    assert (whole["m"], whole["text"], whole["logprobs"]) == (5, "5 " * 300, [-1.0, -2.0])
    assert whole_node({"nodes": nodes}, MOST_NODES + 1) is None


@pytest.mark.parametrize(
    "nodes", [None, [None], [1, "a"], [{}], [{"parent": 0}], [{"ids": "x", "text": 5, "note": None}]]
)
def test_nodes_that_others_wrote_are_nodes_all_the_same(nodes: Any) -> None:
    found = shaped({"nodes": nodes})["trace"]["nodes"]
    assert all((isinstance(n["text"], str) and n["parent"] == -1) or n["parent"] >= 0 for n in found)
    assert kind_of(found) in ("sample", "tree")
