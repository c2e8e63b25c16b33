"""`trivium list KIND`: names and summaries."""

from __future__ import annotations

import typer

from trivium.cli.names import KINDS, described
from trivium.cli.output import print_columns, print_json


def command(
    kind: str = typer.Argument(..., help="One of: " + ", ".join(KINDS) + "."),
    as_json: bool = typer.Option(False, "--json", help="Print a JSON list of objects with name and summary."),
) -> None:
    """List everything of one kind, with a summary of each."""
    rows = described(kind)
    if as_json:
        print_json([{"name": name, "summary": summary} for name, summary in rows])
    else:
        print_columns(rows)
