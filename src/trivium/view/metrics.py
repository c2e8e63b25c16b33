"""A run's events as series to draw, read on from where the last look ended."""

from __future__ import annotations

import json
import math
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from trivium.store.loggers import scalars

MOST = 1000
"""Points of a series that are sent."""
TAIL = 64 << 10
BLOCK = 16 << 20
"""Bytes of events that are read in one go; an event is shorter."""
SEEN = 256
"""Bytes before the end of what was read that must be as they were, or the run was taken back."""
Row = Mapping[str, Any]
Point = tuple[float, float]
Round = tuple[Any, float, float]
"""A round by its number, and where its steps begin and end behind those of the rounds before it."""

_HIDDEN = {"n", "total", "done", "low", "high", "seconds_left", "round"}
_GROUPS = {
    "reward": "Reward", "accuracy": "Accuracy", "signal": "Accuracy", "all_correct": "Accuracy",
    "all_wrong": "Accuracy", "preferred": "Accuracy", "entropy": "Entropy", "length": "Length", "truncated": "Length",
    "loss": "Loss", "nll": "Loss", "grad_norm": "Loss",
}  # fmt: skip
_SHARES = {"accuracy", "signal", "all_correct", "all_wrong", "truncated", "verifier_errors", "preferred", "clip_low",
           "clip_high"}  # fmt: skip
_LABELS = {
    "signal": "groups with signal", "all_correct": "groups all correct", "all_wrong": "groups all wrong",
    "truncated": "cut off", "kl_ref": "KL to the reference, trained tokens",
    "kl_old": "KL to the sampler, trained tokens", "kl": "KL, trained tokens",
    "mismatch": "sampler against trainer, trained tokens",
    "entropy": "entropy, trained tokens", "ratio": "ratio, trained tokens", "clip_low": "clipped low, trained tokens",
    "clip_high": "clipped high, trained tokens", "grad_norm": "gradient norm", "lr": "learning rate", "nll": "log loss",
    "length": "response length", "generate": "sampled", "learn": "trained",
}  # fmt: skip
_RATES = {"generate": ("tokens_sampled", "seconds_generate"), "learn": ("tokens_trained", "seconds_learn")}
_ROUND = re.compile(r"(search|control)-(\d+)-(greedy|method)")
_STARTS = {"start-greedy": "greedy", "start-method": "method"}
_HELD_OUT = ("before", "after_warmup", "progress", "after")


@dataclass(slots=True)
class Curve:
    """A series before it is thinned; `band` is as long as `points`, or empty where there are no intervals."""

    stage: str
    points: list[Point] = field(default_factory=list)
    band: list[Sequence[float] | None] = field(default_factory=list)


@dataclass(slots=True)
class Events:
    """What was taken from the events so far: the curves by key, and the stages in order."""

    curves: dict[str, Curve] = field(default_factory=dict)
    stages: dict[str, None] = field(default_factory=dict)
    _rounds: dict[str, Round] = field(default_factory=dict)
    _reached: float = 0.0
    """The last step of reinforcement learning so far."""

    def add(self, row: Row) -> None:
        if row.get("phase") == "stage":
            self.stages[str(row.get("stage"))] = None
        if row.get("phase") == "rl" and _is_number(row.get("step")):
            self._reached = row["step"]
        for key, stage, x, value, band in _points(row, self._rounds, self._reached):
            if _is_number(x) and math.isfinite(x) and math.isfinite(value):
                curve = self.curves.get(key) or self.curves.setdefault(key, Curve(stage))
                curve.points.append((x, value))
                curve.band.append(band)

    def series(self) -> list[dict[str, Any]]:
        """Every curve, thinned, with what a drawing says of it; held-out accuracy first."""
        out = []
        for key, curve in list(self.curves.items()):
            points = curve.points[:]  # others may add to it meanwhile
            kept = thinned(points)
            one = {"key": key, **_described(key), "stage": curve.stage, "points": [points[i] for i in kept]}
            if all(curve.band[: len(points)]):
                one["band"] = [list(curve.band[i] or ()) for i in kept]
            out.append(one)
        return sorted(out, key=lambda one: one["stage"] != "eval")


@dataclass(slots=True)
class Metrics:
    """The events of a metrics.jsonl; `update` reads what was added, or everything again where the file was cut back."""

    path: Path
    events: Events = field(default_factory=Events)
    _end: int = 0
    _file: tuple[int, int] = (0, 0)
    _seen: bytes = b""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def update(self) -> Events:
        """All events so far; a torn last line and lines that are no events are left out."""
        with self._lock:
            try:
                with open(self.path, "rb") as file:
                    self._read(file.fileno())
            except (FileNotFoundError, NotADirectoryError):  # a file of traces has no events
                self.events, self._end = Events(), 0
            return self.events

    def _read(self, handle: int) -> None:
        found = os.fstat(handle)
        file = (found.st_dev, found.st_ino)
        before = os.pread(handle, min(SEEN, self._end), max(0, self._end - SEEN))
        if file != self._file or found.st_size < self._end or before != self._seen:
            self.events, self._end = Events(), 0
        while data := os.pread(handle, BLOCK, self._end):
            whole = data[: data.rfind(b"\n") + 1]
            for row in _rows(whole):
                self.events.add(row)
            self._end += len(whole)
            if not whole:
                break
        self._file, self._seen = file, os.pread(handle, min(SEEN, self._end), max(0, self._end - SEEN))


