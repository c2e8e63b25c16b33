"""Comparisons: every method at the same allowance, honest pairs, unbiased pass@k, and cells that are kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from trivium.errors import RunError, UnknownName, UserError
from trivium.policies import policy
from trivium.search.compare import Setup, compare, contenders, sure_samples
from trivium.search.outcomes import Outcome, pairs, passes
from trivium.store.cells import Cells
from trivium.tasks import task
from trivium.types import Problem, Sampling, Segment, Trace, Usage, Verdict


def setup(spec: str = "scripted:p=0.6", **changes: object) -> Setup:
    made = Setup(task("sums:terms=3"), policy(spec), (64.0, 256.0), Sampling(max_tokens=48), n=24)
    return replace(made, **changes)  # type: ignore[arg-type]


def outcomes(bits: str, seed: int = 0, prefix: str = "q") -> list[Outcome]:
    """One attempt a letter: 1 correct, 0 wrong, x an error."""
    worth = {"1": True, "0": False, "x": None}
    return [Outcome(f"{prefix}{i}", seed, worth[bit], True, Usage()) for i, bit in enumerate(bits)]


def test_baselines_are_always_there_and_draw_until_the_allowance_is_spent() -> None:
    found = {entry.name: entry.spec for entry in contenders(["vote:n=8", "greedy", "vote:temperature=0.3"])}
    assert found == {
        "greedy": "greedy", "vote": "vote:n=none", "best-of-n": "best-of-n:n=none", "vote:n=8": "vote:n=8",
        "vote:temperature=0.3": "vote:n=none,temperature=0.3",
    }  # fmt: skip
    assert {entry.spec for entry in contenders([])} == {"greedy", "vote:n=none", "best-of-n:n=none"}
    with pytest.raises(UnknownName, match="Did you mean vote"):
        contenders(["voet"])


@pytest.mark.parametrize("unit", ["sampled_tokens", "total_tokens"])
def test_no_row_spends_more_than_its_allowance(unit: str) -> None:
    found = compare(setup(unit=unit, budgets=(128.0, 300.0)), contenders(["vote:n=3"]))
    assert [at.budget for at in found.curve] == [128.0, 300.0]
    for at in found.curve:
        assert [row.method for row in at.rows] == ["greedy", "vote", "best-of-n", "vote:n=3"]
        for row in at.rows:
            used = row.sampled_per_problem + (row.prompt_per_problem if unit == "total_tokens" else 0)
            assert row.tokens_per_problem == pytest.approx(used)
            assert 0 < row.tokens_per_problem <= at.budget
            assert row.n == row.questions == 24
            assert row.low is not None
            assert row.low <= row.accuracy <= row.high  # type: ignore[operator]
    if unit == "sampled_tokens":  # a vote spends all of it, to the last token
        assert found.curve[-1].rows[1].tokens_per_problem == 300


def test_rows_are_those_of_a_run_of_its_own() -> None:
    found = compare(setup(), contenders([]))
    again = compare(setup(budgets=(256.0,), concurrency=5), contenders([]))
    for mine, theirs in zip(found.curve[-1].rows, again.curve[0].rows, strict=True):
        assert replace(mine, seconds_per_problem=0, latency=0) == replace(theirs, seconds_per_problem=0, latency=0)
    assert found.curve[-1].pairs == again.curve[0].pairs
    assert found.pass_at_k == again.pass_at_k


def test_training_is_paid_by_every_row() -> None:
    free, paid = (compare(setup(training_tokens=tokens, budgets=(64.0,)), contenders([])) for tokens in (0.0, 7.5))
    for a, b in zip(free.curve[0].rows, paid.curve[0].rows, strict=True):
        assert b.tokens_per_problem == pytest.approx(a.tokens_per_problem + 7.5)
        assert b.sampled_per_problem == a.sampled_per_problem


def test_a_method_that_the_policy_refuses_keeps_its_row_and_stops_nobody() -> None:
    found = compare(setup(budgets=(256.0,)), contenders(["best-of-n:by=nonsense"]))
    refused = found.curve[0].rows[-1]
    assert refused.accuracy is None
    assert refused.refused
    assert found.curve[0].rows[0].n == 24
    assert not any(refused.method in (p.better, p.worse) for p in found.curve[0].pairs)
    with pytest.raises(UserError, match="--against mcts: expected all, or some of greedy"):
        compare(setup(against=("mcts",)), contenders([]))


def test_oracle_calls_are_counted() -> None:
    rows = compare(setup(budgets=(256.0,)), contenders(["best-of-n:by=oracle"])).curve[0].rows
    assert [row.oracle_calls > 0 for row in rows] == [False, False, False, True]


def test_pairs_put_the_better_first_and_leave_errors_out() -> None:
    [pair] = pairs({"a": outcomes("0001x1"), "b": outcomes("1111x1")}, ["a"])
    assert (pair.better, pair.worse, pair.difference, pair.n, pair.left_out) == ("b", "a", 0.6, 5, 1)
    assert pair.low <= pair.difference <= pair.high
    assert pair.p == pytest.approx(0.25)
    [swapped] = pairs({"b": outcomes("1111x1"), "a": outcomes("0001x1")}, ["a"])
    assert (swapped.better, swapped.difference) == ("b", 0.6)
    assert pairs({"a": outcomes("xx"), "b": outcomes("11")}, ["a"]) == []


def test_only_the_pairs_asked_for_are_made_and_corrected_for() -> None:
    found = {
        "a": outcomes("0" * 8 + "1" * 8),
        "b": outcomes("1" * 16),
        "c": outcomes("1" * 16),
        "d": outcomes("1" * 16),
    }
    few, many = pairs(found, ["a"]), pairs(found, ["all"])
    assert (len(few), len(many)) == (3, 6)
    assert {p.worse for p in few} == {"a"}
    assert all(p.real and p.p == pytest.approx(2 / 2**8) and p.p_holm == pytest.approx(3 * p.p) for p in few)
    assert all(p.p_holm == pytest.approx(6 * p.p) for p in many if p.worse == "a")
    assert not any(p.real for p in many if p.worse != "a" and p.better != "a")


def test_the_same_questions_under_several_seeds_count_once() -> None:
    a = [o for seed in range(4) for o in outcomes("1010110010", seed)]
    b = [o for seed in range(4) for o in outcomes("0000110010", seed)]
    alone, [pooled] = pairs({"a": outcomes("1010110010"), "b": outcomes("0000110010")}, ["a"])[0], pairs(
        {"a": a, "b": b}, ["a"]
    )  # fmt: skip
    assert (pooled.difference, pooled.p, pooled.low, pooled.high) == pytest.approx(
        (alone.difference, alone.p, alone.low, alone.high)
    )
    apart = [o for seed in range(4) for o in outcomes("1010110010", seed, prefix=f"seed{seed}-")]
    worse = [o for seed in range(4) for o in outcomes("0000110010", seed, prefix=f"seed{seed}-")]
    [wide] = pairs({"a": apart, "b": worse}, ["a"])
    assert wide.p < alone.p
    assert wide.high - wide.low < alone.high - alone.low


def test_seeds_pool_their_problems() -> None:
    rows = compare(setup(seeds=(0, 1, 2), budgets=(64.0,)), contenders([])).curve[0].rows
    assert all(row.n == 72 and row.questions <= 72 for row in rows)


def test_pass_at_k_counts_only_samples_that_were_sure_to_be_drawn() -> None:
    made = setup()
    trace = Trace("q")
    trace.add(-1, Segment("prompt", (1, 2, 3)))
    for letter in "abcdefg":
        trace.add(0, Segment("model", text=letter))
    assert sure_samples(trace, made, 256, "vote:n=none") == tuple("abcde")  # 256 // 48
    assert sure_samples(trace, made, 256, "vote:n=2") == ("a", "b")
    assert sure_samples(trace, replace(made, unit="total_tokens"), 242, "vote:n=none") == tuple("abcd")
    assert sure_samples(trace, made, 40, "vote:n=none") == ()
    assert sure_samples(trace, replace(made, unit="seconds"), 256, "vote:n=2") == ()
    trace.add(1, Segment("model", text="a step further"))
    assert sure_samples(trace, made, 256, "vote:n=none") == ()


class Letters:
    """Judges a letter: `r` is right, `x` breaks the verifier."""

    name, summary, max_tokens = "letters", "", 8

    def verify(self, problem: Problem, response: str) -> Verdict:
        if response == "x":
            raise ZeroDivisionError
        return Verdict.right("r") if response == "r" else Verdict.wrong(response)


def test_pass_at_k_by_hand() -> None:
    [one, two, three] = task("sums").problems("test", 3)
    samples = {
        "vote": [(one, 0, ("r", "w", "w", "w")), (two, 0, ("w", "w", "w", "w")), (three, 0, ("x", "r", "r", "r"))]
    }
    found = passes(Letters(), samples)  # type: ignore[arg-type]
    assert [(p.k, p.pass_at_k, p.n, p.samples, p.left_out) for p in found] == [
        (1, 0.125, 2, 4, 1), (2, 0.25, 2, 4, 1), (4, 0.5, 2, 4, 1),
    ]  # fmt: skip


def test_finished_cells_are_not_attempted_again(tmp_path: Path) -> None:
    folder = tmp_path
    heard: list[tuple[int, int]] = []

    def stop_half_way(what: str, done: int, total: int) -> None:
        heard.append((done, total))
        if len(heard) == 60:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Cells(folder, {"n": 24}) as cells:
        compare(setup(), contenders([]), cells, stop_half_way)
    assert len(list((folder / "cells").iterdir())) == 2  # greedy and vote; best-of-n was under way
    heard.clear()
    with Cells(folder, {"n": 24}) as cells:
        resumed = compare(setup(), contenders([]), cells, lambda w, done, total: heard.append((done, total)))
        with pytest.raises(RunError, match=r"another process is writing .*; wait for it to end, or choose another"):
            Cells(folder, {"n": 24})
    assert heard == [(i, 96) for i in range(1, 97)]
    fresh = compare(setup(), contenders([]))
    assert resumed.pass_at_k == fresh.pass_at_k
    for mine, theirs in zip(resumed.curve, fresh.curve, strict=True):
        assert mine.pairs == theirs.pairs
    with pytest.raises(UserError, match="holds a comparison with n=24, and this one has n=25"):
        Cells(folder, {"n": 25})


def test_attempts_at_questions_that_changed_are_not_taken_for_those_of_today(tmp_path: Path) -> None:
    asked = setup(budgets=(256.0,), against=("all",))
    entries = contenders([])[:1]
    with Cells(tmp_path, {}) as cells:
        compare(asked, entries, cells)
        compare(asked, entries, cells)
        dealt = asked.task.problems(asked.split, asked.n, 0)
        for changed in (dealt[1:] + dealt[:1], [replace(dealt[0], gold="Answer: 1"), *dealt[1:]], dealt[:-1]):
            with pytest.raises(UserError, match=r"holds attempts at other questions, .*; choose another --out"):
                cells.load(entries[0].spec, 256.0, 0, changed)
