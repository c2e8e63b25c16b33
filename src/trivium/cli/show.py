"""`trivium show NAME`: a registered thing with its options, or a run with its numbers."""

from __future__ import annotations

import collections.abc
import inspect
import math
import types
import typing
from pathlib import Path
from typing import Any

import typer

from trivium.cli.names import find, function
from trivium.cli.output import print_columns, print_json, print_paragraph, printable, settings_text
from trivium.cli.runs import find_run
from trivium.cli.verdicts import ledger_lines
from trivium.errors import UserError
from trivium.recipes import parts, recipe, sections
from trivium.recipes.numbers import headline, margin
from trivium.recipes.papers import paper, papers
from trivium.recipes.standing import standing
from trivium.search.lm import LM
from trivium.store import Run, query
from trivium.store.ledger import LEDGER
from trivium.types import Question

RECORDED = (
    "SELECT count(*) AS traces, count(score) AS scored, sum(sampled_tokens)::BIGINT AS sampled_tokens FROM traces"
)


def command(
    name: str = typer.Argument(..., help="A task, policy, method or other part by its name, a recipe, or a run."),
    sql: str | None = typer.Option(None, help="A DuckDB query over a run's views `metrics` and `traces`."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object (with --sql: a list of rows)."),
    runs: Path = typer.Option("runs", help="Where runs are kept."),
    ledger: Path = typer.Option(LEDGER, help="Where the verdicts of recipes are kept."),
) -> None:
    """Describe a registered thing (options, an example problem), a run (settings, result, last numbers) or a recipe."""
    if sql is not None or (Path(name) / "run.json").exists() or (runs / name / "run.json").exists():
        run = find_run(name, runs)
        if sql is not None:
            _print_rows(query(run, sql), as_json)
        else:
            _show_run(run, as_json)
        return
    if name in {entry.slug for entry in papers()}:
        _show_recipe(name, ledger, as_json)
        return
    if listed := function(name):
        _show_function(*listed, as_json)
        return
    kind, known, short = find(name)
    factory = known.factory(short)
    about: dict[str, Any] = {
        "name": short,
        "kind": known.kind,
        "description": inspect.getdoc(factory) or "",
        "options": _options(factory),
    }
    spec = f"{short}:option=value,..."
    if kind == "rewards":  # a term of a sum; the run itself gives the cap that a term measures against
        spec = f"--reward '{short}(option=value,...)=WEIGHT,...'"
        about["options"] = [option for option in about["options"] if option["name"] != "max_tokens"]
    if kind == "tasks":
        about["example"] = _example(known.build, name.removeprefix("tasks/"))
    if as_json:
        print_json(about)
        return
    print(f"{short}: {known.kind}")
    for paragraph in about["description"].split("\n\n"):
        print()
        if "\n " in paragraph:  # a list or a formula, set by hand
            print(paragraph)
        else:
            print_paragraph(paragraph)
    if about["options"]:
        print(f"\nOptions ({spec})")
        print_columns([(o["name"], f"{o['type']}{_default(o)}") for o in about["options"]], indent=2)
    if example := about.get("example"):
        print(f"\nAn example problem\n{_indented(example['question'])}\nA response that is correct")
        print(_indented(example["gold"]))


def _show_function(kind: str, name: str, summary: str, as_json: bool) -> None:
    """A verifier or a parser: no options, so its summary and where its name is written."""
    where = {"verifier": f"--task file:rows.jsonl,verifier={name}", "parser": f"trivium serve --answer-format {name}"}
    if as_json:
        print_json({"name": name, "kind": kind, "description": summary, "options": []})
        return
    print(f"{name}: {kind}\n")
    print_paragraph(summary)
    print(f"\nName it so: {where[kind]}")


def _show_run(run: Run, as_json: bool) -> None:
    last = next(iter(query(run, "SELECT * FROM metrics WHERE phase = 'rl' ORDER BY step DESC LIMIT 1")), None)
    numbers = {k: v for k, v in (last or {}).items() if isinstance(v, int | float) and math.isfinite(v)}
    about, result = run.about, run.result
    if as_json:
        print_json({**about, "result": result, "last": numbers or None})
        return
    state = "a record" if run.verb == "gateway" else "finished" if result else "not finished"
    print(f"{about['name']}: {state}, started {about['created']}\n\nSettings")
    print_columns(settings_text(about["settings"]), indent=2)
    if run.verb == "gateway":
        [counts] = query(run, RECORDED)
        print(f"\nIn its traces (made anew by: trivium gateway --traces {run.path})")
        print_columns([(name.replace("_", " "), f"{count or 0:,}") for name, count in counts.items()], indent=2)
    if result:
        from trivium.report import judge

        finding = judge(result)
        print(f"\n{finding.headline}")
        for sentence in finding.sentences:
            print_paragraph(sentence, indent=2)
    if numbers:
        print(f"\nStep {numbers.pop('step'):g} of {numbers.pop('steps'):g}")
        print_columns([(name, f"{value:.6g}") for name, value in numbers.items()], indent=2)
    if not result:
        print(f"\nContinue with: {run.go_on()}")


def _show_recipe(slug: str, ledger: Path, as_json: bool) -> None:
    """A recipe: what its file says, its claims, and the newest verdict on each."""
    entry, made = paper(slug), recipe(slug)
    said, found = sections(entry), standing([made], ledger_lines(ledger))
    claims = [
        {
            "claim": c.says, "better": c.better, "worse": c.worse, "metric": c.metric, "margin": c.margin,
            "unit": c.unit, "paper": c.paper,
            "verdict": line["verdict"] if (line := found.get((slug, c.says))) else None,
            "effect": [line["effect"], line["low"], line["high"]] if line else None,
        }
        for c in made.claims
    ]  # fmt: skip
    command = f"trivium claim {slug} --size lab --seeds {made.seeds}"
    if as_json:
        print_json(
            {
                "name": slug, "kind": "recipe", "paper": entry.number, "title": entry.title, "arxiv": made.paper.arxiv,
                "family": entry.family, "parts": parts(entry), "says": made.says, "arms": list(made.arms),
                "sections": said, "claims": claims, "command": command, "file": str(entry.file),
            }
        )  # fmt: skip
        return
    print_paragraph(f"{slug}: recipe of paper {entry.number}, {entry.title} (arXiv:{made.paper.arxiv})")
    for heading, body in said.items():
        if heading:
            print(f"\n{heading}")
        for paragraph in body.split("\n\n"):
            if paragraph[:2] in ("- ", "1."):
                print(paragraph)
            else:
                print_paragraph(paragraph)
    print(f"\nArms: {', '.join(made.arms)}\nParts: {', '.join(parts(entry))}")
    for c in claims:
        print(f"\nClaim: {c['claim']}")
        line = found.get((slug, str(c["claim"])))
        print_columns(
            [
                ("arms", f"{c['better']} against {c['worse']}, {c['metric']}, margin {margin(c)}"),
                ("the paper", str(c["paper"]) or "-"),
                ("verdict", f"{line['verdict']}: {headline(line)}" if line else "none yet; not run"),
            ],
            indent=2,
        )
    print(f"\nRun it with: {command}")


def _options(factory: Any) -> list[dict[str, Any]]:
    described = []
    hints = typing.get_type_hints(factory.__init__ if inspect.isclass(factory) else factory)
    for name, parameter in inspect.signature(factory).parameters.items():
        # A method's question and `LM` come from the driver.
        # What is open-ended is told in the description.
        if name.startswith("_") or hints.get(name) in (Question, LM) or parameter.kind is parameter.VAR_KEYWORD:
            continue
        default = parameter.default
        described.append(
            {
                "name": name,
                "type": _type_text(hints.get(name, str)),
                "required": default is parameter.empty,
                "default": None if default is parameter.empty else default,
            }
        )
    return described


def _type_text(hint: Any) -> str:
    """A type as one would write it on the command line: `int`, `uct | puct`, `str | None`."""
    if typing.get_origin(hint) is typing.Literal:
        return " | ".join(map(str, typing.get_args(hint)))
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        # Functions cannot be typed into a command line, so nobody looks for them here.
        parts = [arg for arg in typing.get_args(hint) if typing.get_origin(arg) is not collections.abc.Callable]
        return " | ".join(_type_text(arg) for arg in parts if not getattr(arg, "_is_protocol", False))
    return "None" if hint is type(None) else getattr(hint, "__name__", str(hint))


def _default(option: dict[str, Any]) -> str:
    if option["required"]:
        return ", required"
    default = option["default"]
    return f", default {repr(default)[1:-1] if isinstance(default, str) else default}"


def _example(build: Any, spec: str) -> dict[str, str] | None:
    try:
        task = build(spec)
    except UserError:  # such as `file` and `gym`, which are nothing without their option
        return None
    problem = task.problems("train", 1, seed=0)[0]
    turns = [message.content for message in problem.question.messages if message.role != "system"]
    return {"question": "\n\n".join(turns), "gold": problem.gold}


def _print_rows(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json(rows)
        return
    names = list(rows[0]) if rows else []
    cells = [names, *([_cell(row[name]) for name in names] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return printable(text.replace("\n", " "))[:60]


def _indented(text: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in printable(text).splitlines())