def last_step(path: Path) -> tuple[int, int | None]:
    """How far a run is, and of how many steps, from the end of its metrics.jsonl alone."""
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            data = os.pread(file.fileno(), TAIL, max(0, size - TAIL))
    except OSError:
        return 0, None
    for row in reversed(list(_rows(data[: data.rfind(b"\n") + 1]))):
        step, steps = row.get("step"), row.get("steps")
        if isinstance(step, int) and isinstance(steps, int):
            return step, steps
    return 0, None


def thinned(points: Sequence[Point], most: int = MOST) -> list[int]:
    """Which points to keep of many: the first, the last, and the lowest and highest of every stretch between."""
    n = len(points)
    if n <= most:
        return list(range(n))
    stretches = max(1, (most - 2) // 2)
    kept = {0, n - 1}
    for i in range(stretches):
        stretch = range(1 + i * (n - 2) // stretches, 1 + (i + 1) * (n - 2) // stretches)
        kept |= {min(stretch, key=lambda j: points[j][1]), max(stretch, key=lambda j: points[j][1])}
    return sorted(kept)


Found = tuple[str, str, float, float, list[float] | None]


def _points(row: Row, rounds: dict[str, Round], reached: float) -> Iterator[Found]:
    """The points that an event makes: key, stage, x, value and interval.

    `rounds` has the round that each arm is in; `reached` is the last step of reinforcement learning before the event.
    """
    phase = row.get("phase")
    try:
        if phase in ("rl", "warmup"):
            numbers = dict(scalars(row))
            numbers |= {f"{phase}/tokens_per_second/{name}": rate for name, rate in _rates(row)}
            shown = ((key, v) for key, v in numbers.items() if key.partition("/")[2] not in _HIDDEN)
            yield from ((key, phase, row["step"], v, None) for key, v in shown)
        elif phase == "eval" and row["done"] == row["total"]:
            yield from _evaluation(row, reached)
        elif phase == "fit":
            yield from _fit(row, rounds)
        elif phase == "search":
            yield from _search(row)
    except (KeyError, TypeError, ValueError, ZeroDivisionError):  # an event of another version, or of nobody's
        return


def _evaluation(row: Row, reached: float) -> Iterator[Found]:
    """Held-out accuracy: over the steps of a run that learns, over the rounds of one that improves.

    The last evaluation of a run that learns names no step: it stands where learning ended.
    """
    stage, accuracy = str(row["stage"]), row["accuracy"]
    if not _is_number(accuracy):
        return
    band = [row["low"], row["high"]]
    if matched := _ROUND.fullmatch(stage):
        yield f"round/{matched[1]}/{matched[3]}", "round", int(matched[2]), accuracy, band
    elif stage in _STARTS:
        yield from ((f"round/{arm}/{_STARTS[stage]}", "round", 0, accuracy, band) for arm in ("search", "control"))
    elif stage in _HELD_OUT:
        yield "eval/accuracy", "eval", reached if stage == "after" else row["step"], accuracy, band
    else:
        yield f"eval/{stage}/accuracy", "eval", row["step"], accuracy, band


def _fit(row: Row, rounds: dict[str, Round]) -> Iterator[Found]:
    """Steps of the rounds of an arm, one round behind the last that had any: a round without examples takes none."""
    arm, r = row["arm"], row["round"]
    last, first, end = rounds.get(arm, (r, 0.0, 0.0))
    first = first if r == last else end
    rounds[arm] = r, first, first + row["steps"]
    x = first + row["step"]
    for key, value in row.items():
        if _is_number(value) and key not in ("step", "steps") and key not in _HIDDEN:
            yield f"fit/{arm}/{key}", "fit", x, value, None


def _search(row: Row) -> Iterator[Found]:
    arm, r = row["arm"], row["round"]
    if row["ends"]:
        yield f"round/{arm}/right", "round", r, row["right"] / row["ends"], None
    for key in ("solved", "examples", "sampled_tokens"):
        if _is_number(row.get(key)):
            yield f"round/{arm}/{key}", "round", r, row[key], None


def _rates(row: Row) -> Iterator[tuple[str, float]]:
    for name, (tokens, seconds) in _RATES.items():
        if row.get(tokens) and row.get(seconds):
            yield name, row[tokens] / row[seconds]


def _described(key: str) -> dict[str, str]:
    """The group, the label and the unit of a series."""
    parts = key.split("/")
    name = parts[-1]
    arm = f"{'search' if parts[1] == 'search' else 'no search'}: " if parts[0] in ("round", "fit") else ""
    if "tokens_per_second" in parts:
        return {"group": "Speed", "label": f"tokens/s, {_LABELS[name]}", "unit": "tokens/s"}
    if "term" in parts:
        return {"group": "Reward", "label": name, "unit": ""}
    if parts[0] == "round" and name in ("greedy", "method", "right"):
        what = {"greedy": "greedy, held out", "method": "the method, held out", "right": "right in training"}[name]
        return {"group": "Accuracy", "label": arm + what, "unit": "%"}
    if parts[0] == "eval":
        where = parts[1].replace("_", " ") if len(parts) == 3 else "held out, greedy"
        return {"group": "Accuracy", "label": where, "unit": "%"}
    label = arm + _LABELS.get(name, name.replace("_", " "))
    if name.startswith("seconds"):
        return {"group": "Speed", "label": label, "unit": "s"}
    unit = "%" if name in _SHARES else "tokens" if "tokens" in name or name == "length" else ""
    return {"group": _GROUPS.get(name, "Other"), "label": label, "unit": unit}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _rows(data: bytes) -> Iterable[dict[str, Any]]:
    for line in data.split(b"\n"):
        try:
            row = orjson.loads(line)
        except ValueError:
            try:
                row = json.loads(line.decode(errors="replace"))
            except (ValueError, RecursionError):
                continue
        if isinstance(row, dict):
            yield row
