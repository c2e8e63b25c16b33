"""`trivium compare`: methods at the same allowance a problem, and which of their differences are real."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from trivium.cli.names import named_voices
from trivium.cli.output import Progress, print_columns, print_json, print_paragraph, printable
from trivium.cli.stopped import Stopped
from trivium.errors import UnknownName, UserError
from trivium.types import SPLITS, Sampling

_OPTION = re.compile(r"[a-z_][a-z0-9_]*=")


def command(
    task: str = typer.Option(..., help="A task, such as countdown; see: trivium list tasks."),
    policy: str = typer.Option("smollm2", help="A policy, a model folder, or the folder of a run that trained one."),
    methods: str = typer.Option("", help="Methods beside greedy, vote and best-of-n, such as mcts,vote:n=8,beam."),
    budget: str = typer.Option("2048", help="Allowances a problem, such as 2048 or 2048,512,128."),
    unit: str = typer.Option("sampled_tokens", help="What is allowed: sampled_tokens, total_tokens or seconds."),
    against: str = typer.Option("greedy,vote", help="Methods that all others are paired with, or: all."),
    n: int = typer.Option(100, min=1, help="Problems of each seed."),
    split: str = typer.Option("test", help="One of: " + ", ".join(SPLITS) + "."),
    seed: int = typer.Option(0, help="Decides problems and samples."),
    seeds: int = typer.Option(1, min=1, help="How many seeds, from --seed on; their problems are pooled."),
    max_tokens: int | None = typer.Option(None, min=1, help="Tokens a sample; default: what the task allows."),
    concurrency: int | None = typer.Option(
        None, min=1, help="Attempts at a time; default: all (1 where seconds count)."
    ),
    voice: list[str] = typer.Option([], help="NAME=POLICY: a further policy, for methods with several (repeatable)."),
    amortise: int | None = typer.Option(None, min=1, help="Problems that share the cost of training the policy."),
    training_tokens: int | None = typer.Option(None, min=0, help="That cost; default: what the run's folder says."),
    out: Path | None = typer.Option(None, help="Folder for the page, the drawings and all traces; a rerun goes on."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Give every method the same allowance on the same problems, and say which differences are real.

    Always adds greedy, vote and best-of-n: the last two sample until the allowance is spent.  With --out, the same
    command again goes on where an interrupted one stopped.
    """
    if split not in SPLITS:
        raise UnknownName("split", split, SPLITS)

    from trivium import policies, tasks
    from trivium.report.comparison import write_comparison
    from trivium.search.compare import UNITS, Setup, compare, contenders
    from trivium.store.cells import Cells
    from trivium.store.files import write_json
    from trivium.store.machine import commit, machine, versions

    if unit not in UNITS:
        raise UnknownName("unit", unit, UNITS)
    entries = contenders(_split_specs(methods))
    voices = {name: policies.policy(spec) for name, spec in named_voices(voice)}
    folder, trained = _trained(policy)
    training = _training(amortise, training_tokens, trained)
    dealt, made, limits = tasks.task(task), policies.policy(folder), _budgets(budget, unit)
    setup = Setup(
        task=dealt, policy=made, budgets=limits, sampling=Sampling(max_tokens=max_tokens or dealt.max_tokens),
        voices=voices, unit=unit, n=n, split=split, seeds=tuple(range(seed, seed + seeds)),
        concurrency=1 if unit == "seconds" and concurrency is None else concurrency,
        against=tuple(filter(None, (name.strip() for name in _split_specs(against)))),
        training_tokens=training["tokens_per_problem"] if training else 0.0,
    )  # fmt: skip
    settings = {
        "task": dealt.name, "policy": policy, "unit": unit, "n": n, "split": split, "max_tokens":
        setup.sampling.max_tokens, "concurrency": setup.concurrency, "voices": list(voice), "weights": _weights(folder),
        "voices_weights": [_weights(spec.partition("=")[2]) for spec in voice],
    }  # fmt: skip
    progress = Progress("comparing")

    def listen(what: str, done: int, total: int) -> None:
        progress.what = what
        progress(done, total)

    try:
        with Cells(out, settings) if out else nullcontext() as cells:
            found = compare(setup, entries, cells, listen)
    except KeyboardInterrupt:
        kept = f"what is finished is in {out}; the same command goes on from there" if out else (
            "nothing is kept; with --out FOLDER, what is finished stays and the same command goes on"
        )  # fmt: skip
        raise Stopped(f"stopped; {kept}") from None
    curve = [asdict(at) for at in found.curve]
    comparison: dict[str, Any] = {
        "task": dealt.name, "policy": policy, "unit": unit, "budget": max(limits), "rows": curve[-1]["rows"],
        "pairs": curve[-1]["pairs"], "curve": curve, "pass_at_k": [asdict(row) for row in found.pass_at_k],
        "against": list(setup.against), "concurrency": setup.concurrency, "amortised": training,
        "settings": {**settings, "seeds": list(setup.seeds), "budgets": list(limits), "methods":
                     [entry.spec for entry in entries]},
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "versions": versions(), "commit": commit(), "machine": machine(),
    }  # fmt: skip
    written: list[Path] = []
    if out:
        write_json(out / "comparison.json", comparison)
        written = [out / "comparison.json", *write_comparison(out, comparison)]
    if as_json:
        print_json(comparison)
        return
    _show(comparison)
    if written:
        print_columns([("written", ", ".join(map(str, written)))])


