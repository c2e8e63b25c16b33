"""Arms run once for every seed, in this process or in workers, and what fails says where."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import types
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from trivium.claims import Claim
from trivium.errors import RunError, UnknownName
from trivium.lab import runner
from trivium.lab.keep import of_policy
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


def slow(lab: Lab[Size]) -> Scored:
    """Waits, computes for a fifth of a second, and has a process of its own compute as long."""
    time.sleep(0.5)
    busy = "import time\nwhile time.process_time() < 0.2: pass"
    subprocess.run([sys.executable, "-S", "-E", "-c", busy], check=True)
    ends = time.process_time() + 0.2
    while time.process_time() < ends:
        pass
    return good(lab)


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


def test_what_is_made_afresh_takes_the_place_of_the_old_only_when_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = jobs("toy_recipe", TOY, "smoke", [0])
    first = run(asked, workers=0)
    broken = Recipe("toy", Paper(0, ""), "toy", {"good": bad, "poor": poor}, {"smoke": Size()}, [])
    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["toy_recipe"], "RECIPE", broken)
        with pytest.raises(RunError, match="no such luck"):
            run(asked, workers=0, fresh=True)
    assert run(asked, workers=0) == first


def test_what_arms_share_is_made_afresh_too_and_once() -> None:
    made: list[str] = []

    def shares(lab: Lab[Size]) -> Scored:
        lab.data("samples", lambda inner: made.append("made"))
        return good(lab)

    with pytest.MonkeyPatch.context() as patch:
        two = Recipe("toy", Paper(0, ""), "toy", {"good": shares, "poor": shares}, {"smoke": Size()}, [])
        patch.setattr(sys.modules["toy_recipe"], "RECIPE", two)
        asked = jobs("toy_recipe", two, "smoke", [0])
        run(asked, workers=0)
        assert made == ["made"]
        run(asked, workers=0, fresh=True)
        assert made == ["made"] * 2


def test_another_policy_shares_nothing_nor_does_one_that_has_changed(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights").write_text("one")
    names = {of_policy(None), of_policy("hf:one"), of_policy(f"hf:{folder}"), of_policy(f"{folder},lora=4")}
    assert len(names) == 4
    assert of_policy(f"hf:{folder}") in names
    (folder / "weights").write_text("another")
    assert of_policy(f"hf:{folder}") not in names

    labs: list[Lab[Size]] = [Lab("toy", "", Size(), "full", 0, policy) for policy in ("hf:one", "hf:two")]
    assert [lab.data("said", lambda inner: inner.policy_spec) for lab in labs] == ["hf:one", "hf:two"]


def test_a_claim_that_may_not_be_decided_leaves_the_others_their_lines() -> None:
    found = run(jobs("toy_recipe", TOY, "smoke", [0, 1]), workers=0)
    unequal, free = (
        Claim(says, "good", "poor", 0.1, matched=m) for says, m in (("unequal", ("labels",)), ("free", ()))
    )
    lab = Recipe("toy", Paper(0, ""), "toy", TOY.arms, {"lab": Size()}, [unequal, free])
    spent = {key: replace(result, spent={"labels": 3.0 * (key[0] == "good")}) for key, result in found.items()}
    lines, [refused] = verdicts(lab, spent, "lab")
    assert [(line["claim"], line["policy"]) for line in lines] == [("free", None)]
    assert refused.startswith("toy, 'unequal': good spent 3 labels and poor 0")


def test_the_lines_of_a_ledger_say_all_that_was_found() -> None:
    [line], _ = verdicts(TOY, run(jobs("toy_recipe", TOY, "smoke", [0, 1]), workers=0), "smoke")
    assert (line["verdict"], line["seeds"], line["pairs"]) == ("inconclusive", 2, 6)
    assert line["scores"]["good"] == {"0": pytest.approx(2 / 3), "1": 1.0}
    assert line["budget"]["poor"] == {"labels": 3, "sampled_tokens": 5}


def test_changed_code_runs_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = jobs("toy_recipe", TOY, "smoke", [0])
    run(asked, workers=0)
    monkeypatch.setattr("trivium.lab.keep.unchanged", lambda hashes: False)
    assert finished(asked[0]) is None


def test_a_verdict_names_the_commits_of_arms_that_were_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "commit", lambda: "before")
    run(jobs("toy_recipe", TOY, "smoke", [0]), workers=0)
    monkeypatch.setattr(runner, "commit", lambda: "now")
    monkeypatch.setattr("trivium.lab.verdicts.commit", lambda: "now")
    found = run(jobs("toy_recipe", TOY, "smoke", [0, 1]), workers=0)
    [line], refused = verdicts(TOY, found, "smoke")
    assert not refused
    assert (line["commit"], line["kept_from"]) == ("now", ["before"])


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


def test_a_worker_takes_a_seed_that_no_other_is_busy_with() -> None:
    """Two arms of one seed would wait for what is made once for it."""
    waiting = [runner.Job("m", "s", arm, seed, "lab") for arm in ("a", "b") for seed in (0, 1, 2)]
    first = runner._next(waiting, [])
    second = runner._next(waiting, [first])
    third = runner._next(waiting, [second])
    assert [(job.arm, job.seed) for job in (first, second, third)] == [("a", 0), ("a", 1), ("a", 2)]
    fourth = runner._next(waiting, [third])
    fifth = runner._next(waiting, [third, fourth])
    assert [(job.arm, job.seed) for job in (fourth, fifth)] == [("b", 0), ("b", 1)]
    [last] = waiting
    assert runner._next(waiting, [last]) is last
    assert not waiting


def test_a_gpu_is_for_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def made(policy: str | None) -> list[runner.Job]:
        return [runner.Job("m", "s", "a", 0, "full", policy)]

    monkeypatch.setattr(runner, "cores", lambda: 4)
    assert [runner._usual(made(policy)) for policy in (None, "smollm2:device=cpu")] == [4, 4]
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert [runner._usual(made(policy)) for policy in (None, "tiny:10k", "scripted")] == [4, 4, 4]
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    there = ("smollm2", "hf:org/name,dtype=fp32", "tiny:10k,device=cuda")
    assert [runner._usual(made(policy)) for policy in there] == [1, 1, 1]


def test_workers_give_what_this_process_gives() -> None:
    """Real arms on real tensors, in two processes and in this one: equal to the last bit."""
    entry = paper("masked-thought")
    asked = [job for job in jobs(entry.module, recipe(entry.slug), "smoke", [0]) if job.arm in ("sft", "masked")]
    apart = run(asked, workers=2)
    here = run(asked, workers=0, fresh=True)
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


def test_an_arm_costs_what_is_computed_and_not_what_is_waited_for() -> None:
    costs = runner.carry_out("slow", slow, Lab("toy", __name__, Size(), "smoke", 0)).seconds
    assert 0.39 < costs < 0.8


def test_an_arm_costs_what_a_process_computes_that_lives_on() -> None:
    """As the workers do that run queries: who waits for their end would never count them."""
    busy = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ntime.sleep(60)"
    with subprocess.Popen([sys.executable, "-S", "-E", "-c", busy], stdout=subprocess.PIPE) as child:

        def arm(lab: Lab[Size]) -> Scored:
            assert child.stdout is not None
            child.stdout.readline()
            return good(lab)

        costs = runner.carry_out("asks", arm, Lab("toy", __name__, Size(), "smoke", 0)).seconds
        child.kill()
    assert 0.25 < costs < 0.6


def until(true: Callable[[], bool], seconds: float) -> bool:
    """Whether something has become true in this time."""
    ends = time.monotonic() + seconds
    while not (found := true()) and time.monotonic() < ends:
        time.sleep(0.05)
    return found


def test_workers_know_nothing_of_interrupts_from_their_first_moment_on() -> None:
    before = signal.getsignal(signal.SIGINT)
    look = "import signal; print(signal.getsignal(signal.SIGINT) == signal.SIG_IGN)"
    with runner._interrupts_ignored():
        child = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert child.stdout.strip() == "True"
    assert signal.getsignal(signal.SIGINT) is before
