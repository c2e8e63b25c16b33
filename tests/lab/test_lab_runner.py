"""Arms run once for every seed, in this process or in workers, and what fails says where."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from trivium.claims import Claim
from trivium.errors import RunError, UnknownName
from trivium.lab import runner
from trivium.lab.lab import Lab, Scored
from trivium.lab.recipe import Paper, Recipe
from trivium.lab.runner import finished, jobs, run
from trivium.lab.verdicts import verdicts
from trivium.recipes import recipe
from trivium.recipes.papers import paper

CALLS: list[tuple[str, int]] = []


@dataclass(frozen=True)
class Size:
    """Settings of a toy."""

    questions: int = 3


def good(lab: Lab[Size]) -> Scored:
    CALLS.append(("good", lab.seed))
    lab.charge("labels", 3)
    return Scored(("a", "b", "c"), {"accuracy": [1.0, 1.0, float(lab.seed)]})


def poor(lab: Lab[Size]) -> Scored:
    lab.charge("labels", lab.data("shared", lambda inner: (inner.charge("sampled_tokens", 5), 3)[1]))
    return Scored(("a", "b", "c"), {"accuracy": [0.0, 0.0, 0.0]})


def bad(lab: Lab[Size]) -> Scored:
    raise ValueError("no such luck")


TOY = Recipe(
    "toy", Paper(0, ""), "toy", {"good": good, "poor": poor}, {"smoke": Size()},
    [Claim("good beats poor", "good", "poor", 0.1, matched=("labels",), null="poor")],
)  # fmt: skip


@pytest.fixture(autouse=True)
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    module = types.ModuleType("toy_recipe")
    module.RECIPE = TOY  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "toy_recipe", module)
    CALLS.clear()


def test_a_finished_arm_is_not_run_again_unless_asked() -> None:
    asked = jobs("toy_recipe", TOY, "smoke", [0, 1])
    assert [(job.arm, job.seed) for job in asked] == [("good", 0), ("good", 1), ("poor", 0), ("poor", 1)]
    heard: list[tuple[str, int, int]] = []
    first = run(asked, workers=0, hear=lambda *told: heard.append(told))
    assert heard[-1] == ("poor, seed 1", 4, 4)
    assert run(asked, workers=0) == first
    assert CALLS == [("good", 0), ("good", 1)]
    run(asked, workers=0, fresh=True)
    assert len(CALLS) == 4
    assert first["poor", 0].spent == {"labels": 3, "sampled_tokens": 5}


def test_the_lines_of_a_ledger_say_all_that_was_found() -> None:
    [line] = verdicts(TOY, run(jobs("toy_recipe", TOY, "smoke", [0, 1]), workers=0), "smoke")
    assert (line["verdict"], line["seeds"], line["pairs"]) == ("inconclusive", 2, 6)
    assert line["scores"]["good"] == {"0": pytest.approx(2 / 3), "1": 1.0}
    assert line["budget"]["poor"] == {"labels": 3, "sampled_tokens": 5}


def test_changed_code_runs_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = jobs("toy_recipe", TOY, "smoke", [0])
    run(asked, workers=0)
    monkeypatch.setattr("trivium.lab.keep.unchanged", lambda hashes: False)
    assert finished(asked[0]) is None


def test_an_arm_that_fails_names_itself_and_the_others_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Recipe("toy", Paper(0, ""), "toy", {"good": good, "bad": bad}, {"smoke": Size()}, [])
    monkeypatch.setattr(sys.modules["toy_recipe"], "RECIPE", broken)
    asked = jobs("toy_recipe", broken, "smoke", [0])
    with pytest.raises(RunError, match=r"toy, arm bad, seed 0 failed: ValueError: no such luck \(test_lab_runner.py"):
        run(asked, workers=0)
    assert finished(asked[0]) is not None


def test_a_size_or_an_arm_that_is_not_there_is_named() -> None:
    with pytest.raises(UnknownName, match="unknown size of toy: 'lab'"):
        jobs("toy_recipe", TOY, "lab", [0])
    with pytest.raises(UnknownName, match=r"unknown arm of toy: 'goood'\. Did you mean good"):
        Recipe("toy", Paper(0, ""), "", {"good": good}, {}, [Claim("", "goood", "good", 0.1)])


def test_workers_give_what_this_process_gives() -> None:
    """Real arms on real tensors, in two processes and in this one: equal to the last bit."""
    entry = paper("masked-thought")
    asked = [job for job in jobs(entry.module, recipe(entry.slug), "smoke", [0]) if job.arm in ("sft", "masked")]
    apart = run(asked, workers=2)
    runner.forget(asked)
    here = run(asked, workers=0)
    for key, result in apart.items():
        assert (result.scores, result.spent, result.curves) == (here[key].scores, here[key].spent, here[key].curves)


SLOW = """
import os, pathlib, time
from trivium.lab.recipe import Paper, Recipe
from trivium.lab.runner import jobs, run

def slow(lab):
    whose = pathlib.Path(os.environ["WHOSE"])
    whose.with_suffix(".part").write_text(str(os.getpid()))
    whose.with_suffix(".part").rename(whose)
    time.sleep(60)

RECIPE = Recipe("slow", Paper(0, ""), "slow", {"slow": slow}, {"smoke": None}, [])
if __name__ == "__main__":
    run(jobs("slow_recipe", RECIPE, "smoke", [0]), workers=1)
"""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_kill_leaves_no_worker_behind(tmp_path: Path, how: signal.Signals) -> None:
    script, whose = tmp_path / "slow_recipe.py", tmp_path / "pid"
    script.write_text(SLOW)
    surroundings = os.environ | {"WHOSE": str(whose), "PYTHONPATH": str(tmp_path)}
    with subprocess.Popen([sys.executable, str(script)], env=surroundings) as claim:
        assert until(whose.exists, 30)
        claim.send_signal(how)
    assert until(lambda: not runs(int(whose.read_text())), 10)


def runs(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until(true: Callable[[], bool], seconds: float) -> bool:
    """Whether something has become true in this time."""
    ends = time.monotonic() + seconds
    while not (found := true()) and time.monotonic() < ends:
        time.sleep(0.05)
    return found
