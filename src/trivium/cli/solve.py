"""`trivium solve METHOD`: a method over a task's problems."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import typer

from trivium.cli.names import named_voices
from trivium.cli.output import Progress, print_columns, print_json, printable
from trivium.cli.stopped import Stopped
from trivium.errors import UnknownName, UserError
from trivium.types import SPLITS, Problem, Sampling, Trace


def command(
    method: str = typer.Argument(..., help="A method, such as greedy or vote:n=8; see: trivium list methods."),
    task: str = typer.Option(..., help="A task, such as sums:terms=3; see: trivium list tasks."),
    policy: str = typer.Option("smollm2", help="A policy, or a model folder; see: trivium list policies."),
    voice: list[str] = typer.Option([], help="NAME=POLICY: a further policy, for methods with several (repeatable)."),
    n: int = typer.Option(100, min=1, help="Problems to attempt."),
    split: str = typer.Option("test", help="One of: " + ", ".join(SPLITS) + "."),
    seed: int = typer.Option(0, help="Decides problems and samples."),
    budget: str | None = typer.Option(None, help="Hard limits a problem, such as sampled_tokens=2048,calls=8."),
    max_tokens: int | None = typer.Option(None, min=1, help="Tokens a sample; default: what the task allows."),
    concurrency: int | None = typer.Option(None, min=1, help="Attempts at a time; default: all."),
    save_traces: Path | None = typer.Option(None, help="Write every trace to this file, one JSON object a line."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Run a method over a task's problems, and report its accuracy with a 95% interval and what it cost."""
    if split not in SPLITS:
        raise UnknownName("split", split, SPLITS)

    from trivium import policies, search, tasks
    from trivium.search.budget import parse_budget
    from trivium.search.evaluate import evaluate
    from trivium.search.flips import flips

    if save_traces is not None and save_traces.suffix == ".parquet":
        raise UserError(
            f"--save-traces {save_traces}: what is written is JSON lines, and whoever reads this name expects Parquet; "
            f"choose another, such as {save_traces.with_suffix('.jsonl')}"
        )
    allowance = None if budget is None else parse_budget(budget)
    made, dealt, run = policies.policy(policy), tasks.task(task), search.method(method)
    voices = {name: policies.policy(spec) for name, spec in named_voices(voice)}
    progress, done = Progress(f"solving {dealt.name}"), 0

    def listen(trace: Trace) -> None:
        nonlocal done
        done += 1
        progress(done, n)
        save(trace)

    with ExitStack() as stack:
        problems = dealt.problems(split, n, seed)
        save = _saver(save_traces, problems, stack)
        try:
            found = evaluate(
                run, dealt, made, n=n, split=split, seed=seed, voices=voices, budget=allowance, concurrency=concurrency,
                sampling=Sampling(max_tokens=max_tokens) if max_tokens else None, listen=listen,
            )  # fmt: skip
        except KeyboardInterrupt:
            kept = f"; the traces of those are in {save_traces}" if save_traces else ""
            raise Stopped(f"stopped after {done} of {n} problems{kept}") from None
    share, usage, flipped = found.accuracy, found.usage, flips(dealt, problems, found.traces)
    if as_json:
        print_json(
            asdict(share)
            | {"abstained": found.abstained, "errors": found.errors, "usage": asdict(usage)}
            | ({"flips": asdict(flipped)} if flipped else {})
        )
        return
    rows = [
        ("accuracy", f"{share} of {share.n}"),
        ("abstained", str(found.abstained)),
        ("errors", str(found.errors)),
        ("sampled tokens", f"{usage.sampled_tokens:,} ({usage.sampled_tokens / n:,.0f} a problem)"),
        ("prompt tokens", f"{usage.prompt_tokens:,} ({usage.cached_tokens:,} cached)"),
        ("calls", f"{usage.calls:,}"),
    ]
    if usage.judge_calls:
        rows.append(("judge calls", f"{usage.judge_calls:,}"))
    if usage.tool_steps:
        rows.append(("tool steps", f"{usage.tool_steps:,}"))
    if usage.oracle_calls:
        rows.append(
            ("oracle calls", f"{usage.oracle_calls:,}: this method asked the verifier, its accuracy is a bound")
        )
    if flipped:
        rows.append(
            (
                "revisions",
                f"{flipped.revisions} of {flipped.drafts} drafts: {flipped.wrong_to_right} wrong to right, "
                f"{flipped.right_to_wrong} right to wrong",
            )
        )
    print_columns(rows)
    if found.errors:
        reasons = sorted(
            {trace.error or (trace.verdict.detail if trace.verdict else "") for trace in found.traces} - {""}
        )
        print(f"an error: {reasons[0] if reasons else 'no detail'}")
    if save_traces is not None:
        print(f"\nGo on with\n  trivium view {printable(shlex.quote(str(save_traces)))}")


def _saver(path: Path | None, problems: list[Problem], stack: ExitStack) -> Callable[[Trace], None]:
    if path is None:
        return lambda trace: None
    from trivium.store.files import disk, json_line
    from trivium.store.traces import trace_line

    path.parent.mkdir(parents=True, exist_ok=True)
    file = stack.enter_context(path.open("wb"))
    by_id = {problem.question.id: problem for problem in problems}

    def save(trace: Trace) -> None:
        with disk(path):
            file.write(json_line(trace_line("solve", 0, trace, by_id[trace.question_id])))

    return save
