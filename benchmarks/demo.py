"""`python -m benchmarks.demo RUN...`: finished `trivium learn` runs to results/demo/, a table and the README's picture.

Every figure comes from the runs' own files: result.json, run.json and metrics.jsonl.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trivium.errors import UserError
from trivium.report.svg import Series, line_chart, smooth
from trivium.store import Run

TONES = ("a", "b", "c", "d")
COLOURS = {"a": "#2f6fde", "b": "#d9822b", "c": "#2e9e6b", "d": "#a04fc7"}
STYLE = (
    "<style>text{font:12px sans-serif;fill:#667}polyline{fill:none;stroke-width:2}"
    ".grid{stroke:#8884}.base,.level{stroke:#8889}.level{stroke-dasharray:4 4}"
    + "".join(f".{tone}{{stroke:{colour}}}" for tone, colour in COLOURS.items())
    + "</style>"
)


def record(run: Run) -> dict[str, Any]:
    """What is committed of a run: its result without transcripts, where and with what it ran, and its curve."""
    if run.result is None:
        raise UserError(f"{run.path} is not finished; go on with: trivium learn --resume {run.path}")
    kept = {k: v for k, v in run.result.items() if k not in ("transcripts", "next", "model", "report")}
    about = run.about
    steps = [
        {k: row.get(k) for k in ("step", "accuracy", "reward", "entropy", "length", "signal", "seconds_generate",
                                 "seconds_verify", "seconds_learn", "tokens_sampled", "tokens_trained", "mismatch")}
        for row in run.rows() if row["phase"] == "rl"
    ]  # fmt: skip
    return {**kept, **{k: about[k] for k in ("settings", "versions", "commit", "machine")}, "steps": steps}


def table(records: Sequence[dict[str, Any]]) -> str:
    """The runs as Markdown, percentages with their 95% intervals."""
    lines = [
        "| seed | untrained | after warm-up | after RL | RL added | untrained vote, equal tokens | minutes |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in records:
        gain = r["rl_gain"]
        shown = [_share(r[k]) for k in ("before", "after_warmup", "after")]
        added = f"{100 * gain['mean']:+.1f} [{100 * gain['low']:+.1f}, {100 * gain['high']:+.1f}]"
        lines.append(
            f"| {r['seed']} | {' | '.join(shown)} | {added} | {_share(r['vote_before'])} | {r['minutes']:.1f} |"
        )
    return "\n".join(lines) + "\n"


def picture(records: Sequence[dict[str, Any]]) -> str:
    """Accuracy of the sampled answers by step, one line a seed, as a stand-alone SVG file."""
    series = [
        Series(f"seed {r['seed']}", smooth([(s["step"], s["accuracy"]) for s in r["steps"]], 3), tone)
        for r, tone in zip(records, TONES, strict=False)
    ]
    size = (720, 280)
    drawn = line_chart(
        "Accuracy of sampled answers by step", "One line for each seed; moving average over 3 steps.", series,
        size=size, y_range=(0, 1), y_text=lambda v: f"{100 * v:.0f}%",
    )  # fmt: skip
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" width="{size[0]}" height="{size[1]}" '
    return drawn.replace("<svg ", opening, 1).replace("</svg>", STYLE + "</svg>") + "\n"


def _share(found: dict[str, Any] | None) -> str:
    if not found or found["accuracy"] is None:
        return "-"
    return f"{100 * found['accuracy']:.1f}% [{100 * found['low']:.1f}, {100 * found['high']:.1f}]"


def main() -> None:
    """Write results/demo/*.json, results/demo/README.md and docs/demo.svg from the runs named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.demo", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    runs = [Run.open(path) for path in parser.parse_args().runs]
    out = Path("results/demo")
    out.mkdir(parents=True, exist_ok=True)
    records = [record(run) for run in runs]
    for run, found in zip(runs, records, strict=True):
        (out / f"{run.name}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    heading = f"# {records[0]['policy']} on {records[0]['task']}, {records[0]['objective']}\n\n"
    (out / "README.md").write_text(heading + table(records), encoding="utf-8")
    Path("docs/demo.svg").write_text(picture(records), encoding="utf-8")
    print(table(records))


if __name__ == "__main__":
    main()
