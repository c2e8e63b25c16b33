"""`trivium fetch NAME`: get a model ahead of time."""

from __future__ import annotations

import sys

import typer

from trivium.cli.output import bytes_text
from trivium.errors import UnknownName

MODELS = ("smollm2",)


def command(model: str = typer.Argument(..., help="One of: " + ", ".join(MODELS) + ".")) -> None:
    """Get a model that Trivium can train, say how large it is and where it went."""
    if model not in MODELS:
        raise UnknownName("model", model, MODELS)
    from trivium.policies.smollm2 import fetch

    folder = fetch(lambda message: print(message, file=sys.stderr, flush=True))
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{model}: {bytes_text(size)} in {folder}")
