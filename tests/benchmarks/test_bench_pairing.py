"""Rows, files and the search for a rival's settings."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest
from benchmarks.pairing import alternate, fastest, merged, number, read, row, table, write
from hypothesis import given, settings
from hypothesis import strategies as st

from trivium.errors import RunError

positive = st.floats(0.01, 100.0)


def test_turns_alternate_and_stay_paired() -> None:
    log: list[str] = []

    def side(name: str) -> str:
        log.append(name)
        return f"{name}{len(log)}"

    assert alternate(lambda: side("a"), lambda: side("b"), 2) == [("a1", "b2"), ("a3", "b4")]
    assert log == ["a", "b", "a", "b"]


@settings(deadline=None)
@given(st.lists(st.tuples(positive, positive), min_size=1, max_size=7))
def test_ratio_is_the_median_of_pairs_and_above_1_when_ours_is_better(pairs: list[tuple[float, float]]) -> None:
    fast = row("n", "r", "samples/s", pairs, better="higher")
    slow = row("n", "r", "s", [(1 / a, 1 / b) for a, b in pairs], better="lower")
    expected = [a / b for a, b in pairs]
    for r in (fast, slow):
        assert r["ratio"] == pytest.approx(statistics.median(expected))
        assert r["ratio_low"] == pytest.approx(min(expected))
        assert r["ratio_high"] == pytest.approx(max(expected))
        assert r["pairs"] == len(pairs)
    assert fast["ours"] == statistics.median(a for a, _ in pairs)
    assert fast["theirs"] == statistics.median(b for _, b in pairs)


def test_the_median_of_ratios_is_not_the_ratio_of_medians() -> None:
    r = row("n", "r", "u", [(1.0, 1.0), (10.0, 2.0), (100.0, 50.0)], better="higher")
    assert (r["ours"], r["theirs"], r["ratio"]) == (10.0, 2.0, 2.0)


@pytest.mark.parametrize(("goal", "reached"), [(2.0, True), (2.01, False)])
def test_a_row_says_whether_it_reached_its_goal(goal: float, reached: bool) -> None:
    assert row("n", "r", "u", [(4.0, 2.0)], better="higher", reach=goal)["reached"] is reached


@pytest.mark.parametrize("pairs", [[], [(1.0, 0.0)], [(-1.0, 1.0)]])
def test_a_row_needs_measurements(pairs: list[tuple[float, float]]) -> None:
    with pytest.raises(ValueError, match="at least one pair"):
        row("n", "r", "u", pairs, better="higher")


def test_search_follows_each_axis_and_tries_nothing_twice() -> None:
    rates = {("a", 1): 1.0, ("b", 1): 3.0, ("b", 2): 5.0, ("b", 4): 4.0}
    asked: list[tuple[str, int]] = []

    def rate(settings: dict[str, object]) -> float:
        key = (str(settings["mode"]), int(str(settings["batch"])))
        asked.append(key)
        return rates[key]

    best, tried = fastest({"mode": "a", "batch": 1}, {"mode": ("a", "b"), "batch": (1, 2, 4)}, rate)
    assert best == {"mode": "b", "batch": 2}
    assert asked == list(rates)
    assert [t["rate"] for t in tried] == [1.0, 3.0, 5.0, 4.0]


def test_search_passes_over_settings_that_fail() -> None:
    def rate(settings: dict[str, object]) -> float:
        if settings["batch"] == 64:
            raise RunError("out of memory")
        return 1.0

    best, tried = fastest({"batch": 64}, {"batch": (8,)}, rate)
    assert best == {"batch": 8}
    assert tried[0] == {"settings": {"batch": 64}, "rate": None, "error": "out of memory"}


def test_search_says_why_nothing_works() -> None:
    def rate(settings: dict[str, object]) -> float:
        raise RunError("no such kernel")

    with pytest.raises(RunError, match="no such kernel"):
        fastest({"batch": 1}, {}, rate)


def sample(name: str, **more: object) -> dict[str, object]:
    return row(name, "rival", "u", [(2.0, 1.0)], better="higher", **more)


def test_merging_replaces_one_benchmark_in_its_place() -> None:
    old = [{**sample("a1"), "benchmark": "a"}, {**sample("b1"), "benchmark": "b"}, {**sample("a2"), "benchmark": "a"}]
    found = merged(old, "a", [sample("a3")])
    assert [(r["benchmark"], r["name"]) for r in found] == [("a", "a3"), ("b", "b1")]
    assert [r["name"] for r in merged(old, "c", [sample("c1")])] == ["a1", "b1", "a2", "c1"]


def test_files_hold_what_the_issue_names(tmp_path: Path) -> None:
    assert read(tmp_path) == []
    machine = {"cpu": "Test CPU", "cores": 2}
    write(tmp_path, merged([], "a", [sample("first", reach=8.0, note="why", machine=machine, commit="abc")]))
    [stored] = json.loads((tmp_path / "bench.json").read_text())
    needed = {
        "name",
        "rival",
        "ours",
        "theirs",
        "unit",
        "ratio",
        "ratio_low",
        "ratio_high",
        "pairs",
        "machine",
        "commit",
    }
    assert needed <= stored.keys()
    assert read(tmp_path) == [stored]
    text = (tmp_path / "bench.md").read_text()
    assert "| first | rival | 2 | 1 | u | 2.00 (2.00 to 2.00) | 8, missed | 1 |" in text
    assert "- **first**: why" in text
    assert "Measured on Test CPU, 2 cores, commit abc." in text
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bench.json", "bench.md"]


def test_a_row_without_goal_or_machine_is_still_printed() -> None:
    assert "| x | rival | 2 | 1 | u | 2.00 (2.00 to 2.00) | - | 1 |" in table([sample("x")])


@pytest.mark.parametrize(("x", "text"), [(1234.5, "1,234"), (12.345, "12.3"), (0.01234, "0.0123")])
def test_numbers_have_no_exponent(x: float, text: str) -> None:
    assert number(x) == text
