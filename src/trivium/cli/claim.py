"""`trivium claim SLUG`: run a paper's experiment, and hold its claims against what came out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from trivium.cli.output import Progress, duration, print_columns, print_json, print_paragraph
from trivium.cli.stopped import Stopped
from trivium.cli.verdicts import ledger_lines
from trivium.errors import RunError, UnknownName, UserError
from trivium.store.ledger import LEDGER, append, current, read

SIZES = ("smoke", "lab", "full")


def command(
    slug: str = typer.Argument("", help="A recipe by slug or paper number; see: trivium list recipes."),
    size: str = typer.Option("lab", help="smoke (seconds, decides nothing), lab (minutes) or full (with --policy)."),
    seeds: int | None = typer.Option(None, min=1, help="How many seeds; default: as many as the recipe says."),
    policy: str | None = typer.Option(None, help="The policy to train at the full size, such as hf:FOLDER."),
    workers: int | None = typer.Option(
        None, min=0, help="Processes; default: one for each core, one on a GPU.  0: in this one."
    ),
    fresh: bool = typer.Option(False, "--fresh", help="Run again what is in the cache."),
    ledger: Path = typer.Option(LEDGER, help="Where verdicts are appended (never those of the smoke size)."),
    every: bool = typer.Option(False, "--all", help="All recipes, one after the other."),
    estimate: bool = typer.Option(False, "--estimate", help="Only say how long it would take, from past runs."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object (with --all: a list of them)."),
) -> None:
    """Run every arm of a recipe with every seed, and decide its claims: confirmed, refuted or inconclusive.

    A stopped run goes on where it was: finished arms are kept, and none runs twice while its code stays the same.
    """
    if size not in SIZES:
        raise UnknownName("size", size, SIZES)
    if bool(slug) == every:
        raise UserError("name one recipe, or say --all; see: trivium list recipes")
    if (size == "full") != (policy is not None):
        raise UserError(
            "--size full needs a policy to train: add --policy hf:FOLDER" if policy is None else
            "--policy is for --size full; the other sizes train small models of their own"
        )  # fmt: skip
    from trivium.recipes import entries
    from trivium.recipes.papers import paper

    chosen = [entry.slug for entry in entries()] if every else [paper(slug).slug]
    if estimate:
        _estimate(chosen, seeds, size, ledger, as_json)
        return
    if size != "smoke":
        read(ledger)  # what is wrong with it is better known now than when every arm has run
    found, failed = [], list[str]()
    for one in chosen:
        try:
            about, refused = _run(one, size, seeds, policy, workers, fresh, ledger, as_json)
        except RunError as error:
            failed.append(str(error))
            continue
        found.append(about)
        failed += refused
    if as_json and found:
        print_json(found if every else found[0])
    if failed:
        raise RunError("\n".join(failed))


def _run(
    slug: str,
    size: str,
    seeds: int | None,
    policy: str | None,
    workers: int | None,
    fresh: bool,
    ledger: Path,
    quiet: bool,
) -> tuple[dict[str, Any], list[str]]:
    """What came of a recipe, and which of its claims may not be decided."""
    from trivium.lab.runner import jobs, run
    from trivium.lab.verdicts import verdicts
    from trivium.recipes import recipe as load
    from trivium.recipes.papers import paper

    recipe = load(slug)
    many = seeds or (1 if size == "smoke" else recipe.seeds)
    asked = jobs(paper(slug).module, recipe, size, recipe.seeds_from(many), policy)
    progress, began = Progress(slug), time.perf_counter()

    def hear(what: str, done: int, total: int) -> None:
        progress.what = f"{slug}: {what}"
        progress(done, total)

    try:
        results = run(asked, workers=workers, fresh=fresh, hear=hear)
    except KeyboardInterrupt:
        again = "the same command without --fresh" if fresh else "the same command"
        raise Stopped(f"stopped; finished arms are kept, and {again} goes on from there") from None
    lines, refused = verdicts(recipe, results, size, policy)
    if size != "smoke" and lines:
        append(ledger, lines)
    about = {"slug": slug, "size": size, "seconds": time.perf_counter() - began, "claims": lines}
    if lines and not quiet:
        _show(recipe, lines, size, ledger)
    return about, refused


def _show(recipe: Any, lines: Sequence[dict[str, Any]], size: str, ledger: Path) -> None:
    """Arms, then verdicts, in 80 columns."""
    from trivium.recipes.numbers import by_metric, compared, headline, margin, to_decide, unit

    print_paragraph(f"{recipe.slug}: {recipe.says}")
    for metric, line in by_metric(lines).items():
        shown = unit(line)
        print(f"\n{metric} by arm (mean; each seed)")
        print_columns(
            [
                (arm, f"{shown.mean(by_seed)}   ({' '.join(map(shown.score, by_seed.values()))})")
                for arm, by_seed in line["scores"].items()
            ],
            indent=2,
        )
    for line in lines:
        print(f"\n{line['verdict'].upper()}: {line['claim']}")
        shown = unit(line)
        rows = [
            ("effect", f"{headline(line)}, margin {margin(line)}"),
            ("by seed", " ".join(map(shown.difference, line["effects_by_seed"]))),
            ("because", line["why"]),
        ]
        if needed := to_decide(line):
            rows.append(("to decide it", needed))
        rows += [(row.role, f"{shown.span(row.effect)}, {row.arm} over {row.over}") for row in compared(line)[1:]]
        print_columns([*rows, ("the paper", line["paper_says"] or "-")], indent=2)
    print()
    if size == "smoke":
        print("The smoke size only shows that everything runs; it decides nothing.")
    else:
        print(f"appended to {ledger}")


def _estimate(slugs: Sequence[str], seeds: int | None, size: str, ledger: Path, as_json: bool) -> None:
    """Minutes that every recipe would take with as many seeds, by what its last run in the ledger took for each."""
    from trivium.recipes import recipe

    each = {slug: line["minutes"] / line["seeds"] for (slug, _), line in current(ledger_lines(ledger), size).items()}
    minutes = {slug: each[slug] * (seeds or recipe(slug).seeds) for slug in slugs if slug in each}
    total = sum(minutes.values())
    if as_json:
        print_json({"minutes": {slug: minutes.get(slug) for slug in slugs}, "total_minutes": total})
        return
    print_columns([(s, f"{minutes[s]:.1f} minutes" if s in minutes else "not measured yet") for s in slugs])
    print(f"\n{len(minutes)} of {len(slugs)} recipes measured: {duration(60 * total)} in all")
