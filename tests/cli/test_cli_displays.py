"""Curves, the live screen and the lines: right numbers, within the terminal, and harmless whatever a model writes."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from synthetic_run import events

from trivium.cli.chart import braille, resample, sparkline
from trivium.cli.live import LiveDisplay, open_display
from trivium.cli.output import Progress, bytes_text, duration, printable
from trivium.cli.plain import PlainDisplay
from trivium.cli.progress import State

SHARES = st.lists(st.floats(0, 1), min_size=1, max_size=80)


@given(SHARES, st.integers(1, 60), st.integers(1, 8))
def test_a_curve_fills_its_share_of_the_box(values: list[float], width: int, height: int) -> None:
    lines = braille(values, width, height, 0, 1, of=len(values))
    assert [len(line) for line in lines] == [width] * height
    assert all(any(line[i] != "\u2800" for line in lines) for i in range(width))


def test_a_rising_curve_goes_from_the_bottom_left_to_the_top_right() -> None:
    lines = braille([0.0, 1.0], 10, 4, 0, 1, of=2)
    assert lines[-1][0] != "\u2800"
    assert lines[0][-1] != "\u2800"
    assert lines[0][0] == lines[-1][-1] == "\u2800"


def test_an_unfinished_curve_leaves_room_for_what_is_to_come() -> None:
    assert braille([0.5] * 5, 10, 1, 0, 1, of=10)[0][5:] == "\u2800" * 5


@given(SHARES, st.integers(1, 200))
def test_resampling_keeps_length_and_range(values: list[float], n: int) -> None:
    made = resample(values, n)
    assert len(made) == n
    assert min(values) - 1e-12 <= min(made) <= max(made) <= max(values) + 1e-12


def test_resampling_interpolates_and_averages() -> None:
    assert resample([0.0, 1.0], 3) == [0.0, 0.5, 1.0]
    assert resample([0.0, 1.0, 2.0, 3.0], 2) == [0.5, 2.5]
    assert resample([2.0], 1) == [2.0]
    assert resample([], 3) == []


def test_sparkline_spans_its_blocks() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8) == "▁▂▃▄▅▆▇█"
    assert sparkline([], 8) == ""


def screen(rows: list[dict[str, Any]], width: int = 80, height: int = 40) -> str:
    stream = io.StringIO()
    display = LiveDisplay("smollm2 learns sums", Console(file=stream, width=width, height=height))
    for row in rows:
        display.event(row)
    Console(file=stream, width=width).print(display.render())
    return stream.getvalue()


@pytest.mark.parametrize("width", [60, 80, 140])
def test_every_moment_of_a_run_fits_the_screen(width: int) -> None:
    rows = list(events(steps=12))
    for i in range(0, len(rows) + 1, 7):
        lines = screen(rows[:i], width).splitlines()
        assert max(map(len, lines)) <= width
        assert len(lines) <= 32


def test_a_low_terminal_gets_a_lower_curve() -> None:
    rows = list(events(steps=12))
    assert len(screen(rows, height=24).splitlines()) < len(screen(rows, height=50).splitlines())


def test_the_screen_shows_what_was_measured() -> None:
    said = screen(list(events()))
    for words in (
        "Untrained", "1.3%", "After warm-up", "12.3%", "After RL", "77.0%", "generate", "learn", "41 + 87 = 128",
        "✓ correct", "groups with signal", "outcome", "trained entropy 0.",
    ):  # fmt: skip
        assert words in said, words


def test_missing_numbers_are_dashes() -> None:
    rows = list(events(steps=3))
    rows += [dict.fromkeys(row) | {k: row[k] for k in row if k in KEPT} for row in rows if row["phase"] == "rl"]
    assert "length -" in screen(rows)
    del rows[-1]["entropy"]
    assert "trained entropy -" in screen(rows), "a step that trained nothing has no entropy at all"
    lines = io.StringIO()
    with PlainDisplay("t", lines) as display:
        for row in rows:
            display.event(row)
    assert "reward -" in lines.getvalue()


def test_steps_on_written_solutions_show_their_loss() -> None:
    written = {"phase": "rl", "steps": 4, "tokens_sampled": 0, "tokens_trained": 90, "seconds_generate": 0.0,
               "seconds_verify": 0.0, "seconds_learn": 0.1, "seconds_left": 1.0}  # fmt: skip
    rows = [{**written, "step": step, "loss": 2.0 / step, "nll": 2.0 / step} for step in (1, 2, 3)]
    assert "loss" in screen(rows)
    assert "0.667" in screen(rows)
    lines = io.StringIO()
    with PlainDisplay("t", lines) as display:
        for row in rows:
            display.event(row)
    assert "3/4" in lines.getvalue()


SECONDS = ("seconds_generate", "seconds_verify", "seconds_learn", "seconds_left")
KEPT = ("phase", "step", "steps", "terms", "tokens_sampled", "tokens_trained", *SECONDS)
HOSTILE = "\x1b[2J\x1b]0;owned\x07[red]bold[/red] \u202e evil \ud800"


def test_a_model_cannot_command_the_terminal() -> None:
    row = {"phase": "sample", "step": 1, "question": HOSTILE, "response": HOSTILE, "status": "wrong", "reward": 0.0}
    said = screen([row])
    lines = io.StringIO()
    with PlainDisplay(HOSTILE, lines) as display:
        display.event(row)
    for text in (said, lines.getvalue()):
        assert "\x1b[2J" not in text
        assert "\x07" not in text
        assert "\u202e" not in text
        assert "[red]bold[/red]" in text  # markup stays text


def test_what_is_no_terminal_gets_lines() -> None:
    stream = io.StringIO()
    assert isinstance(open_display("t", stream), PlainDisplay)


def test_long_runs_are_thinned_to_a_readable_number_of_lines() -> None:
    stream = io.StringIO()
    with PlainDisplay("t", stream) as display:
        for row in events(steps=500):
            display.event(row)
    assert sum("  step" in line and "/500" in line for line in stream.getvalue().splitlines()) <= 22


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (41.6, "0:42"), (365, "6:05"), (3723, "1:02:03"), (-3, "0:00")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(("size", "text"), [(12, "12 bytes"), (270_000_000, "270 MB"), (3_200_000_000, "3.2 GB")])
def test_sizes(size: int, text: str) -> None:
    assert bytes_text(size) == text


def test_printable_keeps_lines() -> None:
    assert printable("a\n\tb\r\x00") == "a\n\tb\N{MIDDLE DOT}\N{MIDDLE DOT}"


def test_progress_is_silent_at_first_and_then_tells_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("trivium.cli.output.time.monotonic", lambda: now[0])
    stream = io.StringIO()
    progress = Progress("solving", stream)
    progress(1, 40)
    assert stream.getvalue() == ""
    for done in range(2, 41):
        now[0] += 1.0
        progress(done, 40)
    lines = stream.getvalue().splitlines()
    assert len(lines) <= 11
    assert lines[-1].startswith("solving: 40/40")
    assert any("left" in line for line in lines)
    few = Progress("solving", several := io.StringIO())
    now[0] += 3
    few(1, 9000)
    few(900, 9000)
    assert ["left" in line for line in several.getvalue().splitlines()] == [False, True]


def test_a_stopped_run_says_where_it_was() -> None:
    state = State("a run")
    assert state.where == "before the first step"
    state.take({"phase": "warmup", "step": 7, "steps": 9})
    assert state.where == "at step 7 of the warm-up"
    state.take({"phase": "rl", "step": 2, "steps": 9})
    assert state.where == "at step 2"
