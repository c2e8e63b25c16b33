"""Differences in words: signed points, with no negative zero."""

from __future__ import annotations

import pytest

from trivium.report.finding import points


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ((0.7, 0.647, 0.75), "+70.0 points [+64.7, +75.0]"),
        ((-0.0, -0.015, 0.0), "+0.0 points [\N{MINUS SIGN}1.5, +0.0]"),
        ((-0.0004, -0.0006, 0.0004), "+0.0 points [\N{MINUS SIGN}0.1, +0.0]"),
    ],
)
def test_points_are_signed(ends: tuple[float, float, float], said: str) -> None:
    mean, low, high = ends
    assert points({"mean": mean, "low": low, "high": high}) == said
