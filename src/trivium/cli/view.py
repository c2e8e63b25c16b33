"""`trivium view`: runs, comparisons, claims and traces in a browser, or in one HTML file."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from trivium.cli.stopped import run_until_stopped
from trivium.errors import MissingPackage, UnknownName, UserError
from trivium.store.ledger import LEDGER

if TYPE_CHECKING:
    from trivium.view.claims import Paper
    from trivium.view.library import Library

NEEDED = {"starlette": "fastapi", "uvicorn": "uvicorn"}


def command(
    paths: list[str] = typer.Argument(None, help="Runs, comparisons, folders that hold some, and files of traces; "
                                "default: --runs."),
    runs: Path = typer.Option("runs", help="Where runs are kept; a run's name is looked for here."),
    ledger: Path = typer.Option(LEDGER, help="Where verdicts are kept."),
    host: str = typer.Option("127.0.0.1", help="Address to listen at; any but this machine's own demands --token."),
    port: int = typer.Option(8010, min=0, max=65535, help="Port to listen at; 0 takes a free one."),
    token: str | None = typer.Option(None, help="What everybody who looks has to know."),
    show: bool = typer.Option(False, "--open", help="Open it in the browser."),
    export: Path | None = typer.Option(None, help="Write one HTML file that needs no server, instead of listening."),
    traces: int = typer.Option(200, min=0, help="Traces of each run or comparison that --export takes along."),
) -> None:  # fmt: skip
    """Look at runs while they learn, at every trace, at comparisons and at the claims.  Nothing is changed."""
    absent = [package for module, package in NEEDED.items() if importlib.util.find_spec(module) is None]
    if absent:
        raise MissingPackage("trivium view", absent[0], "pip install 'trivium[view]'")
    if export is not None:
        _check_file(export, [_named(path, runs) for path in paths or []])
    library = opened(paths or [], runs, ledger)
    if export is not None:
        _export(library, export, traces, claims=not paths, show=show)
        return

    from trivium.serve.address import bound
    from trivium.view.listen import prepare

    def ready(address: str) -> None:
        whole = address if token is None else f"{address}/?token={_quoted(token)}"
        print(f"viewing at {whole} (Ctrl-C stops)", flush=True)
        if show:
            import webbrowser

            webbrowser.open(whole)

    run_until_stopped(prepare(library, host, token, ready), bound(host, port))


def _export(library: Library, file: Path, traces: int, *, claims: bool, show: bool) -> None:
    from trivium.cli.output import Progress, bytes_text
    from trivium.view.export import write_export

    try:
        size = write_export(library, file, traces, claims=claims, listen=Progress("exporting"))
    finally:
        library.close()
    print(f"{file} ({bytes_text(size)})")
    if show:
        import webbrowser

        webbrowser.open(file.resolve().as_uri())


def _check_file(file: Path, shown: Sequence[Path]) -> None:
    if not file.parent.is_dir():
        raise UserError(f"--export {file}: there is no folder {file.parent}; make it first")
    if file.is_dir():
        raise UserError(f"--export {file}: this is a folder; expected a file, such as {file / 'runs.html'}")
    if file.exists() and any(file.samefile(path) for path in shown):
        raise UserError(
            f"--export {file}: this would write over the traces; expected another file, such as {file}.html"
        )


def opened(paths: Sequence[str], runs: Path, ledger: Path) -> Library:
    """What `trivium view PATHS` shows; whoever is done with it closes it.

    Raises UserError for a path without anything to see.
    """
    from trivium.places import cache_root
    from trivium.view.claims import Claims
    from trivium.view.found import Found, check_path
    from trivium.view.library import Library

    if ledger != LEDGER and not ledger.is_file():
        raise UserError(f"--ledger {ledger}: there is no such file; trivium claim writes one")
    roots = [_named(path, runs) for path in paths]
    for root in roots:
        check_path(root)
    return Library(Found(roots or [runs]), Claims(_papers(), _says, ledger), cache_root() / "view")


def _named(path: str, runs: Path) -> Path:
    for found in (Path(path), runs / path):
        if found.exists():
            return found
    names = [run.parent.name for run in runs.glob("*/run.json")]
    raise UnknownName("run, folder or file of traces", path, names, f"Looked in {runs.resolve()} too.")


def _papers() -> Sequence[Paper]:
    from trivium.recipes.papers import papers
    from trivium.view.claims import Paper

    return [Paper(e.number, e.slug, e.family, e.title, e.idea, e.has_recipe) for e in papers()]


@functools.cache
def _says(slug: str) -> str:
    """The first line of a recipe's file, without loading it."""
    from trivium.recipes import sections
    from trivium.recipes.papers import paper

    return " ".join(sections(paper(slug))[""].split())


def _quoted(token: str) -> str:
    from urllib.parse import quote

    return quote(token, safe="")
