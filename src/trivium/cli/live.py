"""A learning run as it happens: a screen of 80 columns that redraws itself."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Protocol, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from trivium.cli.chart import braille, sparkline
from trivium.cli.output import duration, printable
from trivium.cli.plain import PlainDisplay
from trivium.cli.progress import State, labelled, rates, search_line, time_shares

STATUS = {"correct": "green", "wrong": "red", "unparseable": "yellow", "error": "magenta"}
SIGNS = {"correct": "✓", "wrong": "✗", "unparseable": "?", "error": "!"}


class Display(Protocol):
    """Takes events inside a `with` block; `state` is what has been shown so far."""

    state: State

    def __enter__(self) -> Display: ...

    def __exit__(self, *failure: object) -> None: ...

    def event(self, event: Mapping[str, Any]) -> None: ...


def open_display(title: str, stream: TextIO) -> Display:
    """A live screen where `stream` is a terminal that can draw one, lines of text anywhere else."""
    unicode = (getattr(stream, "encoding", None) or "").lower().replace("-", "") == "utf8"
    if stream.isatty() and unicode and Console(file=stream).is_terminal and not Console(file=stream).is_dumb_terminal:
        return LiveDisplay(title, Console(file=stream))
    return PlainDisplay(title, stream)


class LiveDisplay:
    """Redraws twice a second: more would take time from the two cores that learn."""

    def __init__(self, title: str, console: Console) -> None:
        self.state = State(title)
        self._console = console
        self._live = Live(console=console, get_renderable=self.render, refresh_per_second=2, transient=False)

    def __enter__(self) -> LiveDisplay:
        self._live.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._live.stop()

    def event(self, event: Mapping[str, Any]) -> None:
        self.state.take(event)

    def render(self) -> Group:
        state, width = self.state, min(self._console.width, 100)
        parts: list[RenderableType] = [_title(state, width), Text(), _stage(state, width)]
        if state.evaluations:
            parts += [Text(), _evaluations(state, width)]
        if state.rl and "accuracy" in state.rl[-1]:
            parts += [
                Text(),
                *_curve(state, width, 6 if self._console.height >= 32 else 3),
                Text(),
                _numbers(state, width),
            ]
        elif rows := state.rl or state.fit or state.warmup:  # steps on written solutions sample nothing
            if state.search:
                parts += [Text(), Text(search_line(state.search[-1]), no_wrap=True, overflow="ellipsis")]
            losses = [row["loss"] for row in rows if row["loss"] is not None]
            if losses:
                parts += [Text(), _spark("loss", losses, f"{losses[-1]:.3f}", width)]
        if state.sample:
            parts += [Text(), *_sample(state.sample, width)]
        if state.note:
            parts += [Text(), Text(printable(state.note), style="dim")]
        return Group(*parts)


def _title(state: State, width: int) -> Text:
    elapsed = duration(time.monotonic() - state.started)
    text = Text("Trivium  ", style="bold", no_wrap=True, overflow="ellipsis")
    text.append(printable(state.title), style="not bold")
    text.truncate(width - len(elapsed) - 2, overflow="ellipsis", pad=True)
    return text.append(f"  {elapsed}", style="dim")


def _stage(state: State, width: int) -> Table:
    line = Table.grid(padding=(0, 2))
    line.add_column(width=27, no_wrap=True)
    line.add_column(width=max(10, width - 55))
    line.add_column(justify="right", width=9, no_wrap=True)
    line.add_column(justify="right", width=11, no_wrap=True, style="dim")
    total = state.total
    done = f"{state.done}/{total}" if total else ""
    left = f"{duration(state.left)} left" if state.left is not None and total and state.done < total else ""
    bar = ProgressBar(total or 1, state.done, width=None, pulse=not total, complete_style="cyan", finished_style="cyan")
    line.add_row(Text(printable(state.message), style="cyan", overflow="ellipsis"), bar, done, left)
    return line


def _evaluations(state: State, width: int) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(width=27, no_wrap=True)
    table.add_column(width=max(10, width - 55))
    table.add_column(justify="right", width=9)
    table.add_column(justify="right", width=11, style="dim", no_wrap=True)
    for label, event in labelled(state).items():
        if event["accuracy"] is None:
            continue
        running = event["done"] < event["total"]
        bar = _interval_bar(event, max(10, width - 55), "bright_black" if event["stage"] == "before" else "blue")
        bounds = f"[{100 * event['low']:.0f}, {100 * event['high']:.0f}]"
        name = Text(f"{label}{' ...' if running else ''}")
        table.add_row(name, bar, Text(f"{100 * event['accuracy']:.1f}%", style="bold"), bounds)
    return table


def _interval_bar(event: Mapping[str, Any], width: int, colour: str) -> Text:
    """A line from 0 to 100% with the interval drawn thick and the estimate as a dot."""
    cells = ["─"] * width
    low, mid, high = (min(width - 1, int(event[key] * width)) for key in ("low", "accuracy", "high"))
    for i in range(low, high + 1):
        cells[i] = "━"
    cells[mid] = "●"
    text = Text("".join(cells), style="bright_black dim", no_wrap=True)
    text.stylize(f"not dim {colour}", low, high + 1)
    return text


def _curve(state: State, width: int, height: int) -> list[Text]:
    accuracy = [row["accuracy"] for row in state.rl if row["accuracy"] is not None]
    lines = braille(accuracy, width - 8, height, 0.0, 1.0, int(state.rl[-1]["steps"]))
    labels = {0: "100%", height // 2: "50%", height - 1: "0%"}
    drawn = [
        Text(f"{labels.get(i, ''):>5} │ ", style="dim", no_wrap=True).append(line, style="not dim cyan")
        for i, line in enumerate(lines)
    ]
    now = f"{100 * accuracy[-1]:.0f}%" if accuracy else "-"
    return [Text("accuracy of the sampled answers, now ", style="dim").append(now, style="not dim bold"), *drawn]


def _numbers(state: State, width: int) -> Group:
    last = state.rl[-1]
    rewards = [row["reward"] for row in state.rl if row["reward"] is not None]
    terms = "  ".join(f"{printable(name)} {value:.2f}" for name, value in last["terms"].items() if value is not None)
    made, learnt = rates(state.rl)
    shares = "  ".join(f"{name} {100 * share:.0f}%" for name, share in time_shares(state.rl).items())
    health = f"length {_number(last['length'])}  cut off {_share(last['truncated'])}"
    # Entropy is over the tokens that were trained on, so that a step without any has none.
    health += f"  groups with signal {_share(last['signal'])}  trained entropy {_number(last.get('entropy'))}"
    return Group(
        _spark("reward", rewards, f"{_number(last['reward'])}  {terms}", width),
        _labelled("answers", health),
        _labelled("tokens/s", f"generate {made:,.0f}   learn {learnt:,.0f}"),
        _labelled("time", shares),
    )


def _spark(label: str, values: list[float], now: str, width: int) -> Text:
    line = _labelled(label, "")
    line.append(sparkline(values, width // 3), style="cyan")
    return line.append(f"  {now}")


def _labelled(label: str, value: str) -> Text:
    return Text(f"{label:<10}", style="dim", no_wrap=True, overflow="ellipsis").append(value, style="not dim")


def _sample(event: Mapping[str, Any], width: int) -> list[Text]:
    status = str(event["status"])
    head = Text(f"step {event['step']}  ", style="dim", no_wrap=True)
    head.append(" ".join(printable(event["question"]).split()), style="not dim")
    head.truncate(width - 16, overflow="ellipsis")
    head.append(f"  {SIGNS.get(status, '')} {status}", style=STATUS.get(status, "default"))
    lines = printable(event["response"]).strip().splitlines()
    body = [Text(f"  {line}", no_wrap=True, overflow="ellipsis") for line in lines[:4]]
    if len(lines) > 4:
        body[-1].append(f"  ... {len(lines) - 4} more lines", style="dim")
    return [head, *body]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f}%"
