"""A side of a race in a process of its own, which takes a turn when it is told to.

The parent starts `python -m benchmarks.worker MODULE:FUNCTION` with the function's arguments as JSON, sends one line
for each turn and reads one line of facts back.  The function gets a `Turns` to take them from.
"""

from __future__ import annotations

import collections
import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from trivium.errors import RunError
from trivium.store.machine import cores

Facts = dict[str, Any]


class Worker:
    """The parent's end.  Use as a context manager; `turn` runs one step over there."""

    def __init__(self, target: str, **arguments: Any) -> None:
        threads = str(cores())
        quiet = {
            "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "TRL_EXPERIMENTAL_SILENCE": "1", "PYTHONWARNINGS": "ignore",
        }  # fmt: skip
        self.target = target
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed in __exit__)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", target, json.dumps(arguments)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True, env=os.environ | quiet,
            cwd=Path(__file__).parents[1],
        )  # fmt: skip

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.stdin:
            self.process.stdin.close()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()
        self.errors.close()

    def turn(self, **command: Any) -> Facts:
        """One step over there; its facts.  Raises RunError with the worker's last words if it died."""
        to, back = self.process.stdin, self.process.stdout
        assert to is not None
        assert back is not None
        try:
            to.write(json.dumps(command) + "\n")
            to.flush()
            line = back.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            code = self.process.wait()
            self.errors.seek(0)
            last = collections.deque((s.strip() for s in self.errors if s.strip()), maxlen=3)
            raise RunError(f"{self.target} died (exit code {code}): {' | '.join(last) or 'it said nothing'}")
        facts: Facts = json.loads(line)
        return facts


class Turns:
    """The worker's end: `next` waits for a command, `done` answers it."""

    def __init__(self, commands: TextIO, answers: TextIO) -> None:
        self._commands, self._answers = commands, answers
        self.count = -1

    def next(self) -> Facts | None:
        """The next command, or `None` when there will be no more; `count` is its number, from 0."""
        line = self._commands.readline()
        self.count += 1
        command: Facts | None = json.loads(line) if line.strip() else None
        return command

    def done(self, **facts: Any) -> None:
        """Answer the command taken last."""
        self._answers.write(json.dumps({"peak_mb": peak_mb(), **facts}) + "\n")
        self._answers.flush()

    def each(self, step: Callable[[int, Facts], Facts]) -> None:
        """Answer every command with the facts of `step(number, command)`."""
        while (command := self.next()) is not None:
            self.done(**step(self.count, command))


def peak_mb() -> float:
    """The most memory this process has held, in MB of 10^6 bytes.

    Linux says it per program (VmHWM).  getrusage also counts what the parent held when it started us.
    """
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            kib = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "darwin" else 1)
    return kib * 1024 / 1e6


def main(target: str, arguments: str) -> None:
    """Serve turns until the parent closes the line."""
    # Answers have a channel of their own, so that nothing a library prints can get between them.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    module, _, function = target.partition(":")
    import torch

    torch.set_num_threads(cores())
    getattr(importlib.import_module(f"benchmarks.{module}"), function)(
        Turns(sys.stdin, answers), **json.loads(arguments)
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
