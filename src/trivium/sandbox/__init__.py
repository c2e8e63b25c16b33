"""Running programs that a model wrote: they are hostile until proven otherwise.

`run_program` takes the text of a Python program and gives an `Outcome`; nothing a program does raises here, harms this
process or outlives the call.  Two back ends, and no third way: without isolation the call is refused.

  monty        a Python subset in pooled worker processes, well under a millisecond a program; no files, network,
               processes or third-party modules.  `start_program` stops at an undefined name for the caller to answer.
  bubblewrap   full Python in its own namespaces: no network, a private file system, rlimits; tens of milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from trivium.errors import UnknownName
from trivium.sandbox.bwrap import run_full
from trivium.sandbox.monty import Suspended, start_program
from trivium.sandbox.outcome import DEFAULT_LIMITS, Limits, Outcome

__all__ = ["Backend", "Limits", "Outcome", "Suspended", "run_program", "start_program"]

Backend = Literal["monty", "bubblewrap"]


def run_program(
    code: str, *, inputs: Mapping[str, Any] = {}, limits: Limits = DEFAULT_LIMITS, backend: Backend = "monty"
) -> Outcome:
    """Run `code` with `inputs` bound as globals; the value of its last expression statement is the outcome's `value`.

    With `monty`, inputs and value are plain data (numbers, strings, lists, tuples, dicts, sets); with `bubblewrap` they
    are JSON.  An undefined name is a `NameError` inside the program, as in Python.

    Raises `Unsupported` where the back end cannot isolate on this machine, and `UnknownName` for another back end.
    """
    if backend == "bubblewrap":
        return run_full(code, inputs=inputs, limits=limits)
    if backend != "monty":
        raise UnknownName("sandbox back end", backend, ["monty", "bubblewrap"])
    state = start_program(code, inputs=inputs, limits=limits)
    for _ in range(limits.name_errors):
        if isinstance(state, Outcome):
            return state
        state = state.undefined()
    if isinstance(state, Outcome):
        return state
    return Outcome("error", None, state.stdout, "NameError", f"name {state.name!r} is not defined (again and again)")
