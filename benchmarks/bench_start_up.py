"""How long a person waits for the first word: whole processes, from the start to the exit."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from benchmarks.pairing import Row, row

LIMITS = {("--help",): 0.3, ("list", "tasks"): 1.0}


def rows(pairs: int = 5) -> list[Row]:
    """`trivium --help` and `trivium list tasks`, against the seconds they may take."""
    return [
        row(
            f"trivium {' '.join(words)}", "limit", "s", measured(words, limit, pairs), better="lower", reach=1.0,
            note="wall clock of a whole process, file cache warm",
        )
        for words, limit in LIMITS.items()
    ]  # fmt: skip


def measured(words: tuple[str, ...], limit: float, pairs: int) -> list[tuple[float, float]]:
    """(seconds, limit) of `pairs` runs after one that warms the file cache."""
    seconds(words)
    return [(seconds(words), limit) for _ in range(pairs)]


def seconds(words: tuple[str, ...]) -> float:
    """One run of the command installed beside this Python."""
    command = [str(Path(sys.executable).with_name("trivium")), *words]
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began
