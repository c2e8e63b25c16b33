"""One way of answering may cost what another one took."""

from __future__ import annotations

from trivium.lab.lab import Scored
from trivium.lab.matched import cost_of


def test_the_budget_is_what_an_attempt_took_on_average() -> None:
    scored = Scored(("a", "b", "c"), {"accuracy": [1.0, 0.0, 1.0], "tokens": [10.0, 21.0, None]})
    assert cost_of(scored).sampled_tokens == 16
    assert cost_of(Scored(("a",), {"tokens": [0.0]})).sampled_tokens == 1
