"""`trivium learn`: teach a model a task.  The options are the fields of `trivium.teach.LearnSettings`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from trivium.cli.output import print_columns, print_json, print_paragraph, printable
from trivium.cli.training import add_options, open_run, watch
from trivium.teach import LearnSettings


def command(
    resume: str | None, name: str | None, runs: Path, log: list[str] | None, as_json: bool, **given: Any
) -> None:
    """Teach a model a task by reinforcement learning on verified answers, and measure honestly what it gained.

    Without options it teaches the embedded model chained arithmetic, in about five minutes on two cores.
    """

    def usable(settings: LearnSettings) -> None:
        from trivium.teach import check

        check(settings)

    run, settings = open_run(LearnSettings, "learn", resume, name, runs, given, usable)

    def train(listen: Callable[[Mapping[str, Any]], None]) -> dict[str, Any]:
        from trivium.teach import learn

        return learn(settings, run, listen)

    title = f"{settings.policy} learns {settings.task} by {settings.objective}"
    result = watch("learn", title, train, run, log or [], sys.stderr if as_json else sys.stdout)
    if as_json:
        print_json({key: value for key, value in result.items() if key != "transcripts"})
    else:
        _print_result(result)


def _print_result(result: Mapping[str, Any]) -> None:
    from trivium.report import judge

    finding = judge(result)
    print(f"\n{finding.headline}")
    for sentence in finding.sentences:
        print_paragraph(sentence, indent=2)
    print()
    print_columns([("model", str(result["model"])), ("report", str(result["report"]))])
    print("\nGo on with")
    for line in result["next"]:
        print(f"  {printable(line)}")


add_options(command, LearnSettings, "task-policy-objective")
