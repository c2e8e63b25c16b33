"""Small charts as inline SVG: axes, lines with bands, stacked bars.  Colours are CSS classes and follow the theme."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trivium.report.text import text

Point = tuple[float, float]
FLAT = 1e-9
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 10, 30  # room for tick labels, in SVG units (= CSS pixels at full width)
LETTER = 7.3  # width of a bold letter of a label, in SVG units


@dataclass(frozen=True, slots=True)
class Series:
    """A named line.  `tone` is the CSS class that colours it; `band` holds (low, high) for each point; `faint` draws it
    as background and leaves it out of the legend; `dash` is its pattern, where colours alone are too few.
    """

    name: str
    points: Sequence[Point]
    tone: str
    band: Sequence[Point] = ()
    dots: bool = False
    faint: bool = False
    dash: str = ""


@dataclass(frozen=True, slots=True)
class Frame:
    """Maps data to pixels inside a `width` x `height` drawing."""

    width: int
    height: int
    x0: float
    x1: float
    y0: float
    y1: float

    def x(self, value: float) -> float:
        return LEFT + (value - self.x0) / (self.x1 - self.x0 or 1) * (self.width - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return self.height - BOTTOM - (value - self.y0) / (self.y1 - self.y0 or 1) * (self.height - TOP - BOTTOM)


def line_chart(
    title: str,
    describe: str,
    series: Sequence[Series],
    *,
    size: tuple[int, int] = (380, 210),
    y_text: Callable[[float], str] = lambda v: f"{v:.4g}",
    y_range: tuple[float, float] | None = None,
    level: tuple[float, str] | None = None,
    x_name: str = "step",
) -> str:
    """Lines over steps, or over what `x_name` says.

    `level` draws a dashed horizontal line with a label; `y_range` fixes the axis.
    """
    drawn = [s for s in series if s.points]
    xs = [x for s in drawn for x, _ in s.points]
    ys = [y for s in drawn for _, y in s.points] + [y for s in drawn for pair in s.band for y in pair]
    frame = _frame(size, xs, ys, y_range)
    parts = [_axes(frame, y_text, x_name)]
    if level:
        y = frame.y(level[0])
        parts.append(f'<line class="level" x1="{LEFT}" x2="{frame.width - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(
            f'<text class="tick" x="{frame.width - RIGHT}" y="{y - 5:.1f}" text-anchor="end">{text(level[1])}</text>'
        )
    for s in drawn:
        if s.band:
            edge = [(x, high) for (x, _), (_, high) in zip(s.points, s.band, strict=True)]
            edge += [(x, low) for (x, _), (low, _) in reversed(list(zip(s.points, s.band, strict=True)))]
            parts.append(f'<polygon class="band {s.tone}" points="{_path(frame, edge)}"/>')
        dash = f' stroke-dasharray="{s.dash}"' if s.dash else ""
        kind = f"{'faint ' if s.faint else ''}{s.tone}"
        parts.append(f'<polyline class="{kind}" points="{_path(frame, s.points)}"{dash}/>')
        if s.dots or len(s.points) == 1:
            parts += [
                f'<circle class="{s.tone}" cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}" r="3.5"/>' for x, y in s.points
            ]
    return drawing(frame.width, frame.height, title, describe, parts)


def stacked_bars(
    title: str,
    describe: str,
    xs: Sequence[float],
    layers: Sequence[tuple[str, Sequence[float]]],
    *,
    size: tuple[int, int] = (380, 210),
    y_text: Callable[[float], str] = lambda v: f"{v:.4g}",
    y_range: tuple[float, float] | None = None,
) -> str:
    """One bar for each x, built from (tone, heights) layers from the bottom up."""
    totals = [sum(values) for values in zip(*(heights for _, heights in layers), strict=True)]
    frame = _frame(size, [min(xs) - 0.5, max(xs) + 0.5], [0.0, *totals], y_range)
    width = max(0.6, (frame.width - LEFT - RIGHT) / (frame.x1 - frame.x0) * 0.82)
    floor = [0.0] * len(xs)
    parts = [_axes(frame, y_text)]
    for tone, heights in layers:
        for i, (x, height) in enumerate(zip(xs, heights, strict=True)):
            top, bottom = frame.y(floor[i] + height), frame.y(floor[i])
            floor[i] += height
            if bottom - top > 0.05:
                parts.append(
                    f'<rect class="{tone}" x="{frame.x(x) - width / 2:.1f}" y="{top:.1f}" '
                    f'width="{width:.1f}" height="{bottom - top:.1f}"/>'
                )
    return drawing(frame.width, frame.height, title, describe, parts)


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round numbers (1, 2, 2.5 or 5 times a power of ten) that cover [low, high] in roughly `about` steps."""
    if not high > low:
        return [low]
    raw = (high - low) / about
    scale = 10.0 ** math.floor(math.log10(raw))
    step = next(m * scale for m in (1, 2, 2.5, 5, 10) if m * scale >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def smooth(points: Sequence[Point], window: int) -> list[Point]:
    """Centred moving average over up to `window` points; near the ends, over those there are."""
    half = window // 2
    near = [[y for _, y in points[max(0, i - half) : i + half + 1]] for i in range(len(points))]
    return [(x, sum(ys) / len(ys)) for (x, _), ys in zip(points, near, strict=True)]


def label(x: float, y: float, words: str, kind: str, anchor: str = "start") -> str:
    """Words at a place; `kind` is their CSS class."""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text(words)}</text>'


