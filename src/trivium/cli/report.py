"""`trivium report RUN`: write the report of a run again."""

from __future__ import annotations

from pathlib import Path

import typer

from trivium.cli.runs import find_run


def command(
    run: str = typer.Argument(..., help="A run folder, or the name of a run in --runs."),
    show: bool = typer.Option(False, "--open", help="Open it in the browser."),
    runs: Path = typer.Option("runs", help="Where runs are kept."),
) -> None:
    """Write a run's report.html: one page that needs nothing but a browser."""
    from trivium.report import write_report

    path = write_report(find_run(run, runs)).resolve()
    print(path)
    if show:
        import webbrowser

        webbrowser.open(path.as_uri())
