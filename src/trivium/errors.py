"""One family of errors.  Every message says what was wrong, what was expected and what to type.

TriviumError                 anything this library raises on purpose
  UserError                  bad input; the command line prints the message and exits with 2
    UnknownName              a name that is not registered, with the nearest ones
    MissingPackage           an optional dependency, with the line that installs it
    Unsupported              a setting that this policy or back end cannot honour, with those that can
    ContextFull              a prompt that leaves no room in the policy's context
    TooFewProblems           a task has fewer problems than were asked for, and says how many
    DataError                a broken data file: file, row, field, reason
  RunError                   a run cannot go on (nothing to learn, disk full); what was learnt is kept; exit code 1
  BudgetExhausted            raised inside a method when its allowance is spent; the driver catches it
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class TriviumError(Exception):
    """Base of all deliberate errors; `str()` is a finished sentence for a person."""


class UserError(TriviumError):
    """The input cannot be used as given."""


MOST_LISTED = 40
"""More names than that are no message any more."""


class UnknownName(UserError):
    """`name` is not one of `choices`."""

    def __init__(self, kind: str, name: str, choices: Iterable[str], hint: str = "") -> None:
        known = sorted(choices)
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        if not near:
            near = [k for k in known if k.startswith(name[:3])][:3] if name else []
        if near:
            said = f"Did you mean {_either(near)}?"
        elif len(known) > MOST_LISTED:
            said = f"None of the {len(known)} known ones is near it."
        else:
            said = f"Known: {', '.join(known) or 'none'}."
        super().__init__(f"unknown {kind} {name!r}. {said}" + (f" {hint}" if hint else ""))
        self.kind, self.name, self.nearest = kind, name, tuple(near)


class MissingPackage(UserError):
    """An optional dependency is not installed."""

    def __init__(self, what: str, package: str, install: str) -> None:
        super().__init__(f"{what} needs {package}, which is not installed. Install it with: {install}")


class Unsupported(UserError):
    """A setting that the chosen back end cannot honour."""


class ContextFull(UserError):
    """A prompt, or a prompt and what is to follow it, does not fit into the policy's context."""


class TooFewProblems(UserError):
    """A task has only `available` problems of a split, and `asked` were asked for."""

    def __init__(self, task: str, split: str, available: int, asked: int, hint: str = "") -> None:
        super().__init__(task, split, available, asked, hint)
        self.task, self.split, self.available, self.asked, self.hint = task, split, available, asked, hint
        self.option = ""
        """What to ask for fewer with; whoever read it from a command line says so."""

    def __str__(self) -> str:
        fewer = "Ask for fewer" + (f" with {self.option} {self.available}" if self.option and self.available else "")
        return (
            f"{self.task} has only {self.available} different {self.split} problems, {self.asked} were asked for."
            f" {fewer}{', or ' + self.hint if self.hint else ''}."
        )


class DataError(UserError):
    """A data file that cannot be used: names the file, the row, the field and the reason."""


class RunError(TriviumError):
    """A run cannot go on; everything up to the last finished step is on disk."""


class BudgetExhausted(TriviumError):
    """An attempt has spent its allowance."""


def _either(names: list[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
