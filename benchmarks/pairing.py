"""Alternating measurements to rows, rows to files, and the search for a rival's fastest settings.

A row is a dictionary: `name`, `rival`, `ours`, `theirs` (medians), `unit`, `ratio` (the median over pairs of how many
times better ours is, whichever direction is better in that unit), `ratio_low` and `ratio_high` (the worst and best
pair), `pairs`, and whatever else describes the measurement.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from trivium.errors import RunError

Row = dict[str, Any]
Settings = dict[str, Any]
A = TypeVar("A")
B = TypeVar("B")


def alternate(ours: Callable[[], A], theirs: Callable[[], B], pairs: int) -> list[tuple[A, B]]:
    """Call both in turns, A B A B: whatever slows the machine slows both."""
    return [(ours(), theirs()) for _ in range(pairs)]


def row(
    name: str,
    rival: str,
    unit: str,
    measured: Sequence[tuple[float, float]],
    *,
    better: Literal["higher", "lower"],
    reach: float | None = None,
    **facts: Any,
) -> Row:
    """The row of some (ours, theirs) pairs.  `reach` is the ratio the benchmark is meant to show.

    Raises ValueError without a pair, and for a measurement that is not above 0: no ratio follows from it.
    """
    if not measured or min(min(pair) for pair in measured) <= 0:
        raise ValueError(f"{name}: expected at least one pair of measurements above 0, got {list(measured)}")
    ratios = [ours / theirs if better == "higher" else theirs / ours for ours, theirs in measured]
    goal = {} if reach is None else {"reach": reach, "reached": statistics.median(ratios) >= reach}
    return {
        "name": name,
        "rival": rival,
        "ours": statistics.median(ours for ours, _ in measured),
        "theirs": statistics.median(theirs for _, theirs in measured),
        "unit": unit,
        "ratio": statistics.median(ratios),
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
        "pairs": len(measured),
        "better": better,
        **goal,
        "measured": [list(pair) for pair in measured],
        **facts,
    }


def fastest(
    start: Settings, axes: Mapping[str, Sequence[Any]], rate: Callable[[Settings], float]
) -> tuple[Settings, list[dict[str, Any]]]:
    """The settings of highest `rate`, looked for along one axis after the other; and everything that was tried.

    Settings that fail with RunError (out of memory, not supported) are noted and passed over.  Raises RunError if none
    works.
    """
    tried: list[dict[str, Any]] = []
    best: tuple[float, Settings] = (0.0, start)

    def consider(settings: Settings) -> None:
        nonlocal best
        if any(t["settings"] == settings for t in tried):
            return
        try:
            found = rate(settings)
        except RunError as error:
            tried.append({"settings": settings, "rate": None, "error": str(error)})
            return
        tried.append({"settings": settings, "rate": found})
        best = max(best, (found, settings), key=lambda pair: pair[0])

    consider(start)
    for axis, values in axes.items():
        for value in values:
            consider({**best[1], axis: value})
    if not best[0]:
        raise RunError(f"no settings of the rival work; the last one said: {tried[-1]['error']}")
    return best[1], tried


def merged(old: Iterable[Row], benchmark: str, new: Iterable[Row]) -> list[Row]:
    """`old` with the rows of one benchmark replaced by `new`; the others keep their places."""
    old, fresh = list(old), [{**r, "benchmark": benchmark} for r in new]
    mine = [i for i, r in enumerate(old) if r.get("benchmark") == benchmark]
    at = mine[0] if mine else len(old)
    before, after = old[:at], [r for r in old[at:] if r.get("benchmark") != benchmark]
    return [*before, *fresh, *after]


def read(folder: Path) -> list[Row]:
    """The rows on disk; none if there is no file."""
    file = folder / "bench.json"
    rows: list[Row] = json.loads(file.read_text()) if file.is_file() else []
    return rows


def write(folder: Path, rows: Sequence[Row]) -> None:
    """Write `bench.json` and `bench.md`, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("bench.json", json.dumps(rows, indent=1) + "\n"), ("bench.md", table(rows))):
        part = folder / f"{name}.part"
        part.write_text(text)
        part.replace(folder / name)


def table(rows: Sequence[Row]) -> str:
    """The rows for people, in Markdown."""
    lines = [
        "# Benchmarks",
        "",
        "Both sides in turns, medians over pairs. Ratio: how many times better ours is; worst and best pair in"
        " brackets.",
        "",
        "| benchmark | against | ours | theirs | unit | ratio | reach | pairs |",
        "|---|---|---:|---:|---|---:|---:|---:|",
    ]
    for r in rows:
        spread = f"{r['ratio']:.2f} ({r['ratio_low']:.2f} to {r['ratio_high']:.2f})"
        goal = f"{r['reach']:g}{'' if r['reached'] else ', missed'}" if "reach" in r else "-"
        cells = (r["name"], r["rival"], number(r["ours"]), number(r["theirs"]), r["unit"], spread, goal, r["pairs"])
        lines.append(f"| {' | '.join(map(str, cells))} |")
    notes = [f"- **{r['name']}**: {r['note']}" for r in rows if r.get("note")]
    made = sorted({f"{_machine(r)}, commit {r.get('commit') or 'unknown'}" for r in rows})
    return "\n".join([*lines, "", *notes, "", *(f"Measured on {m}." for m in made)]) + "\n"


def number(x: float) -> str:
    """Three significant digits without an exponent."""
    return f"{x:,.0f}" if abs(x) >= 100 else f"{x:.3g}"


def _machine(r: Row) -> str:
    m = r.get("machine") or {}
    return ", ".join([m.get("cpu", "an unknown machine"), f"{m.get('cores', '?')} cores", *m.get("gpus", [])])
