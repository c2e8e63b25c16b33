"""`trivium learn`: teach a model a task.  The options are the fields of `trivium.teach.LearnSettings`."""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import MISSING, Field, asdict, fields
from pathlib import Path
from typing import Any

import typer

from trivium.cli.output import print_columns, print_json, print_paragraph, printable
from trivium.cli.runs import find_run
from trivium.errors import RunError, UserError
from trivium.store import Run
from trivium.store.loggers import check_logger, open_logger
from trivium.teach import LearnSettings

PLAIN = (bool, int, float, str, Path)


def command(
    resume: str | None, name: str | None, runs: Path, log: list[str] | None, as_json: bool, **given: Any
) -> int | None:
    """Teach a model a task by reinforcement learning on verified answers, and measure honestly what it gained.

    Without options it teaches the embedded model chained arithmetic, in about six minutes on two cores.
    """
    changed = {key: value for key, value in given.items() if value is not None}
    for kind in log or []:
        check_logger(kind)
    run, settings = _continue(resume, name, runs, changed) if resume else _begin(name, runs, changed)
    try:
        result = _watch(run, settings, log or [], sys.stderr if as_json else sys.stdout)
    except UserError:
        run.discard_if_empty()
        raise
    finally:
        run.close()
    if isinstance(result, int):
        return result
    if as_json:
        print_json({key: value for key, value in result.items() if key != "transcripts"})
    else:
        _print_result(result)
    return None


def _begin(name: str | None, runs: Path, changed: Mapping[str, Any]) -> tuple[Run, LearnSettings]:
    settings = LearnSettings(**changed)
    return Run.create(runs, name, asdict(settings)), settings


def _continue(resume: str, name: str | None, runs: Path, changed: Mapping[str, Any]) -> tuple[Run, LearnSettings]:
    """The run to go on with and the settings it was started with.

    Raises:
        UserError: there is no such run, it is finished, or other options would change it.
    """
    if changed or name:
        option = "--" + (next(iter(changed)) if changed else "name").replace("_", "-")
        raise UserError(
            f"--resume goes on with the settings of the run; it cannot change {option}. Leave {option} out."
        )
    run = find_run(resume, runs)
    if run.result:
        raise UserError(f"{run.path} is finished; look at it with: trivium show {run.path}")
    known = {field.name for field in fields(LearnSettings)}
    latest = run.latest_checkpoint()
    run.truncate_after(latest[0] if latest else 0)
    # JSON has no tuples, and a setting must be what it was.
    kept: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in run.settings.items() if k in known}
    return run, LearnSettings(**kept)


def _watch(run: Run, settings: LearnSettings, log: list[str], stream: typing.TextIO) -> dict[str, Any] | int:
    """Learn under a display and the loggers asked for; the result, or an exit code when stopped."""
    from trivium.cli.live import open_display
    from trivium.teach import learn

    title = f"{settings.policy} learns {settings.task} by {settings.objective}"
    with ExitStack() as stack:
        loggers = [open_logger(kind, run.path, asdict(settings)) for kind in log]
        for logger in loggers:
            stack.callback(logger.close)
        display = stack.enter_context(open_display(title, stream))
        for event in run.rows():  # none unless the run is resumed
            display.state.take(event)

        def listen(event: Mapping[str, Any]) -> None:
            display.event(event)
            for logger in loggers:
                logger.event(event)

        try:
            result: dict[str, Any] = learn(settings, run, listen)
            return result
        except KeyboardInterrupt:
            stack.close()
            step = f"step {display.state.step}" if display.state.rl else "the first step"
            print(f"stopped at {step}; continue with: trivium learn --resume {run.path}", file=sys.stderr)
            return 130
        except RunError as error:
            stack.close()
            hint = "" if "--resume" in str(error) else f" What was learnt is kept in {run.path}."
            raise RunError(str(error).replace("--resume RUN", f"--resume {run.path}") + hint) from error


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


def _parameters() -> list[inspect.Parameter]:
    """The command's own options, then one for each field of the settings, unset unless given."""
    own = [
        ("resume", str | None, typer.Option(None, help="Continue this run (folder or name) where it stopped.")),
        ("name", str | None, typer.Option(None, help="Name of the run; default: task-policy-objective and a number.")),
        ("runs", Path, typer.Option("runs", help="Where runs are kept.")),
        ("log", list[str] | None, typer.Option(None, help="Log to tensorboard or wandb as well; may be repeated.")),
        ("as_json", bool, typer.Option(False, "--json", help="End with one line: a JSON object with the result.")),
    ]
    hints = typing.get_type_hints(LearnSettings)
    settings = [(field.name, _optional(hints[field.name]), _option(field)) for field in fields(LearnSettings)]
    kind = inspect.Parameter.KEYWORD_ONLY
    return [inspect.Parameter(name, kind, default=default, annotation=hint) for name, hint, default in settings + own]


def _option(field: Field[Any]) -> Any:
    default = field.default if field.default is not MISSING else None
    shown = "" if default is None else f"  [default: {default}]"
    return typer.Option(None, help=f"{field.metadata.get('help', '')}{shown}".strip())


def _optional(hint: Any) -> Any:
    """The plain type inside an annotation, or `None`; anything richer is read as text and checked by the settings."""
    inside = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    plain = next((kind for kind in inside if kind in PLAIN), str)
    return plain | None


_SHOWN = _parameters()
# typer reads the signature; the settings dataclass stays the only list of settings.
command.__signature__ = inspect.Signature(_SHOWN)  # type: ignore[attr-defined]
command.__annotations__ = {parameter.name: parameter.annotation for parameter in _SHOWN}
