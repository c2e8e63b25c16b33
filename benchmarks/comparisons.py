"""`python -m benchmarks.comparisons`: when search pays, from the comparisons under results/compare/.

Every figure comes from the comparison.json that `trivium compare --out results/compare/NAME` wrote; this puts them side
by side in results/compare/README.md.  Where the run that trained a comparison's policy is at hand, policy.json beside
it says how that was done.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trivium.report.finding import interval, percent, points
from trivium.store import Run

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


def trained(folder: Path, policy: str) -> Row | None:
    """How a comparison's policy was trained, from its run or from what was kept of it in the comparison's folder."""
    kept = folder / "policy.json"
    if (Path(policy) / "run.json").is_file():
        run = Run.open(Path(policy))
        result = run.result or {}
        told = {
            k: result.get(k) for k in ("before", "after_warmup", "after", "minutes", "sampled_tokens", "trained_tokens")
        }
        about = {
            "command": ["trivium", *run.about["command"][1:]],
            "commit": run.about["commit"],
            "seed": result.get("seed"),
        }
        kept.write_text(json.dumps({**about, **told}, indent=1) + "\n", encoding="utf-8")
    found: Row | None = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else None
    return found


def training(name: str, how: Row) -> str:
    """One line on how a policy came to be."""
    steps = [percent(how[key]["accuracy"]) for key in ("before", "after_warmup", "after") if how[key]]
    return (
        f"- `{name}`: `{' '.join(how['command'])}`, {how['minutes']:.1f} minutes, greedy accuracy on unseen problems "
        f"{' -> '.join(steps)}, commit {how['commit']}"
    )


def page(comparisons: Mapping[str, Row], policies: Mapping[str, Row] = {}) -> str:
    """results/compare/README.md as text; `policies` says how those that were trained here were."""
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
            *(
                ["The policies were trained by:", "", *(training(*item) for item in policies.items()), ""]
                if policies
                else []
            ),
        ]
    )


def main() -> None:
    """Write results/compare/README.md."""
    files = sorted(FOLDER.glob("*/comparison.json"))
    found = {file.parent.name: json.loads(file.read_text(encoding="utf-8")) for file in files}
    policies = {name: how for name, one in found.items() if (how := trained(FOLDER / name, one["policy"]))}
    text = page(found, policies)
    (FOLDER / "README.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
