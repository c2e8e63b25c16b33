"""Curves in a terminal: braille plots, eight dots to a character, and one-line sparklines."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

# The dots of a braille character, as (column, row from the top) to its bit in the Unicode block.
_DOTS = {(0, 0): 1, (0, 1): 2, (0, 2): 4, (1, 0): 8, (1, 1): 16, (1, 2): 32, (0, 3): 64, (1, 3): 128}
_BLOCKS = "▁▂▃▄▅▆▇█"


def braille(values: Sequence[float], width: int, height: int, low: float, high: float, of: int) -> list[str]:
    """`height` lines of `width` characters: a curve through `values`, the first of `of` steps that fill the width."""
    columns, rows = 2 * width, 4 * height
    cells = [[0] * width for _ in range(height)]

    def row_of(value: float) -> int:
        share = (min(max(value, low), high) - low) / ((high - low) or 1)
        return round((1 - share) * (rows - 1))

    shown = resample(values, max(1, min(columns, round(columns * len(values) / max(of, len(values), 1)))))
    before = None
    for x, value in enumerate(shown):
        y = row_of(value)
        # Fill the gap to the previous point, so that steep parts stay connected.
        for between in range(min(y, before), max(y, before) + 1) if before is not None else (y,):
            cells[between // 4][x // 2] |= _DOTS[x % 2, between % 4]
        before = y
    return ["".join(chr(0x2800 + dots) for dots in line) for line in cells]


def overlaid(
    lines: Sequence[Sequence[float]], marks: Sequence[str], width: int, height: int, low: float, high: float
) -> list[str]:
    """Several curves in one plot between `low` and `high`; each ends in its mark, beside the plot.

    Marks at the same height stand side by side, so a line is longer than `width` by as many as meet there.
    """
    cells = [[0] * width for _ in range(height)]
    ends = [""] * height
    for line, mark in zip(lines, marks, strict=True):
        for row, drawn in enumerate(braille(line, width, height, low, high, len(line))):
            for column, letter in enumerate(drawn):
                cells[row][column] |= ord(letter) - 0x2800
        share = (line[-1] - low) / ((high - low) or 1)
        ends[round((1 - share) * (4 * height - 1)) // 4] += mark
    return ["".join(chr(0x2800 + dots) for dots in row) + end for row, end in zip(cells, ends, strict=True)]


def sparkline(values: Sequence[float], width: int) -> str:
    """One line of block characters, from the least to the greatest value."""
    shown = resample(values, min(width, len(values)))
    low, high = min(shown, default=0.0), max(shown, default=1.0)
    return "".join(_BLOCKS[min(7, int(8 * (value - low) / ((high - low) or 1)))] for value in shown)


def resample(values: Sequence[float], n: int) -> list[float]:
    """`n` values over the same span: means where there are more, straight lines between where there are fewer."""
    if not values or n < 1:
        return []
    if n <= len(values):
        edges = [i * len(values) // n for i in range(n + 1)]
        return [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
    out = []
    for i in range(n):
        place = i * (len(values) - 1) / (n - 1)
        left = int(place)
        right = min(left + 1, len(values) - 1)
        out.append(values[left] + (place - left) * (values[right] - values[left]))
    return out
