"""`trivium copy SLUG`: a recipe as a script of your own."""

from __future__ import annotations

from pathlib import Path

import typer

from trivium.errors import UserError
from trivium.store.files import write_text

_TAIL = """

if __name__ == "__main__":
    from trivium.lab.alone import main

    main(RECIPE, __file__)
"""


def command(
    slug: str = typer.Argument(..., help="A recipe by slug or paper number; see: trivium list recipes."),
    out: Path | None = typer.Option(None, help="The file to write; default: SLUG.py here."),
) -> None:
    """Copy a recipe into a file that runs by itself: change its arms, sizes and claims, and it is yours."""
    from trivium.recipes import recipe, source
    from trivium.recipes.papers import paper

    entry = paper(slug)
    recipe(entry.slug)
    path = out or Path(f"{entry.slug.replace('-', '_')}.py")
    if path.exists():
        raise UserError(f"{path} exists already; choose another name with --out")
    if not path.parent.is_dir():
        raise UserError(f"--out {path}: there is no folder {path.parent}; make it first: mkdir -p {path.parent}")
    write_text(path, source(entry).rstrip("\n") + "\n" + _TAIL)
    print(f"{path}: run it with: python {path} --size smoke")
