"""Circles are paid the penalty, right or wrong, and nothing else is touched."""

from __future__ import annotations

import pytest

from trivium.rewards.outcome import outcome
from trivium.rewards.repetition import repeats, unless_repeated
from trivium.types import Trace, Verdict


@pytest.mark.parametrize(("text", "again"), [("", False), ("a\n\nb\n\n", False), ("a\nb\n a", True), ("a b a", False)])
def test_a_line_is_said_again(text: str, again: bool) -> None:
    assert repeats(text) == again


def test_circles_are_paid_the_penalty_and_a_failed_verifier_pays_nothing() -> None:
    right, wrong, failed = Verdict.right("4"), Verdict.wrong("5"), Verdict.error("timeout")
    said = [("a\nb", right), ("a\na", right), ("a\na", wrong), ("a\na", failed)]
    group = [Trace("q", response=text, verdict=verdict) for text, verdict in said]
    assert unless_repeated(outcome())(group) == [1.0, -1.0, -1.0, None]
    assert unless_repeated(outcome(), penalty=0.0)(group) == [1.0, 0.0, 0.0, None]
