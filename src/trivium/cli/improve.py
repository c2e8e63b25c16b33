"""`trivium improve`: rounds of search and learning.  The options are the fields of `trivium.teach.ImproveSettings`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from trivium.cli.output import print_columns, print_json, print_paragraph, printable
from trivium.cli.training import add_options, open_run, watch
from trivium.teach import ImproveSettings


def command(
    resume: str | None, name: str | None, runs: Path, log: list[str] | None, as_json: bool, **given: Any
) -> None:
    """Search, learn from what the search found, search again, and measure what each round gained.

    Which answers are right is asked of the task's verifier on training problems only.  Every round is measured on
    unseen problems: one greedy answer, and the method under the budget.  A control repeats all rounds without search,
    on the same questions and as many sampled tokens.
    """
    run, settings = open_run(ImproveSettings, "improve", resume, name, runs, given)

    def train(listen: Callable[[Mapping[str, Any]], None]) -> dict[str, Any]:
        from trivium.teach.improve import improve

        return improve(settings, run, listen)

    title = f"{settings.policy} learns {settings.task} from {settings.method}"
    result = watch("improve", title, train, run, log or [], sys.stderr if as_json else sys.stdout)
    if as_json:
        print_json(result)
    else:
        _print_result(result)


def _print_result(result: Mapping[str, Any]) -> None:
    from trivium.report import judge
    from trivium.report.rounds import table_rows

    finding = judge(result)
    print()
    print_paragraph(finding.headline)
    for sentence in finding.sentences:
        print_paragraph(sentence, indent=2)
    print(f"\n{'':<20}{'greedy, 95%':<22}{'the method, 95%':<22}{'tokens':>7}{'right':>7}")
    for row in table_rows(result):
        print(f"{row[0]:<20}{row[1]:<22}{row[2]:<22}{row[3]:>7}{row[4]:>7}")
    print_paragraph(
        "tokens: sampled for each training problem of the round; right: share of the judged training responses", 2
    )
    print()
    print_columns([("model", str(result["model"])), ("report", str(result["report"]))])
    print("\nGo on with")
    for line in result["next"]:
        print(f"  {printable(line)}")


add_options(command, ImproveSettings, "task-policy-method")
