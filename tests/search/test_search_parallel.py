"""Spawn and join: threads from one shared beginning, what they return, and what is read as the answer."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from attempts import ASKED, ask, in_any_concurrency, problems, reads_at_most, score
from hypothesis import given
from hypothesis import strategies as st

from trivium.errors import UserError
from trivium.policies import policy
from trivium.policies.scripted import Script, Turn
from trivium.search.parallel import joined, spawned
from trivium.types import Budget, Trace

RESULTS = "The threads returned:"


def told(trace: Trace) -> list[str]:
    return [node.segment.text for node in trace.nodes if node.segment.source == "tool"]


def branching(end: str = "so the answer is 93") -> Script:
    """Four first lines, two of which lead to 93, one to 92, one nowhere; and `end` after reading what they returned."""
    rest = {"first\n": "Answer: 93", "second\n": "Answer: 93", "third\n": "Answer: 92", "fourth\n": "dunno"}

    def script(turn: Turn) -> str:
        if RESULTS in turn.said:
            return end
        return rest[turn.said] if turn.said else turn.rng.choice(list(rest))

    return script


def test_every_different_first_line_is_a_thread_and_the_parent_reads_what_they_answer() -> None:
    trace = ask("parallel:children=30", branching("so the answer is 92"))
    assert (trace.answer, trace.response) == ("92", "so the answer is 92"), "the parent has the last word"
    assert score(trace) == pytest.approx(1 / 3)
    [shown] = told(trace)
    assert sorted(re.findall(r"Thread \d: (.*)", shown)) == ["92", "93", "93", "no solution"]
    assert trace.usage.calls == 1 + 4 + 1


def test_the_majority_of_the_threads_decides_where_the_parent_has_no_answer_or_is_not_asked() -> None:
    for spec, calls in (("parallel:children=30", 6), ("parallel:children=30,join=vote", 5)):
        trace = ask(spec, branching("well"))
        assert (trace.answer, score(trace), trace.usage.calls) == ("93", pytest.approx(2 / 3), calls)
        assert trace.response in ("first\nAnswer: 93", "second\nAnswer: 93")
        assert len(told(trace)) == (spec == "parallel:children=30")


def test_a_thread_that_has_ended_in_its_first_line_is_not_gone_on_with() -> None:
    trace = ask("parallel:children=5,join=vote", lambda turn: "Answer: 4")
    assert (trace.answer, trace.usage.calls, score(trace)) == ("4", 1, 1.0)


def test_prefixes_are_shared_and_never_computed_twice() -> None:
    trace = ask("parallel:children=30", branching())
    prompts = [node for node in trace.nodes if node.segment.source == "prompt"]
    assert len(prompts) == 1, "all threads hang from one prompt"
    threads = [node.parent for node in trace.nodes if node.segment.text == "Answer: 93"]
    assert {trace.nodes[parent].segment.text for parent in threads} == {"first\n", "second\n"}


def test_the_trace_notes_tokens_in_sequence() -> None:
    trace = ask("parallel:children=30", branching())
    noted = [node.note for node in trace.nodes if node.note][-1]
    end, longest = len("so the answer is 93") + 1, len("second\n") + len("Answer: 93") + 1
    assert noted == f"{end + longest} tokens in sequence"
    assert trace.usage.sampled_tokens > 30 * len("first\n")


def spawning(*orders: str, end: str = "Answer: 93", returns: Sequence[str] = ()) -> Script:
    """A policy trained to spawn: one thread an order, each returning its part of `returns` by join."""
    call = "I split it. spawn([" + ", ".join(f'"{o}"' for o in orders) + "])"

    def script(turn: Turn) -> str:
        if not turn.said:
            return call + " and this is never sampled"
        thread = re.search(r"Thread (\d): [^\n]*\n\Z", turn.said)
        return returns[int(thread[1]) - 1] + " never sampled" if thread and RESULTS not in turn.said else end

    return script


def test_a_policy_spawns_by_itself() -> None:
    script = spawning("try 41 + 87", "guess", returns=('128, 93: join("it is 93")', 'bad: join("no solution")'))
    trace = ask("parallel:by=policy", script)
    assert (trace.answer, trace.response, score(trace)) == ("93", "Answer: 93", 1.0)
    orders, shown = told(trace)[:-1], told(trace)[-1]
    assert orders == ["\nThread 1: try 41 + 87\n", "\nThread 2: guess\n"]
    assert shown == f"\n{RESULTS}\nThread 1: it is 93\nThread 2: no solution\nGoing by these, "
    assert not any("never" in node.segment.text for node in trace.nodes)


def test_a_vote_reads_nothing_out_of_the_call_that_spawned() -> None:
    script = spawning("try 41", "try 87", returns=("hm", "er"))
    trace = ask("parallel:by=policy,join=vote", script)
    assert (trace.answer, trace.usage.calls) == (None, 3)


def test_children_return_their_answer_where_they_join_nothing() -> None:
    script = spawning("a", "b", "c", end="well", returns=("so it is 12", "hm", "Answer: 12"))
    trace = ask("parallel:by=policy", script)
    assert (trace.answer, score(trace)) == ("12", 1.0)
    assert told(trace)[-1].endswith("Thread 1: 12\nThread 2: no solution\nThread 3: 12\nGoing by these, ")


def test_children_are_limited_and_spawns_too() -> None:
    endless = spawning("a", "b", "c", end='spawn(["again"])', returns=["join('7')"] * 3)
    trace = ask("parallel:by=policy,children=2,spawns=2", endless)
    assert sum("Thread" in text and RESULTS not in text for text in told(trace)) == 3
    assert trace.answer == "7"


def test_a_policy_that_does_not_spawn_just_answers() -> None:
    trace = ask("parallel:by=policy", policy("scripted"))
    assert (trace.answer, trace.usage.calls, told(trace)) == ("93", 1, [])
    assert score(trace) is None
    bracket = ask("parallel:by=policy", lambda turn: "\nAnswer: 5" if turn.said else "f([1, 2]) is 3")
    assert (bracket.answer, bracket.response) == ("5", "f([1, 2])\nAnswer: 5")


@pytest.mark.parametrize(
    ("text", "messages"),
    [('spawn(["a", "b"])', ["a", "b"]), ("x spawn(['a', \"b\"])", ["a", "b"]), ("spawn([a, b])", ["a", "b"]),
     ('spawn(["a", "b"', ["a", "b"]), ("spawn([])", []), ('spawn(["", " "])', []), ("spawn", []), ("", []),
     ('spawn(["(3+4)*2", "8-[1]"])', ["(3+4)*2", "8-[1]"])],
)  # fmt: skip
def test_what_is_spawned(text: str, messages: list[str]) -> None:
    assert spawned(text) == messages


def test_what_is_joined() -> None:
    assert joined('so join("4 * 6")') == "4 * 6"
    assert joined("join('a') then join('b')") == "b"
    assert joined('join("cut') == "cut"
    assert joined("nothing") == joined("") == joined("join(") == ""


@given(st.text(alphabet="spawn([\"',])join a1\n"))
def test_readers_are_total(text: str) -> None:
    assert all(m and m == m.strip() for m in spawned(text))
    assert isinstance(joined(text), str)


@pytest.mark.parametrize("spec", ["parallel", "parallel:join=vote", "parallel:by=policy"])
@pytest.mark.parametrize("name", ["scripted:random", "scripted:endless", "scripted:p=0.5"])
def test_any_output_and_any_budget_give_an_answer_or_none(spec: str, name: str) -> None:
    for tokens in (1, 30, 120, 3000):
        trace = ask(spec, policy(name), Budget(sampled_tokens=tokens))
        assert trace.usage.sampled_tokens <= tokens


def test_a_budget_that_ends_before_the_parent_is_back_returns_the_threads_majority() -> None:
    def script(turn: Turn) -> str:
        return "Answer: 4" if turn.said else "one\n"

    trace = ask("parallel:children=2", script, Budget(sampled_tokens=18))
    assert (trace.answer, trace.finish) == ("4", "budget")


def test_a_parent_that_cannot_read_its_threads_leaves_the_answer_to_them() -> None:
    trace = ask("parallel:children=30", reads_at_most(len(ASKED) + 40, branching("Answer: 1")))
    assert (trace.answer, trace.finish) == ("93", "stop")


def test_threads_and_parents_that_the_budget_cut_short_come_last() -> None:
    def script(turn: Turn) -> str:
        if RESULTS in turn.said:
            return "one of 1234567890"
        return "Answer: 4 " + "and so on " * 9 if turn.said else turn.rng.choice(["one\n", "two\n"])

    for tokens in (60, 16 + 101 + 20):  # within the first thread; within the second, the first being whole
        trace = ask("parallel:children=4", script, Budget(sampled_tokens=tokens))
        assert (trace.answer, trace.finish) == ("4", "budget")
    parent = ask("parallel:children=4", script, Budget(sampled_tokens=16 + 202 + 10))
    assert parent.answer == "4", "not the 1 of a number cut in its middle"


@pytest.mark.parametrize("spec", ["parallel:children=0", "parallel:spawns=0", "parallel:by=luck"])
def test_bad_options(spec: str) -> None:
    with pytest.raises(UserError, match=r"expected|value of"):
        ask(spec, policy("scripted"))


@pytest.mark.parametrize("spec", ["parallel:children=4", "parallel:by=policy"])
@pytest.mark.parametrize("budget", [None, Budget(sampled_tokens=200)])
def test_same_seeds_same_answers_whatever_the_timing(spec: str, budget: Budget | None) -> None:
    in_any_concurrency(spec, problems(15), policy("scripted:p=0.5,delay=0.003"), budget=budget, seed=3)
