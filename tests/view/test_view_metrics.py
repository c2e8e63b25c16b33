"""Events as series: names, units, thinning, and a history that grows, is torn or is taken back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from synthetic_run import events as synthetic_events
from viewed import write_lines

from trivium.view.metrics import Events, Metrics, last_step, thinned


def series(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    events = Events()
    for row in rows:
        events.add(row)
    return {one["key"]: one for one in events.series()}


@given(st.lists(st.floats(-1e6, 1e6), max_size=400), st.integers(4, 60))
def test_thinning_keeps_ends_and_extremes(values: list[float], most: int) -> None:
    points = [(float(i), v) for i, v in enumerate(values)]
    kept = thinned(points, most)
    assert kept == sorted(set(kept))
    assert len(kept) <= max(most, 0)
    if values:
        shown = [values[i] for i in kept]
        assert kept[0] == 0
        assert kept[-1] == len(values) - 1
        assert min(shown) == min(values)
        assert max(shown) == max(values)


def test_a_run_that_learns_has_its_curves_in_groups() -> None:
    found = series(list(synthetic_events(60)))
    assert found["rl/reward"]["group"] == "Reward"
    assert found["rl/term/format"]["group"] == "Reward"
    assert found["rl/accuracy"] | {"points": []} == {
        "key": "rl/accuracy", "group": "Accuracy", "label": "accuracy", "unit": "%", "stage": "rl", "points": [],
    }  # fmt: skip
    for name in ("entropy", "kl", "mismatch"):
        assert found[f"rl/{name}"]["label"].endswith(", trained tokens"), "rows without advantage are not in it"
    assert found["rl/length"]["unit"] == "tokens"
    assert found["rl/tokens_per_second/generate"]["unit"] == "tokens/s"
    assert found["rl/seconds_learn"]["group"] == "Speed"
    assert "rl/seconds_left" not in found
    held = found["eval/accuracy"]
    assert len(held["points"]) == len(held["band"]) >= 3
    assert [x for x, _ in held["points"]][:2] == [0, 0], "before, and after the warm-up"
    assert held["points"][-1][0] == 60, "the last evaluation names no step, and stands where learning ended"
    assert all(low <= y <= high for (_, y), (low, high) in zip(held["points"], held["band"], strict=True))
    assert next(iter(found.values()))["stage"] == "eval", "the question that matters comes first"


def test_rounds_of_search_and_learning_are_over_rounds_and_steps() -> None:
    share = {"accuracy": 0.5, "low": 0.4, "high": 0.6, "done": 10, "total": 10, "step": 0}
    rows: list[dict[str, Any]] = [{"phase": "eval", "stage": "start-greedy", **share}]
    for r in (1, 2):
        rows.append({"phase": "search", "arm": "search", "round": r, "ends": 8, "right": 2 * r, "solved": r})
        rows += [{"phase": "fit", "arm": "search", "round": r, "step": s, "steps": 3, "loss": 1.0} for s in (1, 2, 3)]
        rows.append({"phase": "eval", "stage": f"search-{r}-greedy", **share})
    found = series(rows)
    assert [x for x, _ in found["round/search/greedy"]["points"]] == [0, 1, 2]
    assert [x for x, _ in found["round/control/greedy"]["points"]] == [0]
    assert found["round/search/right"]["points"] == [(1, 0.25), (2, 0.5)]
    assert [x for x, _ in found["fit/search/loss"]["points"]] == [1, 2, 3, 4, 5, 6]


def test_steps_go_on_behind_a_round_that_had_nothing_to_learn_from() -> None:
    rows = [{"phase": "fit", "arm": "search", "round": r, "step": s, "steps": 2, "loss": 1.0}
            for r in (1, 2, 4, 7) for s in (1, 2)]  # fmt: skip
    assert [x for x, _ in series(rows)["fit/search/loss"]["points"]] == [1, 2, 3, 4, 5, 6, 7, 8]


def test_events_that_mean_nothing_are_left_out() -> None:
    rows: list[Any] = [{}, {"phase": "rl"}, {"phase": "eval"}, {"phase": "fit", "arm": 1}, {"phase": ["x"]},
                       {"phase": "rl", "step": "a", "loss": 1.0}, {"phase": "rl", "step": 1, "loss": float("nan")},
                       {"phase": "search", "arm": "a", "round": 1, "ends": 0}]  # fmt: skip
    assert series(rows) == {}


def test_a_history_that_is_taken_back_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    metrics = Metrics(path)
    assert metrics.update().series() == []
    rows = [{"phase": "rl", "step": i, "loss": 1.0 * i} for i in range(1, 6)]
    write_lines(path, rows[:3])
    assert len(metrics.update().curves["rl/loss"].points) == 3
    with open(path, "ab") as file:
        file.write(b'{"phase":"rl","step":4,"lo')
    assert len(metrics.update().curves["rl/loss"].points) == 3, "a torn line waits"
    write_lines(path, rows)
    assert [y for _, y in metrics.update().curves["rl/loss"].points] == [1, 2, 3, 4, 5]
    write_lines(path, [{**row, "loss": 9.0} for row in rows])
    assert {y for _, y in metrics.update().curves["rl/loss"].points} == {9.0}
    write_lines(path, rows[:1])
    assert [y for _, y in metrics.update().curves["rl/loss"].points] == [1]
    path.unlink()
    assert metrics.update().series() == []


def test_how_far_a_run_is_stands_at_the_end_of_its_history(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert last_step(path) == (0, None)
    rows = [{"phase": "rl", "step": i, "steps": 5000, "text": "x" * 100} for i in range(1, 2001)]
    write_lines(path, [*rows, {"phase": "eval", "step": 2000}])
    with open(path, "ab") as file:
        file.write(b'{"phase":"rl","step":9999,"steps":')
    assert last_step(path) == (2000, 5000)
