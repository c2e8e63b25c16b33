"""Loggers a flag turns on: they listen to the same events as the display and keep nothing Trivium needs."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from trivium.errors import MissingPackage, UnknownName


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


def scalars(row: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The numbers of a progress event as (`rl/reward`, value); a partial evaluation and text have none."""
    phase = row["phase"]
    if phase not in ("eval", "warmup", "rl") or (phase == "eval" and row["done"] < row["total"]):
        return
    group = f"eval/{row['stage']}" if phase == "eval" else phase
    for key, value in row.items():
        if key == "terms":
            yield from ((f"{group}/term/{name}", float(mean)) for name, mean in value.items() if mean is not None)
        elif key not in ("step", "steps", "done", "total") and isinstance(value, int | float):
            yield f"{group}/{key}", float(value)


class TensorBoard:
    """Event files under `<run>/tensorboard`; look at them with: tensorboard --logdir runs"""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._event, self._summary = Event, Summary
        self._writer = EventFileWriter(str(folder / "tensorboard"))

    def event(self, row: Mapping[str, Any]) -> None:
        values = [self._summary.Value(tag=tag, simple_value=number) for tag, number in scalars(row)]
        if values:
            self._writer.add_event(
                self._event(wall_time=time.time(), step=row["step"], summary=self._summary(value=values))
            )

    def close(self) -> None:
        self._writer.close()


class WeightsAndBiases:
    """One W&B run named after the folder, in the project `trivium`."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        import wandb

        self._run = wandb.init(
            project="trivium", name=folder.name, id=folder.name, dir=str(folder), config=dict(settings), resume="allow"
        )

    def event(self, row: Mapping[str, Any]) -> None:
        if values := dict(scalars(row)):
            # Warm-up and RL both count from 1, so the step is a value of the row, not W&B's own axis.
            self._run.log(values | {f"{row['phase']}/step": row["step"]})

    def close(self) -> None:
        self._run.finish()


LOGGERS: dict[str, Callable[[Path, Mapping[str, Any]], Logger]] = {
    "tensorboard": TensorBoard,
    "wandb": WeightsAndBiases,
}
