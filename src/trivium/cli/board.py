"""`trivium board`: write what the documentation says about papers, recipes and verdicts again."""

from __future__ import annotations

import os
from pathlib import Path

import typer

from trivium.errors import RunError, UserError
from trivium.store.files import write_text
from trivium.store.ledger import LEDGER, read


def command(
    ledger: Path = typer.Option(LEDGER, help="Where verdicts are kept."),
    docs: Path = typer.Option("docs", help="The folder that gets board.md and recipes/."),
    readme: Path = typer.Option("README.md", help="The file whose table between two markers is replaced."),
    check: bool = typer.Option(False, "--check", help="Write nothing; exit with 1 and name the first stale file."),
) -> None:
    """Write the board of all papers, a page and a drawing for every recipe, and the README's table of verdicts."""
    if not docs.is_dir():
        raise UserError(f"--docs {docs}: there is no such folder; run it in the repository, or name the folder")
    if not readme.is_file():
        raise UserError(f"--readme {readme}: there is no such file; run it in the repository, or name the file")
    texts = _texts(ledger, docs, readme)
    stale = [path for path, text in texts.items() if not path.exists() or path.read_bytes() != text.encode()]
    if check and stale:
        raise RunError(f"{stale[0]} is not what recipes and ledger say; write it again with: trivium board")
    for path in stale:
        path.parent.mkdir(exist_ok=True)
        write_text(path, texts[path])
        print(path)
    print(f"{len(texts) - len(stale)} of {len(texts)} files were up to date")


def _texts(ledger: Path, docs: Path, readme: Path) -> dict[Path, str]:
    """What every generated file should hold."""
    from trivium.recipes import entries, recipe, sections
    from trivium.recipes.board import board, readme_table, with_table
    from trivium.recipes.pages import page
    from trivium.recipes.papers import papers
    from trivium.recipes.plots import plot
    from trivium.recipes.standing import standing

    lines, pages = read(ledger), docs / "recipes"
    recipes = {entry.slug: recipe(entry.slug) for entry in entries()}
    texts = {docs / "board.md": board(papers(), recipes, lines)}
    for entry in entries():
        made = recipes[entry.slug]
        texts[pages / f"{entry.slug}.md"] = page(entry, made, sections(entry), lines)
        if current := standing([made], lines):
            texts[pages / f"{entry.slug}.svg"] = plot(list(current.values()))
    folder = Path(os.path.relpath(pages, readme.parent)).as_posix()
    table = readme_table(recipes.values(), lines, folder)
    return texts | {readme: with_table(readme.read_text(encoding="utf-8"), table)}
