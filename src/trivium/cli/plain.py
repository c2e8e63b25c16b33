"""A learning run as lines of text, for logs and pipes: one line for each thing worth knowing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, TextIO

from trivium.cli.output import duration, printable
from trivium.cli.progress import STAGES, State, search_line
from trivium.report.finding import interval


class PlainDisplay:
    """Writes each event as a line; long phases are thinned to about twenty lines."""

    def __init__(self, title: str, stream: TextIO) -> None:
        self.state = State(title)
        self._stream = stream

    def __enter__(self) -> PlainDisplay:
        self._line(self.state.title)
        return self

    def __exit__(self, *failure: object) -> None:
        self._stream.flush()

    def event(self, event: Mapping[str, Any]) -> None:
        self.state.take(event)
        if line := self._describe(event):
            self._line(line)

    def _describe(self, event: Mapping[str, Any]) -> str | None:
        phase = event["phase"]
        if phase in ("stage", "note"):
            return str(event["message"])
        if phase == "eval" and event["done"] == event["total"]:
            name = event.get("label") or STAGES.get(event["stage"], f"Held-out at step {event['step']}")
            return f"  {name}: {interval(event)} of {event['n']}"
        if phase == "search":
            return f"  {search_line(event)}"
        if phase in ("warmup", "rl", "fit") and not _worth(event["step"], event["steps"]):
            return None
        if phase == "warmup":
            return f"  warm-up {event['step']}/{event['steps']}  loss {_number(event['loss'])}{self._left()}"
        if phase == "fit" or (phase == "rl" and "accuracy" not in event):
            return f"  step {event['step']}/{event['steps']}  loss {_number(event['loss'])}{self._left()}"
        if phase == "rl":
            return (
                f"  step {event['step']}/{event['steps']}  reward {_number(event['reward'])}  "
                f"accuracy {100 * (event['accuracy'] or 0):.0f}%  signal {100 * (event['signal'] or 0):.0f}%  "
                f"length {_number(event['length'])}{self._left()}"
            )
        if phase == "sample":
            answer = " | ".join(event["response"].splitlines())
            return f"  step {event['step']} sample ({event['status']}): {answer[:160]}"
        return None

    def _left(self) -> str:
        return "" if self.state.left is None else f"  {duration(self.state.left)} left"

    def _line(self, text: str) -> None:
        elapsed = duration(time.monotonic() - self.state.started)
        print(f"[{elapsed}] {printable(text)}", file=self._stream, flush=True)


def _worth(step: int, steps: int) -> bool:
    every = max(1, steps // 20)
    return step == 1 or step == steps or step % every == 0


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
