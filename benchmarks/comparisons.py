"""`python -m benchmarks.comparisons`: when search pays, from the comparisons under results/compare/.

Every figure comes from the comparison.json that `trivium compare --out results/compare/NAME` wrote; this puts them side
by side in results/compare/README.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trivium.report.finding import interval, percent, points

FOLDER = Path("results/compare")
CHECKER = "by=arithmetic"
"""In the spec of methods that have a calculator look at the steps they wrote."""
Row = Mapping[str, Any]


def pays(at: Row) -> str:
    """What one budget of a comparison says, corrected for the number of its pairs.

    `search` or `checked search` names the methods that are really better than greedy and than vote, without and with a
    calculator; bounds, which ask the verifier, do not count.
    """
    honest = {row["method"] for row in at["rows"] if row["accuracy"] is not None and not row["oracle_calls"]}
    beats = {
        name: {p["better"] for p in at["pairs"] if p["worse"] == name and p["real"]} for name in ("greedy", "vote")
    }
    both = (beats["greedy"] & beats["vote"] & honest) - {"greedy", "vote"}
    checked = sorted(name for name in both if CHECKER in name)
    free = sorted(both - {*checked})
    said = [f"search: {', '.join(free)}"] if free else []
    said += [f"checked search: {', '.join(checked)}"] if checked else []
    if not said:
        said = [
            "vote" if "vote" in beats["greedy"] else "greedy" if "greedy" in beats["vote"] else "nothing over greedy"
        ]
    return "; ".join(said)


def best(at: Row, checked: bool) -> Row | None:
    """The most accurate method beside greedy and vote, with a calculator or without one."""
    rows = [
        row
        for row in at["rows"]
        if row["accuracy"] is not None
        and not row["oracle_calls"]
        and row["method"] not in ("greedy", "vote")
        and (CHECKER in row["method"]) == checked
    ]
    return max(rows, key=lambda row: row["accuracy"], default=None)


def over_vote(at: Row, name: str) -> str:
    """The paired difference between a method and vote; bold where it is real."""
    for pair in at["pairs"]:
        if {pair["better"], pair["worse"]} == {name, "vote"}:
            sign = 1 if pair["better"] == name else -1
            ends = sorted((sign * pair["low"], sign * pair["high"]))
            said = points({"mean": sign * pair["difference"], "low": ends[0], "high": ends[1]}).replace(" points", "")
            return f"**{said}**" if pair["real"] else said
    return "-"


def when_it_pays(comparisons: Mapping[str, Row]) -> str:
    """A line for each comparison and budget: greedy, vote, the best of the others, the bound, and who wins."""
    lines = [
        "| policy on task | tokens | greedy | vote | best without a check, over vote | best with a calculator, over"
        " vote | bound | what pays |",
        "|---|---:|---|---|---|---|---:|---|",
    ]
    for name, found in comparisons.items():
        for at in found["curve"]:
            rows = {row["method"]: row for row in at["rows"]}
            cells = [f"[{name}]({name}/comparison.html)", f"{at['budget']:,g}", interval(rows["greedy"])]
            cells.append(interval(rows["vote"]))
            for checked in (False, True):
                row = best(at, checked)
                cells.append(
                    f"{row['method']} {percent(row['accuracy'])}, {over_vote(at, row['method'])}" if row else "-"
                )
            bounds = [row["accuracy"] for row in at["rows"] if row["oracle_calls"] and row["accuracy"] is not None]
            cells += [percent(max(bounds, default=None)), pays(at)]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def methods_side_by_side(comparisons: Mapping[str, Row]) -> str:
    """Every method's accuracy and tokens at the largest budget of each comparison."""
    names = list(dict.fromkeys(row["method"] for found in comparisons.values() for row in found["rows"]))
    lines = [f"| method | {' | '.join(comparisons)} |", f"|---|{'---|' * len(comparisons)}"]
    for name in names:
        cells = []
        for found in comparisons.values():
            row = next((row for row in found["rows"] if row["method"] == name), None)
            if row is None or row["accuracy"] is None:
                cells.append("-")
                continue
            used = f"{row['sampled_per_problem']:,.0f}+{row['prompt_per_problem']:,.0f}"
            cells.append(f"{percent(row['accuracy'])} ({over_vote(found['curve'][-1], name)}), {used}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def page(comparisons: Mapping[str, Row]) -> str:
    """results/compare/README.md as text."""
    made: Sequence[str] = [
        f"- `{name}`: `{' '.join(found['command'])}`, {found['settings']['n']} {found['settings']['split']} problems, "
        f"commit {found['commit']}, {found['machine']['cpu']}, {found['machine']['cores']} cores"
        for name, found in comparisons.items()
    ]
    return "\n".join(
        [
            "# When search pays, and when a vote wins",
            "",
            "Each method gets the same sampled tokens a problem. Differences are in points over `vote` with 95% paired"
            " intervals; those in bold are real after Holm's correction over all pairs of the budget. A bound asks the"
            " task's verifier and is no method. `by=arithmetic` has a calculator check the equations that were written;"
            " it knows neither the reference nor the question.",
            "",
            when_it_pays(comparisons),
            "",
            "## All methods at the largest budget",
            "",
            "Accuracy (points over vote), sampled + prompt tokens a problem.",
            "",
            methods_side_by_side(comparisons),
            "",
            "## How they were made",
            "",
            *made,
            "",
        ]
    )


def main() -> None:
    """Write results/compare/README.md."""
    files = sorted(FOLDER.glob("*/comparison.json"))
    found = {file.parent.name: json.loads(file.read_text(encoding="utf-8")) for file in files}
    text = page(found)
    (FOLDER / "README.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
