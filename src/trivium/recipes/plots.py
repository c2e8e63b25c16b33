"""The drawing of a recipe: the effect behind every claim, seed by seed, and how its arms learned."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from trivium.recipes.numbers import Compared, Line, Unit, compared, headline, unit, words
from trivium.report.comparison_charts import DASHES, TONES, standalone
from trivium.report.svg import LETTER, Point, Series, cut, drawing, label, line_chart, ticks

WIDTH, LEFT, RIGHT, EDGE = 880, 260, 168, 20  # the columns beside the axis hold arms and numbers
STEP, CHART, GAP = 40, (428, 220), 24
WRAP = 88  # letters of a claim in a line
VERDICTS = {"confirmed": "c", "refuted": "b", "inconclusive": "plain-tone"}
STYLE = (
    "svg svg{overflow:visible}.says{fill:var(--ink);font-size:14px;font-weight:600}"
    ".role,.tick{fill:var(--soft);font-size:11.5px;font-variant-numeric:tabular-nums}"
    "line.zero{stroke:var(--soft)}line.margin{stroke:var(--ink);stroke-dasharray:4 4;opacity:.7}"
    "line.base{stroke:var(--soft);opacity:.6}line.key{stroke:var(--tone);stroke-width:2}"
    "circle.seed{opacity:.75}polyline{stroke-linejoin:round}polyline.faint{stroke-width:1;opacity:.35}"
)
Tones = Mapping[str, tuple[str, str]]
Curves = Mapping[str, Mapping[str, Sequence[Sequence[Point]]]]


@dataclass(frozen=True, slots=True)
class Axis:
    """Differences to pixels; claims on one metric share their axis, so that their effects can be held together."""

    low: float
    high: float

    def x(self, value: float) -> float:
        return LEFT + (value - self.low) / (self.high - self.low) * (WIDTH - LEFT - RIGHT)


def plot(lines: Sequence[Line]) -> str:
    """The newest lines of one recipe's claims as an SVG that needs nothing else, in light and in dark.

    A panel a claim: each seed's effect as a small dot, the mean on its 95% interval, zero, the margin, then null arm
    and rivals.  Below them a chart a learning curve, with the mean over the seeds of every arm.
    """
    tones = _tones(lines)
    parts, y = [], 20.0
    for line in lines:
        peers = [other for other in lines if other["metric"] == line["metric"]]
        panel, y = _panel(line, _axis(peers), tones, y)
        parts += panel
    parts.append(label(0, y, "large dot: mean on its 95% interval; small dots: one seed each", "role"))
    charts, y = _charts(_curves(lines), tones, y + 40)
    placed = [f'<g transform="translate({EDGE} {EDGE // 2})">', *parts, *charts, "</g>"]
    said = "; ".join(map(_told, lines))
    drawn = drawing(WIDTH + 2 * EDGE, round(y) + EDGE, str(lines[0]["slug"]), said, placed)
    return standalone(drawn, STYLE) + "\n"


def _told(line: Line) -> str:
    """A claim for those who cannot see its panel."""
    return f"{line['claim']}: {line['verdict']}, {headline(line)}"


def _axis(lines: Sequence[Line]) -> Axis:
    values = [0.0, *(line["margin"] for line in lines)]
    for line in lines:
        for row in compared(line):
            values += [row.effect["low"], row.effect["high"], *row.effect["by_seed"]]
    low, high = min(values), max(values)
    marks = ticks(low, high if high > low else low + 0.1, 5)
    return Axis(marks[0], marks[-1])


def _panel(line: Line, axis: Axis, tones: Tones, top: float) -> tuple[list[str], float]:
    """What is drawn for a claim from `top` on, and where the next one begins."""
    said = textwrap.wrap(line["claim"], WRAP)
    parts = [label(0, top + 18 * i, part, "says") for i, part in enumerate(said)]
    verdict = VERDICTS[line["verdict"]]
    parts.append(f'<g class="{verdict}">{label(WIDTH, top, line["verdict"], "label", "end")}</g>')
    top += 18 * len(said) + 8
    rows, shown = compared(line), unit(line)
    # A rival is held against the claim's arm, not against the margin.
    bottom, held = top + STEP * len(rows), top + STEP * sum(row.role != "rival" for row in rows)
    parts += _grid(axis, shown, top, bottom)
    parts.append(label(LEFT - 28, bottom + 17, _axis_name(line, shown), "role", "end"))
    if line["margin"]:
        parts += _margin(axis.x(line["margin"]), top, held)
    for i, row in enumerate(rows):
        parts += _row(row, axis, shown, tones[row.arm][0], top + STEP * (i + 0.5))
    return parts, bottom + 56


def _axis_name(line: Line, shown: Unit) -> str:
    """What the differences are; to the right is always better."""
    name = words(line["metric"])
    return f"{f'{shown.word} of ' if shown.sign else ''}{name}{' saved' if line['lower_is_better'] else ''}"


def _grid(axis: Axis, shown: Unit, top: float, bottom: float) -> list[str]:
    parts = []
    for mark in ticks(axis.low, axis.high, 5):
        x, kind = f"{axis.x(mark):.1f}", ' class="zero"' if mark == 0 else ""
        parts.append(f'<line{kind} x1="{x}" x2="{x}" y1="{top:.1f}" y2="{bottom:.1f}"/>')
        number = f"{shown.factor * mark + 0.0:+.4g}".replace("-", "\N{MINUS SIGN}") if mark else "0"
        parts.append(label(axis.x(mark), bottom + 17, number, "axis", "middle"))
    return parts


def _margin(x: float, top: float, bottom: float) -> list[str]:
    return [
        f'<line class="margin" x1="{x:.1f}" x2="{x:.1f}" y1="{top - 2:.1f}" y2="{bottom:.1f}"/>',
        label(x, top - 6, "margin", "role", "middle"),
    ]


def _row(row: Compared, axis: Axis, shown: Unit, tone: str, y: float) -> list[str]:
    x, effect = axis.x, row.effect
    ends = f'x1="{x(effect["low"]):.1f}" x2="{x(effect["high"]):.1f}" y1="{y - 5:.1f}" y2="{y - 5:.1f}"'
    role = f"{row.role}, " if row.role else ""
    seeds = [f'<circle class="seed" cx="{x(value):.1f}" cy="{y + 9:.1f}" r="3.5"/>' for value in effect["by_seed"]]
    return [
        label(LEFT - 14, y - 2, cut(row.arm, LEFT), "name", "end"),
        label(LEFT - 14, y + 13, cut(f"{role}over {row.over}", LEFT * 1.15), "role", "end"),
        f'<g class="{tone}"><line class="span" {ends}/>',
        f'<circle cx="{x(effect["mean"]):.1f}" cy="{y - 5:.1f}" r="6"/>{"".join(seeds)}</g>',
        label(WIDTH, y + 1, shown.span(effect, word=False), "number", "end"),
    ]


def _tones(lines: Sequence[Line]) -> Tones:
    """Colour class and dashes of every arm; null arms are grey."""
    nulls = {arm for line in lines for arm in line["null"]}
    named = [arm for line in lines for row in compared(line) for arm in (row.arm, row.over)]
    every = dict.fromkeys([*named, *(arm for line in lines for arm in line["scores"])])
    others = [arm for arm in every if arm not in nulls]
    tones = {arm: (TONES[i % len(TONES)], DASHES[i // len(TONES) % len(DASHES)]) for i, arm in enumerate(others)}
    return tones | {arm: ("plain-tone", DASHES[i % len(DASHES)]) for i, arm in enumerate(sorted(nulls))}


def _curves(lines: Sequence[Line]) -> Curves:
    """By curve, then by arm: the points of every seed."""
    found: dict[str, dict[str, Sequence[Sequence[Point]]]] = {}
    for line in lines:
        for arm, by_name in line["curves"].items():
            for name, seeds in by_name.items():
                known = [[(x, y) for x, y in seed if y is not None] for seed in seeds]
                if any(known):
                    found.setdefault(name, {})[arm] = [seed for seed in known if seed]
    return found


def _charts(curves: Curves, tones: Tones, top: float) -> tuple[list[str], float]:
    """Every learning curve, two beside each other, under one legend."""
    if not curves:
        return [], top - 24
    arms = [arm for arm in tones if any(arm in by_arm for by_arm in curves.values())]
    parts = [label(0, top, "While it learned: mean over seeds, each seed faint", "says")]
    keys, top = _legend(arms, tones, top + 24)
    parts += keys
    width, height = CHART
    for i, (name, by_arm) in enumerate(curves.items()):
        x, y = (width + GAP) * (i % 2), top + (height + 2 * GAP) * (i // 2)
        parts.append(label(x, y, name, "name"))
        placed = f'<svg x="{x}" y="{y + 8:.1f}" width="{width}" height="{height}" '
        chart = _chart(name, {arm: by_arm[arm] for arm in arms if arm in by_arm}, tones)
        parts.append(chart.replace("<svg ", placed, 1))
    return parts, top + (height + 2 * GAP) * ((len(curves) + 1) // 2)


def _legend(arms: Sequence[str], tones: Tones, y: float) -> tuple[list[str], float]:
    """A stroke and a name for every arm, in as many rows as it takes, and where the charts begin."""
    parts, x = [], 0.0
    for arm in arms:
        room = 52 + LETTER * len(arm)
        if x and x + room > WIDTH:
            x, y = 0.0, y + 20
        tone, dash = tones[arm]
        ends = f'x1="{x:.1f}" x2="{x + 26:.1f}" y1="{y - 4:.1f}" y2="{y - 4:.1f}"'
        parts.append(f'<g class="{tone}"><line class="key" {ends} stroke-dasharray="{dash}"/></g>')
        parts.append(label(x + 33, y, arm, "name"))
        x += room
    return parts, y + 34


def _chart(name: str, by_arm: Mapping[str, Sequence[Sequence[Point]]], tones: Tones) -> str:
    """One curve of all arms; what comes after ` by ` or `@` in its name is its horizontal axis, else steps."""
    means = {arm: _mean(seeds) for arm, seeds in by_arm.items()}
    values = [y for seeds in by_arm.values() for seed in seeds for _, y in seed]
    shares = all(0 <= value <= 1 for value in values) and not name.startswith("mean ")
    y_text: Callable[[float], str] = _percent if shares else "{:.4g}".format
    several = [(arm, seed) for arm, seeds in by_arm.items() if len(seeds) > 1 for seed in seeds]
    faint = [Series(arm, seed, tones[arm][0], faint=True) for arm, seed in several]
    bold = [Series(arm, line, tones[arm][0], dash=tones[arm][1]) for arm, line in means.items()]
    said = "; ".join(f"{arm} from {y_text(line[0][1])} to {y_text(line[-1][1])}" for arm, line in means.items())
    x_name = name.partition(" by ")[2] or name.partition("@")[2] or "step"
    return line_chart(name, said, [*faint, *bold], size=CHART, y_text=y_text, x_name=x_name)


def _mean(seeds: Sequence[Sequence[Point]]) -> list[Point]:
    """The mean of the seeds' first points, of their second ones, and so on, as far as every seed has come."""
    together = list(zip(*seeds, strict=False))
    return [(sum(x for x, _ in points) / len(points), sum(y for _, y in points) / len(points)) for points in together]


def _percent(value: float) -> str:
    return f"{100 * value:.3g}%"
