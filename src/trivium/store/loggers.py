"""Loggers a flag turns on: they listen to the same events as the display and keep nothing Trivium needs."""

from __future__ import annotations

import importlib
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from trivium.errors import MissingPackage, UnknownName
from trivium.store.files import read_lines
from trivium.store.run import Run


class Logger(Protocol):
    """Receives every event of a run."""

    def event(self, row: Mapping[str, Any]) -> None: ...

    def close(self) -> None: ...


def check_logger(kind: str) -> None:
    """Whether the logger called `kind` (`tensorboard` or `wandb`) can be opened, before a run begins.

    Raises:
        UnknownName: there is no such logger.
        MissingPackage: its package is not installed.
    """
    if kind not in LOGGERS:
        raise UnknownName("logger", kind, LOGGERS)
    try:
        importlib.import_module(kind)
    except ImportError as error:
        raise MissingPackage(f"--log {kind}", kind, f"pip install {kind}") from error


def open_logger(kind: str, folder: Path, settings: Mapping[str, Any]) -> Logger:
    """The logger called `kind` for the run in `folder`; raises what `check_logger` does."""
    check_logger(kind)
    return LOGGERS[kind](folder, settings)


_GROUPS = {
    "eval": "eval/{stage}", "warmup": "warmup", "rl": "rl", "fit": "fit/{arm}", "search": "round/{arm}",
}  # fmt: skip
"""What the numbers of a phase are called together, an arm of `trivium improve` at a time."""


def scalars(row: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The numbers of a progress event as (`rl/reward`, value); a partial evaluation and text have none."""
    phase = row["phase"]
    if phase not in _GROUPS or (phase == "eval" and row["done"] < row["total"]):
        return
    group = _GROUPS[phase].format_map(row)
    for key, value in row.items():
        if key == "terms":
            yield from ((f"{group}/term/{name}", float(mean)) for name, mean in value.items() if mean is not None)
        elif key not in ("step", "steps", "round", "done", "total") and isinstance(value, int | float):
            yield f"{group}/{key}", float(value)


class Axis:
    """Where events stand on the axis of their numbers: the steps of a round go on where the round before ended."""

    def __init__(self, folder: Path) -> None:
        self._ends: dict[tuple[str, int], int] = {}
        for row in read_lines(folder / "metrics.jsonl"):  # of a run that is taken up again
            self.place(row)

    def place(self, row: Mapping[str, Any]) -> int:
        """The step of an event, or the round of one that sums up a round."""
        if row["phase"] not in ("fit", "search"):
            return int(row.get("step", 0))
        arm, number = row["arm"], row["round"]
        before = self._ends.get((arm, number - 1), 0)
        self._ends[arm, number] = before + row["steps"]
        return int(number if row["phase"] == "search" else before + row["step"])


class TensorBoard:
    """Event files under `<run>/tensorboard`; look at them with: tensorboard --logdir runs"""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._event, self._summary = Event, Summary
        self._writer = EventFileWriter(str(folder / "tensorboard"))
        self._axis = Axis(folder)

    def event(self, row: Mapping[str, Any]) -> None:
        step = self._axis.place(row)
        values = [self._summary.Value(tag=tag, simple_value=number) for tag, number in scalars(row)]
        if values:
            self._writer.add_event(self._event(wall_time=time.time(), step=step, summary=self._summary(value=values)))

    def close(self) -> None:
        self._writer.close()


class WeightsAndBiases:
    """One W&B run named after the folder, in the project `trivium`: the same one when the run is taken up again."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        import wandb

        about = Run.open(folder).about
        # Names come back in other folders and on other machines, and those are other runs.
        made = f"{about['name']}-{re.sub(r'[^0-9]', '', about['created'])}"
        self._run = wandb.init(
            project="trivium", name=folder.name, id=made, dir=str(folder), config=dict(settings), resume="allow"
        )
        self._axis = Axis(folder)

    def event(self, row: Mapping[str, Any]) -> None:
        step = self._axis.place(row)
        if values := dict(scalars(row)):
            # Every phase and arm counts from 1, so the step is a value of the row, not W&B's own axis.
            group = "eval" if row["phase"] == "eval" else _GROUPS[row["phase"]].format_map(row)
            self._run.log(values | {f"{group}/step": step})

    def close(self) -> None:
        self._run.finish()


LOGGERS: dict[str, Callable[[Path, Mapping[str, Any]], Logger]] = {
    "tensorboard": TensorBoard,
    "wandb": WeightsAndBiases,
}
