"""`trivium list KIND`: names and summaries."""

from __future__ import annotations

from pathlib import Path

import typer

from trivium.cli.names import KINDS, described
from trivium.cli.output import print_columns, print_json
from trivium.cli.verdicts import headlines
from trivium.errors import UnknownName, UserError
from trivium.store.ledger import LEDGER

VERDICTS = ("confirmed", "refuted", "inconclusive", "none")


def command(
    kind: str = typer.Argument(..., help="One of: " + ", ".join(KINDS) + "."),
    family: str | None = typer.Option(None, help="Recipes of one family, such as tree."),
    part: str | None = typer.Option(None, help="Recipes that use a part, such as learn.sft or search."),
    verdict: str | None = typer.Option(None, help="Recipes by verdict: " + ", ".join(VERDICTS) + "."),
    ledger: Path = typer.Option(LEDGER, help="Where verdicts are kept."),
    as_json: bool = typer.Option(False, "--json", help="Print a JSON list of objects with name and summary."),
) -> None:
    """List everything of one kind, with a summary of each."""
    if kind == "recipes":
        _recipes(family, part, verdict, ledger, as_json)
        return
    if family or part or verdict:
        raise UserError("--family, --part and --verdict choose among recipes; write: trivium list recipes")
    rows = described(kind)
    if as_json:
        print_json([{"name": name, "summary": summary} for name, summary in rows])
    else:
        print_columns(rows)


def _recipes(family: str | None, part: str | None, verdict: str | None, ledger: Path, as_json: bool) -> None:
    from trivium.recipes import entries, parts, sections

    if verdict and verdict not in VERDICTS:
        raise UnknownName("verdict", verdict, VERDICTS)
    reached = headlines(ledger)
    known, used = entries(), {entry.slug: parts(entry) for entry in entries()}
    if family and family not in {entry.family for entry in known}:
        raise UnknownName("family", family, {entry.family for entry in known})
    every = {name for names in used.values() for name in names}
    if part and not any(_within(name, part) for name in every):
        raise UnknownName("part", part, every | {name.partition(".")[0] for name in every})
    chosen = [
        entry
        for entry in known
        if (not family or entry.family == family)
        and (not part or any(_within(name, part) for name in used[entry.slug]))
        and (not verdict or reached.get(entry.slug, "none") == verdict)
    ]
    summaries = {entry.slug: sections(entry)[""].partition("\n")[0] for entry in chosen}
    if as_json:
        print_json(
            [
                {
                    "name": entry.slug, "summary": summaries[entry.slug], "paper": entry.number, "family": entry.family,
                    "parts": used[entry.slug], "verdict": reached.get(entry.slug),
                }
                for entry in chosen
            ]
        )  # fmt: skip
        return
    print_columns(
        [(e.slug, f"[{e.family}; {reached.get(e.slug, 'no verdict yet')}] {summaries[e.slug]}") for e in chosen]
    )


def _within(name: str, part: str) -> bool:
    return name == part or name.startswith(f"{part}.")
