"""The drawings of a comparison: accuracy with intervals, a bar a method, and accuracy over tokens, a line a method."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from trivium.report.finding import interval
from trivium.report.svg import LETTER, cut, drawing, label, ticks

Row = Mapping[str, Any]
BASELINES = ("greedy", "vote", "best-of-n")
TONES = ("a", "b", "c", "d")
DASHES = ("", "6 4", "2 4", "9 3 2 3")
STYLE = (
    ":root{color-scheme:light dark;--paper:#fbfaf7;--ink:#1d1c1a;--soft:#69655d;--line:#e3dfd6;"
    "--a:#2a5db0;--b:#c4571b;--c:#1b8468;--d:#7d5fa8}"
    "@media(prefers-color-scheme:dark){:root{--paper:#121315;--ink:#e9e7e2;--soft:#a09c93;--line:#2d2f34;"
    "--a:#7facf5;--b:#f09a63;--c:#5fcdac;--d:#bda2e6}}"
    "svg{background:var(--paper);font-family:system-ui,-apple-system,'Segoe UI',Roboto,Arial,sans-serif}"
    ".a{--tone:var(--a)}.b{--tone:var(--b)}.c{--tone:var(--c)}.d{--tone:var(--d)}"
    "line{stroke:var(--line);stroke-width:1}polyline{fill:none;stroke:var(--tone);stroke-width:2}"
    "circle{fill:var(--tone);stroke:var(--paper);stroke-width:1.5}"
)
DRAWN = (
    ".plain-tone{--tone:var(--soft)}.name{fill:var(--ink);font-size:13px}.number{fill:var(--soft);font-size:12px;"
    "font-variant-numeric:tabular-nums}.label{fill:var(--tone);font-size:12px;font-weight:600}"
    "line.whisker{stroke:var(--tone);opacity:.45}line.reach{stroke:var(--tone);stroke-width:1;opacity:.35}"
    "line.span{stroke:var(--tone);stroke-width:9;stroke-linecap:round;opacity:.3}.axis{fill:var(--soft);font-size:11.5px}"
)
"""Rules that report.css does not have; a page needs them as well as a drawing that stands alone."""


def intervals_chart(rows: Sequence[Row], title: str, width: int = 880) -> str:
    """Every method's accuracy as a dot on its 95% interval, the best at the top."""
    shown = sorted((row for row in rows if row["accuracy"] is not None), key=lambda row: -row["accuracy"])
    left, right = _room([label_of(row) for row in shown], width, 0.34), 156
    low, high = _span([row["low"] for row in shown] + [row["high"] for row in shown])
    top, step = 8, 30
    bottom = top + step * len(shown)

    def x(value: float) -> float:
        return left + (value - low) / (high - low) * (width - left - right)

    parts = []
    for mark in ticks(low, high, 5 if width > 500 else 3):
        parts.append(f'<line x1="{x(mark):.1f}" x2="{x(mark):.1f}" y1="{top}" y2="{bottom}"/>')
        parts.append(label(x(mark), bottom + 17, f"{100 * mark:.3g}%", "axis", "middle"))
    tones = tones_of([row["method"] for row in rows])
    for i, row in enumerate(shown):
        y, tone = top + step * (i + 0.5), tones[row["method"]][0]
        ends = f'x1="{x(row["low"]):.1f}" x2="{x(row["high"]):.1f}" y1="{y}" y2="{y}"'
        parts.append(label(left - 14, y + 4.5, cut(label_of(row), left), "name", "end"))
        parts.append(f'<g class="{tone}"><line class="span" {ends}/>')
        parts.append(f'<circle cx="{x(row["accuracy"]):.1f}" cy="{y}" r="6"/></g>')
        parts.append(label(width - 2, y + 4.5, interval(row), "number", "end"))
    said = "; ".join(f"{row['method']} {interval(row)}" for row in shown)
    return drawing(width, bottom + 26, title, said, parts)


