"""What a sandboxed program may use, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

Status = Literal["ok", "error", "timeout", "memory", "output-limit", "refused"]

MAX_MESSAGE = 500
MAX_DEPTH = 100


@dataclass(frozen=True, slots=True)
class Limits:
    """A program's allowance.

    `seconds` of running time (bubblewrap: of the wall clock, and of a processor); `memory_mb` in mebibytes (bubblewrap:
    of each process); `output_bytes` for printed text and, separately, for the value; `recursion` depth and
    `name_errors`, undefined names met before the program is given up (monty); `processes`, threads included, and
    `file_mb`, mebibytes of files (bubblewrap).
    """

    seconds: float = 2.0
    memory_mb: int = 64
    output_bytes: int = 64_000
    recursion: int = 400
    name_errors: int = 20
    processes: int = 16
    file_mb: int = 16

    def __post_init__(self) -> None:
        for f in fields(self):
            if getattr(self, f.name) <= 0:
                raise ValueError(f"limit {f.name}={getattr(self, f.name)}: expected a positive number")


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a program ended.

    `ok` has a `value` (`None` if the program does not end in an expression).  `error` names the exception type in
    `error`, with its `message` and the program's `line` (1-based) where known.  `timeout`, `memory` and `output-limit`
    say which allowance ran out; `refused` says which file, environment or operating-system call was asked for.
    `stdout` is what was printed until then.
    """

    status: Status
    value: Any = None
    stdout: str = ""
    error: str = ""
    message: str = ""
    line: int | None = None

    @property
    def ok(self) -> bool:
        return self.status == "ok"

    @property
    def reason(self) -> str:
        """Why the program did not end well, in one line: `IndexError: list index out of range (line 2)`."""
        what = f"{self.error}: {self.message}" if self.error else ": ".join(filter(None, (self.status, self.message)))
        return what + (f" (line {self.line})" if self.line is not None else "")


def too_large(value: Any, limit: int) -> bool:
    """True if plain data would take more than about `limit` bytes written out, or nests deeper than `MAX_DEPTH`.

    Shared parts are counted every time they occur, because whoever walks, prints or compares the value pays for them
    every time; the walk stops as soon as the answer is known.
    """
    todo: list[tuple[Any, int]] = [(value, 0)]
    size = 0
    while todo:
        item, depth = todo.pop()
        size += 1
        if isinstance(item, (str, bytes)):
            size += len(item)
        elif isinstance(item, int):
            size += item.bit_length() // 8
        elif isinstance(item, dict):
            size += 2 * len(item)
        elif isinstance(item, (list, tuple, set, frozenset)):
            size += len(item)
        if size > limit or depth > MAX_DEPTH:
            return True
        if isinstance(item, dict):
            todo.extend((part, depth + 1) for pair in item.items() for part in pair)
        elif isinstance(item, (list, tuple, set, frozenset)):
            todo.extend((part, depth + 1) for part in item)
    return False


def shortened(text: str) -> str:
    """At most `MAX_MESSAGE` characters: a program chooses its own exception messages."""
    return text if len(text) <= MAX_MESSAGE else text[: MAX_MESSAGE - 3] + "..."
