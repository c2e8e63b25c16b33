"""`trivium`: finds the command, runs it, and turns every error into one clear message and an exit code.

0 done    1 the run could not go on    2 the input was wrong    70 a bug in Trivium    130 stopped with Ctrl-C
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import typer

from trivium import __version__
from trivium.cli.stopped import Stopped, stoppable
from trivium.errors import TooFewProblems, TriviumError, UnknownName, UserError
from trivium.types import SPLITS

COMMANDS = {
    "learn": "Teach a model a task, and measure what it gained.",
    "improve": "Search, learn from what was found, search again.",
    "solve": "Run a method over a task, and report accuracy and cost.",
    "compare": "Give several methods the same tokens, and hold them together.",
    "program": "Search one program that serves a whole task.",
    "serve": "Answer over HTTP as OpenAI's API does, by policies and methods.",
    "gateway": "Record what an agent says to a server that speaks OpenAI's API.",
    "key": "Create, list and revoke the API keys of serve.",
    "claim": "Run a paper's experiment, and decide its claims.",
    "rehearse": "Run arms of a recipe on dev problems, with settings changed.",
    "find": "Search the papers by words.",
    "copy": "Copy a recipe, to own it as a script.",
    "list": "List tasks, policies, methods, objectives and more.",
    "show": "Describe a task, method, recipe or other part, or a run.",
    "fetch": "Get a model that Trivium can train, ahead of time.",
    "doctor": "Check this machine, and whether a run can learn.",
    "view": "Look at runs, traces and claims in a browser.",
    "report": "Write a run's report.html again.",
    "board": "Write the board and the pages of recipes from the ledger.",
}

MANY: dict[tuple[str, str], str] = {
    **dict.fromkeys((("solve", split) for split in SPLITS), "--n"),
    **dict.fromkeys((("compare", split) for split in SPLITS), "--n"),
    **{("program", split): f"--{split}" for split in SPLITS},
    ("learn", "test"): "--eval-n",
    ("improve", "test"): "--eval-n",
}
"""The option that says how many problems of a split a command takes."""


def run() -> None:
    """The entry point of the installed command."""
    code = main(sys.argv[1:])
    if code == 130:
        # What is left is to end; a second Ctrl-C would only make Python complain of its own threads.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(code)


def main(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code."""
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        return _dispatch(arguments)
    except TooFewProblems as error:
        error.option = MANY.get((str(_wanted(arguments)), error.split), "")
        return _fail(str(error), 2)
    except UserError as error:
        return _fail(str(error), 2)
    except TriviumError as error:
        return _fail(str(error), 1)
    except Stopped as stopped:
        return _fail(str(stopped), 130)
    except KeyboardInterrupt:  # before a command began
        return _fail("stopped", 130)
    except BrokenPipeError:
        # Whoever read our output has left (`trivium list tasks | head -1`); Python must not complain at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if hasattr(error, "format_message"):  # the parser's own errors: a missing value, an unknown option
            return _fail(_usage(error), 2)
        if debug:
            traceback.print_exc()
            return 70
        with tempfile.NamedTemporaryFile("w", prefix="trivium-error-", suffix=".txt", delete=False) as file:
            traceback.print_exc(file=file)
        first = str(error).partition("\n")[0]
        if _out_of_memory(error):
            tip = "try a smaller policy, a smaller max_rows in its spec, or fewer --micro-tokens where it learns"
            return _fail(f"out of memory: {tip} ({first}; traceback in {file.name})", 1)
        return _fail(f"unexpected {type(error).__name__}: {first} (a bug in Trivium; traceback in {file.name})", 70)


def _out_of_memory(error: Exception) -> bool:
    """Python's, a GPU's, and what torch says of the processor's."""
    name = type(error).__name__
    return name in ("MemoryError", "OutOfMemoryError") or "can't allocate memory" in str(error)


def _wanted(arguments: Sequence[str]) -> str | None:
    """The command of a command line."""
    return next((argument for argument in arguments if not argument.startswith("-")), None)


def _dispatch(arguments: Sequence[str]) -> int:
    wanted = _wanted(arguments)
    if wanted is not None and wanted not in COMMANDS:
        raise UnknownName("command", wanted, COMMANDS, "See: trivium --help")
    # `standalone_mode=False` leaves errors to `main`; the value is what a command, or `typer.Exit`, returned.
    code = _app(wanted)(list(arguments) or ["--help"], prog_name="trivium", standalone_mode=False)
    return code if isinstance(code, int) else 0


def _app(wanted: str | None) -> typer.Typer:
    """All commands by name and summary, but only the wanted one is imported."""
    # Without rich markup the help is plain text, and appears in a third of the time.
    app = typer.Typer(
        add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False,
        help="Teach language models to reason, and measure honestly what taught them.\n\nStart with: trivium learn",
        context_settings={"help_option_names": ["-h", "--help"]},
    )  # fmt: skip
    app.callback()(_global_options)
    for name, summary in COMMANDS.items():
        if name == wanted:
            command: Callable[..., Any] = importlib.import_module(f"trivium.cli.{name}").command
            app.command(name)(stoppable(command))
        else:
            app.command(name, help=summary)(_elsewhere)
    return app


def _elsewhere() -> None:
    raise AssertionError("only the wanted command is ever invoked")


def _version(asked: bool) -> None:
    if asked:
        print(f"trivium {__version__}")
        raise typer.Exit()


def _global_options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
    debug: bool = typer.Option(False, "--debug", help="Show a traceback for unexpected errors (anywhere in the line)."),
) -> None:
    pass


def _usage(error: Any) -> str:
    """A parser error as one sentence, with the nearest options where one is unknown."""
    context = getattr(error, "ctx", None)
    where = context.command_path if context else "trivium"
    if option := getattr(error, "option_name", None):
        known = [name for parameter in (context.command.params if context else ()) for name in parameter.opts]
        if option not in known:
            return str(UnknownName(f"option of {where}:", option, [*known, "--help"], f"See: {where} --help"))
    message: str = error.format_message()
    return f"{message if message.endswith('.') else message + '.'} See: {where} --help"


def _fail(message: str, code: int) -> int:
    sys.stdout.flush()
    over = "\r\033[K" if sys.stderr.isatty() else ""  # a line of progress may stand there, unfinished
    print(f"{over}trivium: {message}", file=sys.stderr)
    return code
