"""`trivium program`: the search for one program that a model can follow on every question of a task."""

from __future__ import annotations

import asyncio
import functools
from dataclasses import asdict
from pathlib import Path
from typing import get_args

import typer

from trivium.cli.output import Progress, print_columns, print_json, printable
from trivium.errors import UnknownName, UserError
from trivium.registry import format_spec


def command(
    task: str = typer.Option(..., help="A task, such as sums:terms=3; see: trivium list tasks."),
    policy: str = typer.Option("smollm2", help="A policy, or a model folder; see: trivium list policies."),
    train: int = typer.Option(50, min=1, help="Train questions that a program is scored on (paper: 300)."),
    dev: int = typer.Option(150, min=1, help="Dev questions that choose among programs (paper: 700)."),
    test: int = typer.Option(100, min=1, help="Test questions that say what the choice is worth."),
    candidates: int = typer.Option(10, min=1, help="Train questions that a program is written for (paper: all)."),
    keep: int = typer.Option(1, min=1, help="Best programs to keep; several answer by majority."),
    alpha: float = typer.Option(0.5, help="Mean train score below which a program is written again."),
    tries: int = typer.Option(3, min=1, help="Programs written for one question at most."),
    mode: str = typer.Option("emulate", help="emulate: the model does it all; hybrid: the sandbox runs the Python."),
    max_tokens: int = typer.Option(256, min=1, help="Tokens of a program, and of its emulation."),
    seed: int = typer.Option(0, help="Decides questions and samples."),
    out: Path = typer.Option(Path("program.py"), help="File for the programs kept."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Search the one program that answers most questions of a task, for `trivium solve emulate:program=FILE`."""
    from trivium import policies, tasks
    from trivium.search.emulate import Mode, emulate
    from trivium.search.evaluate import evaluate
    from trivium.search.program_search import search_program
    from trivium.store.files import disk

    if mode not in get_args(Mode):
        raise UnknownName("mode", mode, get_args(Mode))
    chosen: Mode = "hybrid" if mode == "hybrid" else "emulate"
    if out.is_dir():
        raise UserError(f"--out {out} is a folder; expected a file, such as {out / 'program.py'}")
    out.parent.mkdir(parents=True, exist_ok=True)
    made, dealt = policies.policy(policy), tasks.task(task)
    progress = Progress("programs")

    def hear(what: str, done: int, total: int) -> None:
        progress.what = what
        progress(done, total)

    found = asyncio.run(search_program(
        dealt, made, train=train, dev=dev, candidates=candidates, keep=keep, alpha=alpha, tries=tries, mode=chosen,
        max_tokens=max_tokens, seed=seed, hear=hear,
    ))  # fmt: skip
    with disk(out):
        out.write_text(found.text(), encoding="utf-8")
    how = functools.partial(emulate, program=str(out), mode=chosen, max_tokens=max_tokens)
    tested = evaluate(how, dealt, made, n=test, seed=seed)
    best, share, usage = found.kept[0], tested.accuracy, found.usage
    if as_json:
        kept = [asdict(candidate) for candidate in found.kept]
        extra = {"passed": found.passed, "kept": kept, "tried": len(found.tried), "usage": asdict(usage)}
        print_json(
            asdict(share) | {"abstained": tested.abstained, "errors": tested.errors, "program": str(out)} | extra
        )
        return
    spec = {"program": out, "mode": chosen, "max_tokens": max_tokens}
    print(printable(found.text()))
    print_columns(
        [
            ("test accuracy", f"{share} of {share.n}; {tested.abstained} abstained, {tested.errors} errors"),
            ("scores of the best", f"train {best.train:.3f}, dev {best.dev:.3f} (a maximum: the test score is lower)"),
            ("programs", f"{len(found.tried)} tried" + ("" if found.passed else f"; none reached alpha={alpha:g}")),
            ("search cost", f"{usage.sampled_tokens:,} sampled and {usage.prompt_tokens:,} prompt tokens"),
            ("written to", str(out)),
            ("go on", f"trivium solve {format_spec('emulate', spec)} --task {dealt.name} --policy {policy}"),
        ]
    )
