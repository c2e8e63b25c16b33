"""Which charts a run gets: from recorded events to captioned figures, each with its numbers as a table."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trivium.report.finding import percent
from trivium.report.svg import Point, Series, line_chart, smooth, stacked_bars
from trivium.report.text import text

Row = Mapping[str, Any]
TONES = ("a", "b", "c", "d", "e")
WIDE, NARROW = (880, 330), (380, 260)
TABLE_ROWS = 20


def learning_curve(rl: Sequence[Row], evaluations: Sequence[Row]) -> str:
    """Held-out accuracy with its intervals over the accuracy of the sampled batches; empty before the first step."""
    batch = column(rl, "accuracy")
    if not batch:
        return ""
    last = batch[-1][0]
    at: dict[str, float] = {"after_warmup": 0.0, "after": last}
    stages = {row["stage"]: row for row in evaluations}
    start = "after_warmup" if "after_warmup" in stages else "before"
    at.setdefault(start, 0.0)
    shown = [row for row in evaluations if row["stage"] in (start, "progress", "after")]
    held = [(at.get(row["stage"], float(row["step"])), row) for row in shown]
    held = sorted(((x, r) for x, r in held if r["accuracy"] is not None), key=lambda pair: pair[0])
    series = [
        Series("sampled batch, each step", batch, "b", faint=True),
        Series("sampled batch, smoothed", smooth(batch, max(3, len(batch) // 8)), "b"),
        Series(
            "held-out problems, greedy, 95% interval",
            [(x, r["accuracy"]) for x, r in held],
            "a",
            band=[(r["low"], r["high"]) for _, r in held],
            dots=True,
        ),
    ]
    before = stages.get("before")
    level = (before["accuracy"], f"untrained {percent(before['accuracy'])}") if before and start != "before" else None
    story = (
        f"From {percent(batch[0][1])} in the first sampled batch to {percent(batch[-1][1])} in the last, step {last:g}."
    )
    pictures = [
        f'<div class="{name}">'
        + line_chart("Accuracy by step", story, series, size=size, y_text=_share, y_range=(0, 1), level=level)
        + "</div>"
        for name, size in (("wide", WIDE), ("narrow", NARROW))
    ]
    table = [("step", "batch accuracy"), *((f"{x:g}", percent(y)) for x, y in _thin(batch))]
    table += [("step", "held-out accuracy"), *((f"{x:g}", percent(r["accuracy"])) for x, r in held)]
    note = "Steps of reinforcement learning from left to right."
    return _figure("Accuracy while it learned", note, series, "".join(pictures), table, "full")


def rounds_charts(result: Row) -> str:
    """Held-out accuracy over the rounds, greedy and of the method, with search and without."""
    figures = []
    for kind, title in (("greedy", "One greedy answer"), ("method", f"{result['method']}, under the budget")):
        series = []
        for arm, name, tone in (("search", "learning from the search", "a"), ("control", "without search", "b")):
            rows = [row for row in result["rounds"] if row["arm"] == arm]
            shares = [(0, result["start"][kind]), *((row["round"], row[kind]) for row in rows)] if rows else []
            known = [(float(r), share) for r, share in shares if share["accuracy"] is not None]
            line = [(r, share["accuracy"]) for r, share in known]
            series.append(Series(name, line, tone, band=[(s["low"], s["high"]) for _, s in known], dots=True))
        series = [s for s in series if s.points]
        if not series:
            continue
        story = f"From {percent(series[0].points[0][1])} to {percent(series[0].points[-1][1])} over the rounds."
        picture = line_chart(title, story, series, size=NARROW, y_text=_share, y_range=(0, 1), x_name="round")
        table = [("round", *(s.name for s in series))]
        together = zip(*(s.points for s in series), strict=False)
        table += [(f"{at[0][0]:g}", *(percent(y) for _, y in at)) for at in together]
        note = "Unseen problems, after each round, with 95% intervals; round 0 is where both arms start."
        figures.append(_figure(title, note, series, picture, table))
    return f'<div class="charts">{"".join(figures)}</div>' if figures else ""


def small_charts(rl: Sequence[Row], warmup: Sequence[Row]) -> list[str]:
    """The figures that explain a curve: what was paid, what gave signal, how answers changed, where time went."""
    figures = []
    if rl:
        names = sorted({name for row in rl for name in row.get("terms") or {}})
        terms = [
            Series(n, [(r["step"], v) for r in rl if (v := r["terms"].get(n)) is not None], TONES[1 + i % 4])
            for i, n in enumerate(names)
        ]
        reward = Series("reward", column(rl, "reward"), "a")
        figures += [
            _lines("Reward and its terms", "Mean over each batch; only the total is trained on.", [reward, *terms]),
            _signal(rl),
            _lines("Response length", "Mean sampled tokens.", [Series("tokens", column(rl, "length"), "a")]),
            _lines(
                "Cut off",
                "Share of samples that hit the token limit.",
                [Series("truncated", column(rl, "truncated"), "b")],
                _share,
            ),
            _lines(
                "Entropy",
                "Nats a token, over the tokens trained on. Near zero there is nothing left to explore.",
                [Series("entropy", column(rl, "entropy"), "d")],
            ),
            _time(rl),
            _lines(
                "Drift",
                "KL from the reference or the sampler, and sampler against trainer, over the tokens trained on.",
                [Series("KL", column(rl, "kl"), "a"), Series("sampler vs trainer", column(rl, "mismatch"), "b")],
            ),
            _lines("Gradient norm", "Before clipping.", [Series("gradient norm", column(rl, "grad_norm"), "c")]),
        ]
    if warmup:
        loss = Series("loss", column(warmup, "loss"), "c")
        figures.append(_lines("Warm-up loss", "Nats a token of the worked solutions.", [loss]))
    return [figure for figure in figures if figure]


def column(rows: Sequence[Row], key: str) -> list[Point]:
    """(step, value) of one column; steps where it could not be computed are left out."""
    return [(row["step"], row[key]) for row in rows if row.get(key) is not None]


def speed(rl: Sequence[Row]) -> dict[str, float]:
    """Median tokens a second of generation and of learning over the steps."""
    rates = {}
    for name, tokens, seconds in (
        ("generate", "tokens_sampled", "seconds_generate"),
        ("learn", "tokens_trained", "seconds_learn"),
    ):
        measured = [row[tokens] / row[seconds] for row in rl if row.get(seconds) and row.get(tokens)]
        if measured:
            rates[name] = statistics.median(measured)
    return rates


def _lines(
    title: str, note: str, series: Sequence[Series], y_text: Callable[[float], str] = lambda v: f"{v:.4g}"
) -> str:
    series = [s for s in series if s.points]
    if not series:
        return ""
    ends = "; ".join(f"{s.name} from {y_text(s.points[0][1])} to {y_text(s.points[-1][1])}" for s in series)
    picture = line_chart(title, f"{ends[0].upper()}{ends[1:]}.", series, y_text=y_text)
    by_step = [dict(s.points) for s in series]
    rows = [
        (f"{x:g}", *(f"{values[x]:.4g}" if x in values else "-" for values in by_step))
        for x, _ in _thin(series[0].points)
    ]
    return _figure(
        title, note, series if len(series) > 1 else [], picture, [("step", *(s.name for s in series)), *rows]
    )


def _signal(rl: Sequence[Row]) -> str:
    kept = [row for row in rl if row.get("signal") is not None]
    if not kept:
        return ""
    layers = [
        ("some right, some wrong", "a", "signal"),
        ("all right", "c", "all_correct"),
        ("all wrong", "e", "all_wrong"),
    ]
    title, note = "Groups that teach", "Only a group with both right and wrong samples has a gradient."
    picture = stacked_bars(
        title,
        f"Share with signal: first {percent(kept[0]['signal'])}, last {percent(kept[-1]['signal'])}.",
        [row["step"] for row in kept],
        [(tone, [row[key] for row in kept]) for _, tone, key in layers],
        y_text=_share,
        y_range=(0, 1),
    )
    table = [("step", *(name for name, _, _ in layers))]
    table += [(str(row["step"]), *(percent(row[key]) for _, _, key in layers)) for row in _thin(kept)]
    return _figure(title, note, [Series(name, (), tone) for name, tone, _ in layers], picture, table)


def _time(rl: Sequence[Row]) -> str:
    layers = [(name, tone, f"seconds_{name}") for name, tone in (("generate", "a"), ("verify", "b"), ("learn", "c"))]
    kept = [row for row in rl if all(row.get(key) is not None for _, _, key in layers)]
    if not kept:
        return ""
    rates = " and ".join(f"{name} {rate:,.0f}" for name, rate in speed(kept).items())
    note = "Seconds of each step." + (f" Median tokens/s: {rates}." if rates else "")
    picture = stacked_bars(
        "Where the time went",
        note,
        [row["step"] for row in kept],
        [(tone, [row[key] for row in kept]) for _, tone, key in layers],
        y_text=lambda v: f"{v:g} s",
    )
    table = [("step", *(name for name, _, _ in layers))]
    table += [(str(row["step"]), *(f"{row[key]:.2f} s" for _, _, key in layers)) for row in _thin(kept)]
    return _figure("Where the time went", note, [Series(n, (), tone) for n, tone, _ in layers], picture, table)


def _figure(
    title: str, note: str, legend: Sequence[Series], picture: str, table: Sequence[Sequence[str]], kind: str = ""
) -> str:
    keys = "".join(f'<li class="{s.tone}">{text(s.name)}</li>' for s in legend if not s.faint)
    key_list = f'<ul class="legend">{keys}</ul>' if keys else ""
    lines = []
    for row in table:
        cell = "th" if row[0] == "step" else "td"
        lines.append("<tr>" + "".join(f"<{cell}>{text(value)}</{cell}>" for value in row) + "</tr>")
    return (
        f'<figure class="{kind}"><figcaption><h3>{text(title)}</h3><p>{text(note)}</p>{key_list}</figcaption>'
        f"{picture}<details><summary>The numbers</summary><table>{''.join(lines)}</table></details></figure>"
    )


def _thin(items: Sequence[Any]) -> list[Any]:
    """At most about `TABLE_ROWS` items, evenly spread, first and last included."""
    if len(items) <= TABLE_ROWS:
        return list(items)
    return [items[round(i * (len(items) - 1) / (TABLE_ROWS - 1))] for i in range(TABLE_ROWS)]


def _share(value: float) -> str:
    return f"{100 * value:.3g}%"
