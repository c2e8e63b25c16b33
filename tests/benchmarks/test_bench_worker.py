"""The line between a race and its two sides."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.lesson import Lesson, digits, rewards
from benchmarks.worker import Turns, Worker

from trivium.errors import RunError


def test_turns_answer_each_command_until_the_line_closes() -> None:
    answers = io.StringIO()
    turns = Turns(io.StringIO('{"pay": "dense"}\n{"pay": "sparse"}\n'), answers)
    turns.each(lambda number, command: {"number": number, **command})
    said = [json.loads(line) for line in answers.getvalue().splitlines()]
    assert [(s["number"], s["pay"]) for s in said] == [(0, "dense"), (1, "sparse")]
    assert all(s["peak_mb"] > 1 for s in said)


def test_a_worker_that_dies_says_why() -> None:
    with Worker("lesson:no_such_function") as worker, pytest.raises(RunError, match="no_such_function"):
        worker.turn()


HOLD = """
from benchmarks.worker import peak_mb
before = peak_mb()
block = b"x" * int(before * 1e6)
print(before, peak_mb())
"""


def test_peak_memory_grows_with_what_is_held() -> None:
    """In a process of its own: what another test held before would hide it."""
    root = Path(__file__).parents[2]
    said = subprocess.run([sys.executable, "-c", HOLD], cwd=root, capture_output=True, text=True, check=True).stdout
    before, after = map(float, said.split())
    assert before > 1
    assert after > 1.5 * before


def test_sparse_pay_leaves_three_groups_in_four_without_signal() -> None:
    texts, place = ["a1", "22"] * 8, [i // 2 for i in range(16)]
    dense, sparse = rewards(texts, place, "dense"), rewards(texts, place, "sparse")
    assert dense == [0.5, 1.0] * 8
    assert [g for g in range(8) if len(set(sparse[2 * g : 2 * g + 2])) > 1] == [0, 4]
    assert digits("") == 0.0


def test_a_lesson_never_repeats_a_problem() -> None:
    lesson = Lesson(steps=3, prompts=4)
    keys = [p.key for step in range(3) for p in lesson.of(step)]
    assert len(set(keys)) == 12
