"""`trivium find WORDS`: the papers of the field by words, with or without a recipe."""

from __future__ import annotations

from pathlib import Path

import typer

from trivium.cli.output import print_json, print_paragraph
from trivium.cli.verdicts import headlines
from trivium.store.ledger import LEDGER


def command(
    words: list[str] = typer.Argument(..., help="Words that must all occur, such as: preference tree."),
    n: int = typer.Option(10, "--n", min=1, help="How many to show."),
    ledger: Path = typer.Option(LEDGER, help="Where verdicts are kept."),
    as_json: bool = typer.Option(False, "--json", help="Print a JSON list of objects."),
) -> None:
    """Search title, idea, family, recipe and verdict of all 138 papers; a paper without a recipe yet is found too."""
    from trivium.recipes import parts, sections
    from trivium.recipes.papers import papers, search

    verdict = headlines(ledger)
    texts = {
        entry.slug: " ".join(["recipe", *sections(entry).values(), *parts(entry), verdict.get(entry.slug, "")])
        for entry in papers()
        if entry.has_recipe
    }
    found = search(" ".join(words), texts)
    if as_json:
        print_json(
            [
                {
                    "number": e.number, "name": e.slug, "family": e.family, "title": e.title, "idea": e.idea,
                    "recipe": e.has_recipe, "verdict": verdict.get(e.slug),
                }
                for e in found[:n]
            ]
        )  # fmt: skip
        return
    if not found:
        print(f"no paper has all of: {' '.join(words)}; try fewer words, or their beginnings")
        return
    for e in found[:n]:
        state = verdict.get(e.slug, "recipe, no verdict yet") if e.has_recipe else "no recipe yet"
        print_paragraph(f"{e.number} {e.slug} ({e.family}; {state})")
        print_paragraph(e.title, indent=2)
        print_paragraph(e.idea, indent=4)
    more = len(found) - n
    print(f"\n{len(found)} found" + (f", {more} more with --n {len(found)}" if more > 0 else ""))