def curve_chart(curve: Sequence[Mapping[str, Any]], title: str, size: tuple[int, int] = (880, 400)) -> str:
    """Accuracy over the tokens really used a problem (logarithmic), a line a method through its budgets."""
    lines = _lines(curve)
    points = [point for line in lines.values() for point in line]
    width, height = size
    left, top, bottom = 46, 12, height - 44
    right = width - _room(list(lines), width, 0.3)
    x0, x1 = (math.log(f([max(1.0, p["tokens_per_problem"]) for p in points])) for f in (min, max))
    if x1 - x0 < 0.2:
        x0, x1 = x0 - 0.5, x1 + 0.5
    y0, y1 = _span([p["low"] for p in points] + [p["high"] for p in points])

    def x(tokens: float) -> float:
        return left + 10 + (math.log(max(1.0, tokens)) - x0) / (x1 - x0) * (right - left - 20)

    def y(share: float) -> float:
        return bottom - (share - y0) / (y1 - y0) * (bottom - top)

    parts = []
    for mark in ticks(y0, y1):
        parts.append(f'<line x1="{left}" x2="{right}" y1="{y(mark):.1f}" y2="{y(mark):.1f}"/>')
        parts.append(label(left - 8, y(mark) + 4, f"{100 * mark:.3g}%", "axis", "end"))
    round_tokens = _round_tokens(math.exp(x0), math.exp(x1), 8 if width > 500 else 4)
    parts += [label(x(tokens), bottom + 18, f"{tokens:,g}", "axis", "middle") for tokens in round_tokens]
    parts.append(label((left + right) / 2, bottom + 36, "tokens used a problem", "axis", "middle"))
    places = _apart({name: y(line[-1]["accuracy"]) for name, line in lines.items()}, top + 6, bottom)
    tones = tones_of([row["method"] for row in curve[-1]["rows"]])
    for name, line in lines.items():
        tone, dash = tones[name]
        end = line[-1]
        parts.append(f'<g class="{tone}">')
        for p in line:
            at = f"{x(p['tokens_per_problem']):.1f}"
            parts.append(f'<line class="whisker" x1="{at}" x2="{at}" y1="{y(p["low"]):.1f}" y2="{y(p["high"]):.1f}"/>')
        path = " ".join(f"{x(p['tokens_per_problem']):.1f},{y(p['accuracy']):.1f}" for p in line)
        parts.append(f'<polyline points="{path}" stroke-dasharray="{dash}"/>')
        parts += [f'<circle cx="{x(p["tokens_per_problem"]):.1f}" cy="{y(p["accuracy"]):.1f}" r="4"/>' for p in line]
        # A line that ends early goes on faintly to its name: more allowance was there, and it was not used.
        level = y(end["accuracy"])
        reach = [(x(end["tokens_per_problem"]) + 6, level), (right, level), (right + 10, places[name])]
        for (xa, ya), (xb, yb) in pairwise(reach):
            parts.append(f'<line class="reach" x1="{xa:.1f}" y1="{ya:.1f}" x2="{xb:.1f}" y2="{yb:.1f}"/>')
        parts.append(label(right + 13, places[name] + 4, cut(name, width - right), "label"))
        parts.append("</g>")
    said = "; ".join(
        f"{name} from {100 * line[0]['accuracy']:.1f}% to {100 * line[-1]['accuracy']:.1f}%"
        for name, line in lines.items()
    )
    return drawing(width, height, title, said, parts)


def standalone(svg: str, more: str = "") -> str:
    """A drawing as a file of its own, which any browser or editor opens; `more` are rules that only it needs."""
    return svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1).replace(
        "<title>", f"<style>{STYLE}{DRAWN}{more}</style><title>", 1
    )


def tones_of(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Colour class and dashes of each method: the baselines are grey, the others are told apart by both."""
    out, coloured = {}, 0
    for name in names:
        if name in BASELINES:
            out[name] = ("plain-tone", DASHES[BASELINES.index(name)])
        else:
            out[name] = (TONES[coloured % 4], DASHES[coloured // 4 % 4])
            coloured += 1
    return out


def label_of(row: Row) -> str:
    """The method's name; a bound is marked."""
    return f"{row['method']} (a bound)" if row["oracle_calls"] else str(row["method"])


def _lines(curve: Sequence[Mapping[str, Any]]) -> dict[str, list[Row]]:
    lines: dict[str, list[Row]] = {}
    for at in curve:
        for row in at["rows"]:
            if row["accuracy"] is not None:
                lines.setdefault(row["method"], []).append(row)
    return lines


def _span(values: Sequence[float]) -> tuple[float, float]:
    """Round ends of an axis that holds shares."""
    marks = ticks(min(values), max(values) if max(values) > min(values) else min(values) + 0.1)
    return max(0.0, marks[0]), min(1.0, marks[-1])


def _round_tokens(low: float, high: float, most: int) -> list[float]:
    """1, 2 or 5 times a power of ten between the ends, every one or as few as fit."""
    first = math.floor(math.log10(max(1.0, low)))
    all_of = [m * 10.0**e for e in range(first, first + 9) for m in (1, 2, 5)]
    inside = [value for value in all_of if low * 0.98 <= value <= high * 1.02]
    return inside[:: math.ceil(len(inside) / most)] if inside else []


def _apart(wanted: Mapping[str, float], top: float, bottom: float, gap: float = 15) -> dict[str, float]:
    """Heights as near as can be to those wanted, in their order, `gap` apart."""
    places: dict[str, float] = {}
    at = top - gap
    for name in sorted(wanted, key=wanted.__getitem__):
        at = max(wanted[name], at + gap)
        places[name] = at
    limit = bottom + gap
    for name in reversed(list(places)):
        limit = min(places[name], limit - gap)
        places[name] = limit
    return places


def _room(names: Sequence[str], width: int, most: float) -> float:
    return min(most * width, 28 + LETTER * max(map(len, names), default=0))
