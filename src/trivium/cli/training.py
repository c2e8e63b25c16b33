"""What the commands that train share: options made of a settings dataclass, beginning, going on, and watching."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import MISSING, Field, asdict, fields
from pathlib import Path
from typing import Any, TypeVar

import typer

from trivium.cli.runs import find_run
from trivium.cli.stopped import Stopped
from trivium.errors import RunError, UserError
from trivium.store import Run
from trivium.store.loggers import check_logger, open_logger

PLAIN = (bool, int, float, str, Path)
Settings = TypeVar("Settings")
Event = Mapping[str, Any]


def add_options(command: Callable[..., Any], settings: type[Any], named: str) -> None:
    """Give a command the options that all runs have, then one for each field of the settings, unset unless given.

    typer reads the signature; the dataclass stays the only list of settings.  `named` says how runs without a name are
    called.
    """
    shown = _parameters(settings, named)
    command.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}


def open_run(
    kind: type[Settings],
    verb: str,
    resume: str | None,
    name: str | None,
    runs: Path,
    given: Mapping[str, Any],
    check: Callable[[Settings], None] = lambda settings: None,
) -> tuple[Run, Settings]:
    """A new run's folder and its settings, or those of the run to go on with.  `check` refuses settings before there
    is a folder.

    Raises:
        UserError: an option is wrong; or there is no such run, another command started it, it is finished, or options
            would change it.
    """
    changed = {key: value for key, value in given.items() if value is not None}
    if resume:
        return _go_on(kind, verb, resume, {**changed, **({"name": name} if name else {})}, runs)
    settings = kind(**changed)
    check(settings)
    return Run.create(runs, name, asdict(settings)), settings  # type: ignore[call-overload]


def _go_on(
    kind: type[Settings], verb: str, resume: str, changed: Mapping[str, Any], runs: Path
) -> tuple[Run, Settings]:
    if changed:
        option = "--" + next(iter(changed)).replace("_", "-")
        raise UserError(
            f"--resume goes on with the settings of the run; it cannot change {option}. Leave {option} out."
        )
    run = find_run(resume, runs)
    if run.verb != verb:
        raise UserError(f"{run.path} is a run of trivium {run.verb}; go on with: {run.go_on(resume)}")
    if run.result:
        raise UserError(f"{run.path} is finished; look at it with: trivium show {run.path}")
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    latest = run.latest_checkpoint()
    run.truncate_after(latest[0] if latest else 0)
    # JSON has no tuples, and a setting must be what it was.
    kept: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in run.settings.items() if k in known}
    return run, kind(**kept)


def watch(
    verb: str,
    title: str,
    train: Callable[[Callable[[Event], None]], dict[str, Any]],
    run: Run,
    log: list[str],
    stream: typing.TextIO,
) -> dict[str, Any]:
    """Train under a display and the loggers asked for; the result.

    A run that was refused before anything happened leaves no folder behind.  Raises Stopped with how to go on.
    """
    from trivium.cli.live import open_display

    try:
        for kind in log:
            check_logger(kind)
        with ExitStack() as stack:
            loggers = [open_logger(kind, run.path, run.settings) for kind in log]
            for logger in loggers:
                stack.callback(logger.close)
            display = stack.enter_context(open_display(title, stream))
            for event in run.rows():  # none unless the run is resumed
                display.state.take(event)

            def listen(event: Event) -> None:
                display.event(event)
                for logger in loggers:
                    logger.event(event)

            try:
                return train(listen)
            except KeyboardInterrupt:
                stack.close()
                raise Stopped(
                    f"stopped {display.state.where}; continue with: trivium {verb} --resume {run.path}"
                ) from None
            except RunError as error:
                stack.close()
                on = f"continue with: trivium {verb} --resume {run.path}"
                said = str(error).replace("give the same command again", on)
                hint = "" if "--resume" in said else f" What was learnt is kept in {run.path}."
                raise RunError(said + hint) from error
    except UserError:
        run.discard_if_empty()
        raise
    finally:
        run.close()


def _parameters(settings: type[Any], named: str) -> list[inspect.Parameter]:
    own = [
        ("resume", str | None, typer.Option(None, help="Continue this run (folder or name) where it stopped.")),
        ("name", str | None, typer.Option(None, help=f"Name of the run; default: {named} and a number.")),
        ("runs", Path, typer.Option("runs", help="Where runs are kept.")),
        ("log", list[str] | None, typer.Option(None, help="Log to tensorboard or wandb as well; may be repeated.")),
        ("as_json", bool, typer.Option(False, "--json", help="End with one line: a JSON object with the result.")),
    ]
    hints = typing.get_type_hints(settings)
    inherited = {name for base in settings.__mro__[1:] for name in getattr(base, "__dataclass_fields__", ())}
    # Task and policy first, then what is this command's own, then what all runs have.
    order = sorted(fields(settings), key=lambda field: field.name in inherited - {"task", "policy"})
    described = [(field.name, _optional(hints[field.name]), _option(field)) for field in order]
    kind = inspect.Parameter.KEYWORD_ONLY
    return [inspect.Parameter(name, kind, default=default, annotation=hint) for name, hint, default in described + own]


def _option(field: Field[Any]) -> Any:
    default = field.default if field.default is not MISSING else None
    default = {True: "on", False: "off"}[default] if isinstance(default, bool) else default
    shown = "" if default is None else f"  [default: {default}]"
    return typer.Option(None, help=f"{field.metadata.get('help', '')}{shown}".strip())


def _optional(hint: Any) -> Any:
    """The plain type inside an annotation, or `None`; anything richer is read as text and checked by the settings."""
    inside = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    plain = next((kind for kind in inside if kind in PLAIN), str)
    return plain | None
