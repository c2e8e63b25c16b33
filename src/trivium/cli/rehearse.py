"""`trivium rehearse SLUG`: arms of a recipe on dev problems, with settings changed."""

from __future__ import annotations

from collections.abc import Mapping

import typer

from trivium.cli.output import print_columns, print_json, print_paragraph
from trivium.errors import UnknownName


def command(
    slug: str = typer.Argument(..., help="A recipe by slug or paper number; see: trivium list recipes."),
    arm: list[str] = typer.Option([], help="An arm to run (repeatable); default: all of them."),
    change: list[str] = typer.Option(
        [], "--set", help="NAME=VALUE: a setting to change, such as lr=1e-4 (repeatable)."
    ),
    seed: int = typer.Option(0, min=0, help="The seed of everything; none that a claim is decided with."),
    size: str = typer.Option("lab", help="smoke (seconds) or lab (minutes)."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object an arm, a line each."),
) -> None:
    """Run arms of a recipe on dev problems with settings changed: to tune it, before the test decides its claims.

    Nothing is decided and nothing appended to the ledger.  No test problem is dealt, to whatever asks for them.
    """
    if size not in ("smoke", "lab"):
        raise UnknownName("size", size, ("smoke", "lab"))
    from trivium.lab.rehearsal import rehearse
    from trivium.recipes import recipe as load
    from trivium.recipes.papers import paper

    recipe = load(slug)
    for found in rehearse(paper(slug).module, recipe, size, arm or list(recipe.arms), change, seed):
        means = {metric: found.mean(metric) for metric in found.scores}
        if as_json:
            print_json(
                {"arm": found.arm, "seed": seed, "set": change, "means": means, "spent": found.spent,
                 "notes": found.notes, "seconds": found.seconds}
            )  # fmt: skip
            continue
        print_paragraph(f"{found.arm}, seed {seed}, dev problems ({found.seconds:.0f} s)")
        rows = [("means", _numbers(means)), ("spent", _numbers(found.spent)), ("notes", _numbers(found.notes))]
        print_columns([row for row in rows if row[1]], indent=2)


def _numbers(named: Mapping[str, float]) -> str:
    """`accuracy 0.706, tokens 24.3`: four digits that say something, whole numbers in full."""
    return ", ".join(
        f"{name} {value:,.0f}" if float(value).is_integer() else f"{name} {value:.4g}" for name, value in named.items()
    )
