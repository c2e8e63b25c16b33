"""Markdown that shows what it is given: tables, and plain text in which nothing becomes markup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_CODE = re.compile(r"(`+)(.+?)\1", re.DOTALL)
_MARKUP = re.compile(r"[*\[\]$<]|(?<!\w)_|_(?!\w)|^#", re.MULTILINE)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = ()) -> str:
    """A Markdown table; the columns in `right` hold numbers."""
    at_right = set(right)
    rule = ["---:" if i in at_right else "---" for i in range(len(heads))]
    return "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in [heads, rule, *rows])


def _cell(value: str) -> str:
    return " ".join(value.replace("|", "\\|").split())


def prose(value: str) -> str:
    """Plain text as Markdown that shows it unchanged: code in backticks and indented formulas stay as they are."""
    return "\n\n".join(map(_paragraph, value.split("\n\n")))


def _paragraph(value: str) -> str:
    if all(line.startswith("    ") for line in value.splitlines()):
        return value
    parts, end = [], 0
    for code in _CODE.finditer(value):
        parts += [_escaped(value[end : code.start()]), code[0]]
        end = code.end()
    return "".join([*parts, _escaped(value[end:])])


def _escaped(value: str) -> str:
    return _MARKUP.sub(lambda found: "&lt;" if found[0] == "<" else f"\\{found[0]}", value)