def cut(name: str, room: float) -> str:
    """As much of a name as fits beside a drawing, with an ellipsis where some does not."""
    letters = max(4, int((room - 18) / LETTER))
    return name if len(name) <= letters else name[: letters - 1] + "\N{HORIZONTAL ELLIPSIS}"


def drawing(width: int, height: int, title: str, describe: str, parts: Sequence[str]) -> str:
    """An `svg` element that says what it shows to those who cannot see it."""
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{text(title)}. {text(describe)}">'
        f"<title>{text(title)}</title><desc>{text(describe)}</desc>{''.join(parts)}</svg>"
    )


def _frame(
    size: tuple[int, int], xs: Sequence[float], ys: Sequence[float], y_range: tuple[float, float] | None
) -> Frame:
    x0, x1 = min(xs), max(xs)
    if x0 == x1:
        x0, x1 = x0 - 0.5, x1 + 0.5
    if y_range is None:
        low, high = min(ys), max(ys)
        if high - low < FLAT:  # ticks are rounded to 12 places, so a smaller spread has no axis
            low, high = (0.0, 1.0) if abs(low) < FLAT else (min(0.0, 2 * low), max(0.0, 2 * low))
        elif 0 < low < 0.6 * high:  # a base line at zero, unless it would flatten what there is to see
            low = 0.0
        marks = ticks(low, high)
        y_range = marks[0], marks[-1]
    return Frame(*size, x0, x1, *y_range)


def _axes(frame: Frame, y_text: Callable[[float], str], x_name: str = "step") -> str:
    parts = []
    right = frame.width - RIGHT
    for value in ticks(frame.y0, frame.y1):
        y = frame.y(value)
        kind = "base" if value == frame.y0 else "grid"
        parts.append(f'<line class="{kind}" x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(
            f'<text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{text(y_text(value))}</text>'
        )
    parts.append(f'<text class="tick" x="{LEFT - 8}" y="{frame.height - 10}" text-anchor="end">{text(x_name)}</text>')
    for value in ticks(frame.x0, frame.x1, 5 if frame.width > 500 else 4):
        if value == int(value) and frame.x0 <= value <= frame.x1:
            x = frame.x(value)
            anchor = "end" if x > right - 4 else "middle"
            parts.append(
                f'<text class="tick" x="{x:.1f}" y="{frame.height - 10}" text-anchor="{anchor}">{int(value)}</text>'
            )
    return "".join(parts)


def _path(frame: Frame, points: Sequence[Point]) -> str:
    return " ".join(f"{frame.x(x):.1f},{frame.y(min(max(y, frame.y0), frame.y1)):.1f}" for x, y in points)
