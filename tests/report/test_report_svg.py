"""Axes cover the data with round numbers, and drawings stay inside their frame."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trivium.report.svg import Series, line_chart, smooth, stacked_bars, ticks

FINITE = st.floats(-1e6, 1e6)


@given(FINITE, st.floats(1e-6, 1e6), st.integers(2, 8))
def test_ticks_cover_the_range_in_equal_steps(low: float, span: float, about: int) -> None:
    high = low + span
    if not high > low:
        return
    marks = ticks(low, high, about)
    slack = 1e-6 * max(1.0, abs(low), abs(high))
    assert marks[0] <= low + slack
    assert marks[-1] >= high - slack
    assert 2 <= len(marks) <= 2 * about + 3
    steps = [b - a for a, b in pairwise(marks)]
    assert max(steps) - min(steps) <= slack


def test_ticks_of_a_share_are_quarters() -> None:
    assert ticks(0, 1) == [0, 0.25, 0.5, 0.75, 1]


def test_ticks_of_a_point_is_the_point() -> None:
    assert ticks(3, 3) == [3]


@given(st.lists(FINITE, min_size=1, max_size=30))
@example([5e-324])
@example([0.0, 1e-300])
def test_lines_stay_inside_the_drawing(values: list[float]) -> None:
    svg = line_chart("T", "d", [Series("s", list(enumerate(values)), "a", dots=True)], size=(380, 210))
    points = re.search(r'<polyline class="a" points="([^"]*)"', svg)
    assert points
    for pair in points[1].split():
        x, y = map(float, pair.split(","))
        assert 0 <= x <= 380
        assert 0 <= y <= 210


def test_bars_stack_to_their_total() -> None:
    svg = stacked_bars("T", "d", [1, 2], [("a", [0.25, 1.0]), ("b", [0.75, 0.0])], y_range=(0, 1), size=(380, 240))
    bars = re.findall(r'<rect class="(\w)" x="[\d.]+" y="([\d.]+)" width="[\d.]+" height="([\d.]+)"', svg)
    # The plot is 200 high from y=10 to y=210; the empty layer of the second bar is not drawn.
    assert bars == [("a", "160.0", "50.0"), ("a", "10.0", "200.0"), ("b", "10.0", "150.0")]


def test_names_are_escaped() -> None:
    svg = line_chart("<b>", '"&', [Series("s", [(1, 2)], "a")], level=(1.0, "<i>"))
    assert "<b>" not in svg
    assert "<i>" not in svg


@pytest.mark.parametrize("window", [1, 3, 9])
def test_smoothing_keeps_a_constant_and_the_steps(window: int) -> None:
    flat = [(float(i), 2.0) for i in range(7)]
    assert smooth(flat, window) == flat


def test_smoothing_is_the_mean_of_the_neighbours() -> None:
    assert smooth([(0, 0.0), (1, 3.0), (2, 6.0), (3, 0.0)], 3) == [(0, 1.5), (1, 3.0), (2, 3.0), (3, 3.0)]
