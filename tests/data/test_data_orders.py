"""Sums in any order: right without slips, diverse, and wrong where a slip is certain."""

from __future__ import annotations

import random

from trivium.data.orders import any_order
from trivium.tasks import task

SUMS = task("sums:terms=6,min_terms=3,digits=1")


def test_without_slips_every_order_is_right_in_every_step() -> None:
    rng = random.Random(0)
    for problem in SUMS.problems("train", 200):
        verdict = SUMS.verify(problem, any_order(problem.reference["expression"], rng))
        assert verdict.correct
        assert verdict.parts["steps"] == 1.0


def test_orders_differ_and_the_usual_one_is_among_them() -> None:
    rng = random.Random(0)
    said = {any_order("7+5-3+2", rng) for _ in range(100)}
    assert len(said) > 1
    assert "7+5=12\n12-3=9\n9+2=11" in said


def test_a_slip_is_off_by_one_and_carried_on() -> None:
    rng = random.Random(0)
    assert {any_order("7+5", rng, slips=1.0) for _ in range(50)} == {"7+5=11", "7+5=13"}
    assert {any_order("7-7", rng, slips=1.0) for _ in range(50)} == {"7-7=1"}
    first, second = any_order("9+9-9", random.Random(1), slips=1.0).split("\n")
    assert second.startswith(first.rpartition("=")[2] + "-9=") or first == "9-9=1"


def test_work_ends_where_a_slip_leaves_too_little() -> None:
    assert any_order("3-2-1", random.Random(0), slips=1.0).count("=") <= 2
