"""A chain that is stopped is asked for its answer; one that ends by itself is left alone."""

from __future__ import annotations

from functools import partial

from attempts import ask

from trivium.policies.scripted import Turn
from trivium.search.early_answer import early_answer


def slow(turn: Turn) -> str:
    """Works in four lines, and answers at once where it is asked to."""
    return "93" if turn.said.endswith("####") else "41+87=128\n128-30=98\n98-5=93\n#### 93"


def test_a_stopped_chain_is_asked_for_its_answer() -> None:
    trace = ask(partial(early_answer, most=12, ask="\n####"), slow)
    assert trace.response == "41+87=128\n12\n####93"
    assert (trace.answer, trace.usage.calls) == ("93", 2)
    assert trace.usage.sampled_tokens == 12 + len("93") + 1, "what it was asked with is not sampled"


def test_a_chain_that_ends_in_time_is_left_alone() -> None:
    trace = ask(partial(early_answer, most=200), slow)
    assert (trace.answer, trace.usage.calls) == ("93", 1)
    assert "####93" not in trace.response
