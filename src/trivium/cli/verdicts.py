"""The verdicts that commands show: the lines of the ledger, or a word on standard error that there is none."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from trivium.store.ledger import current, read


def ledger_lines(path: Path) -> list[dict[str, Any]]:
    """All lines of a ledger, oldest first.  Where there is no such file, none, and this is said.

    Raises:
        DataError: the path is a folder, or a line is damaged.
    """
    lines = read(path)
    if not path.exists():
        print(f"trivium: no ledger at {path}, so no verdict is known; name one with --ledger FILE", file=sys.stderr)
    return lines


def headlines(path: Path) -> dict[str, str]:
    """The verdict on every recipe, by slug: that on the first claim which its last run decided.  Raises as above."""
    found: dict[str, str] = {}
    for (slug, _), line in current(ledger_lines(path)).items():
        found.setdefault(slug, line["verdict"])
    return found
