"""Plain text for terminals and pipes: aligned columns, durations, and model output made harmless."""

from __future__ import annotations

import json
import re
import shutil
import sys
import textwrap
import time
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")

TELLING = 0.1
"""The share of the whole from which on the time left is told."""


def print_json(value: Any) -> None:
    """One line of JSON on standard output."""
    from trivium.store.files import finite

    print(json.dumps(finite(value), ensure_ascii=False, allow_nan=False))


def print_columns(rows: Iterable[tuple[str, str]], indent: int = 0) -> None:
    """Names and what they mean, the second column wrapped to the width of the terminal."""
    rows = list(rows)
    width = min(max((len(name) for name, _ in rows), default=0), 28)
    columns = shutil.get_terminal_size((80, 24)).columns
    for name, meaning in rows:
        start = f"{' ' * indent}{name:<{width}}  "
        lines = textwrap.wrap(printable(meaning), max(24, columns - len(start))) or [""]
        print(start + lines[0])
        for line in lines[1:]:
            print(" " * len(start) + line)


def print_paragraph(text: str, indent: int = 0) -> None:
    """Text wrapped to the width of the terminal."""
    columns = max(40, shutil.get_terminal_size((80, 24)).columns)
    print(textwrap.fill(printable(text), columns, initial_indent=" " * indent, subsequent_indent=" " * indent))


def printable(text: str) -> str:
    """Text that cannot command a terminal: controls of it or of text direction become a visible dot."""
    return _CONTROL.sub("\N{MIDDLE DOT}", text)


def duration(seconds: float) -> str:
    """`0:42`, `6:05` or `1:02:03`."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


def bytes_text(size: float) -> str:
    """`270 MB`, in powers of ten as shops and package indexes do."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def settings_text(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Settings as columns; unset ones are left out."""
    return [(name, str(value)) for name, value in values.items() if value is not None]


class Progress:
    """Counts towards a total on standard error, with the time left; silent for the first two seconds.

    On a terminal one line is rewritten; elsewhere a line is written for each tenth.
    """

    def __init__(self, what: str, stream: TextIO | None = None) -> None:
        self.what = what
        self._stream = stream or sys.stderr
        self._start = time.monotonic()
        self._last = self._start
        self._tenth = -1

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._start < 2 or not total:
            return
        # The first of a batch take as long as the next hundreds, and first arms make what others share.
        known = done and done / total >= TELLING
        left = f", {duration((now - self._start) / done * (total - done))} left" if known else ""
        line = f"{self.what}: {done}/{total}{left}"
        if self._stream.isatty():
            if now - self._last > 0.1 or done == total:
                self._last = now
                print(f"\r{line:<70}", end="\n" if done == total else "", file=self._stream, flush=True)
        elif 10 * done // total > self._tenth:
            self._tenth = 10 * done // total
            print(line, file=self._stream, flush=True)
