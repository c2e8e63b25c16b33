"""Several tests of an arm as one: every question once, every metric on its own questions."""

from __future__ import annotations

from trivium.claims import ArmResult
from trivium.lab.joined import gains, joined
from trivium.lab.lab import Scored


def test_each_test_is_a_metric_of_its_own_questions() -> None:
    near, far = Scored(("a", "b"), {"accuracy": [1.0, None]}), Scored(("c",), {"accuracy": [0.0], "tokens": [5.0]})
    both = joined({"near": near, "far": far})
    assert both.questions == ("a", "b", "c")
    assert both.scores == {"near": [1.0, None, None], "far": [None, None, 0.0]}
    result = ArmResult("arm", 0, both.questions, both.scores, {})
    assert (result.mean("near"), result.mean("far")) == (1.0, 0.0)


def test_of_any_metric_and_of_nothing() -> None:
    assert joined({"far": Scored(("c",), {"tokens": [5.0]})}, "tokens").scores == {"far": [5.0]}
    assert joined({}) == Scored((), {})


def test_gains_are_paired_by_question() -> None:
    before, now = (Scored(("a", "b", "c"), {"accuracy": marks}) for marks in ([0.0, 1.0, None], [1.0, 1.0, 1.0]))
    found = gains(before, now, {"gain": "accuracy"})
    assert found.questions == now.questions
    assert found.scores == {"accuracy": [1.0, 1.0, 1.0], "gain": [1.0, 0.0, None]}
    assert "gain" not in now.scores