def _show(comparison: Mapping[str, Any]) -> None:
    """The comparison in 80 columns."""
    from trivium.report.comparison import (
        allowance,
        amortised_note,
        findings,
        headline,
        latency_note,
        notes,
        pass_lines,
        pass_note,
    )
    from trivium.report.finding import percent

    for at in comparison["curve"]:
        print(f"At {allowance(comparison, at['budget'])} a problem")
        _print_table(at["rows"])
        print()
    if len(comparison["curve"]) > 1:
        _print_curve(comparison)
    if comparison["pass_at_k"]:
        print("pass@k")
        for name, found in pass_lines(comparison["pass_at_k"]).items():
            print_paragraph(f"{name}: " + "  ".join(f"@{k} {percent(row['pass_at_k'])}" for k, row in found.items()), 2)
        print_paragraph(pass_note(comparison), 2)
        print()
    print_paragraph(headline(comparison))
    for at in reversed(comparison["curve"]):
        if len(comparison["curve"]) > 1:
            print(f"\nAt {allowance(comparison, at['budget'])}:")
        for sentence in findings(comparison, at):
            print_paragraph(sentence, 2)
    print()
    for sentence in [*notes(comparison), latency_note(comparison)]:
        print_paragraph(sentence)
    if training := comparison["amortised"]:
        print_paragraph(amortised_note(training))


def _print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    from trivium.report.finding import interval

    print(f"  {'method':<20} {'accuracy, 95%':<20} {'sampled':>7} {'prompt':>7} {'s/prob':>7} {'abst':>4} {'err':>4}")
    for row in rows:
        name = printable(row["method"])
        name = name if len(name) < 20 else name[:18] + "\N{HORIZONTAL ELLIPSIS}"
        if row["refused"]:
            print(f"  {name:<20} did not run, see below")
            continue
        name += "*" if row["oracle_calls"] else ""
        abstained, errors = _rate(row["abstention_rate"]), _rate(row["error_rate"])
        print(
            f"  {name:<20} {interval(row):<20} {row['sampled_per_problem']:>7,.0f} {row['prompt_per_problem']:>7,.0f} "
            f"{_seconds(row['seconds_per_problem']):>7} {abstained:>4} {errors:>4}"
        )
    if any(row["oracle_calls"] for row in rows):
        print("  * a bound: it asks the verifier")


def _print_curve(comparison: Mapping[str, Any]) -> None:
    """Accuracy over the budgets, evenly spaced, a line a method; a letter at its end says which."""
    from trivium.cli.chart import overlaid

    lines: dict[str, list[float]] = {}
    for at in comparison["curve"]:
        for row in at["rows"]:
            if row["accuracy"] is not None:
                lines.setdefault(row["method"], []).append(row["accuracy"])
    lines = {name: line for name, line in lines.items() if len(line) == len(comparison["curve"])}
    if not lines:
        return
    letters = [chr(ord("a") + i % 26) for i in range(len(lines))]
    # The axis spans the intervals, so that a gap which is only noise looks as small as it is.
    measured = [row for at in comparison["curve"] for row in at["rows"] if row["accuracy"] is not None]
    low, high = min(row["low"] for row in measured), max(row["high"] for row in measured)
    drawn = overlaid(list(lines.values()), letters, 52, 10, low, high)
    print("Accuracy over the budget")
    for i, line in enumerate(drawn):
        side = {0: f"{100 * high:.1f}%", len(drawn) - 1: f"{100 * low:.1f}%"}.get(i, "")
        print(f"  {side:>6} {line}")
    budgets = [f"{at['budget']:,g}" for at in comparison["curve"]]
    axis = [" "] * 60
    for i, name in enumerate(budgets):
        start = min(52 - len(name), max(0, round(i * 52 / (len(budgets) - 1)) - len(name) // 2))
        axis[start : start + len(name)] = name
    print(f"         {''.join(axis).rstrip()}")
    print_columns([("", "  ".join(f"{letter} {name}" for letter, name in zip(letters, lines, strict=True)))], indent=7)
    print()


def _seconds(value: float) -> str:
    return f"{value:.2g}" if value < 1 else f"{value:,.1f}"


def _rate(share: float) -> str:
    return "-" if not share else f"{100 * share:.0f}%" if share >= 0.01 else "<1%"


def _split_specs(text: str) -> list[str]:
    """`mcts:width=3,depth=2,vote` as two specs: an item `option=value` belongs to the method before it."""
    out: list[str] = []
    for item in filter(None, (part.strip() for part in text.split(","))):
        if out and _OPTION.match(item):
            out[-1] += ("," if ":" in out[-1] else ":") + item
        else:
            out.append(item)
    return out


def _budgets(text: str, unit: str) -> tuple[float, ...]:
    """`2048,512` as allowances; whole numbers but for seconds.

    Raises:
        UserError: one is no positive number.
    """
    out = []
    for item in filter(None, (part.strip() for part in text.split(","))):
        try:
            amount = float(item) if unit == "seconds" else int(item)
        except ValueError:
            amount = 0
        if not 0 < amount < float("inf"):
            wanted = "a positive number" if unit == "seconds" else "a positive whole number"
            raise UserError(f"--budget {item}: expected {wanted} of {unit}, or several such as 2048,512,128")
        out.append(amount)
    if not out:
        raise UserError(f"--budget {text!r} is empty; expected an allowance such as 2048")
    return tuple(dict.fromkeys(out))


def _trained(policy: str) -> tuple[str, Mapping[str, Any] | None]:
    """The spec to load, and the result of the run that trained it; `policy` may be the run's folder or its model."""
    folder = Path(policy.partition(",")[0])
    for run in (folder, folder.parent):
        path = run / "result.json"
        if folder.is_dir() and path.is_file() and (run / "run.json").is_file():
            options = policy[len(policy.partition(",")[0]) :]
            model = run / "model" if run == folder else folder
            return f"{model}{options}", json.loads(path.read_text(encoding="utf-8"))
    return policy, None


def _training(amortise: int | None, tokens: int | None, trained: Mapping[str, Any] | None) -> dict[str, float] | None:
    """What training cost, and the share of each problem.

    Raises:
        UserError: it is to be shared but not known, or known but not to be shared.
    """
    if amortise is None:
        if tokens is not None:
            raise UserError(f"--training-tokens {tokens}: say how many problems share them, with --amortise N")
        return None
    if tokens is None:
        if trained is None:
            raise UserError(
                "--amortise needs the cost of training: add --training-tokens T, or give --policy the folder of a "
                "finished run, such as runs/NAME"
            )
        tokens = sum(int(trained.get(key) or 0) for key in ("sampled_tokens", "trained_tokens", "warmup_tokens"))
    return {"training_tokens": tokens, "problems": amortise, "tokens_per_problem": tokens / amortise}


def _weights(policy: str) -> str | None:
    """What changes when the weights in a model folder do, so that old cells are not taken for those of new weights."""
    files = sorted(Path(policy.removeprefix("hf:").partition(",")[0]).glob("*.safetensors"))
    return ", ".join(f"{file.name} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files) or None
