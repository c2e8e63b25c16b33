"""Training loops change the policy, count what they cost, and are the same again with the same seed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from trivium.lab.bases import Lesson, base, blank, taught
from trivium.lab.lab import Lab
from trivium.lab.measure import greedy_accuracy, pass_at, verdicts
from trivium.lab.select import Best
from trivium.lab.train import batches, demonstrations, imitate, prefer, reinforce, solutions
from trivium.learn.batch import Demonstration
from trivium.learn.preference import Preference
from trivium.policies.local import LocalPolicy
from trivium.tasks import task
from trivium.types import Verdict

SUMS = task("sums:terms=2,digits=1,ops=+")


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def lab(seed: int = 0) -> Lab[None]:
    return Lab("test", "", None, "smoke", seed)


def weights(policy: LocalPolicy) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in policy.model.parameters()])


def test_every_item_comes_once_a_pass_and_passes_differ() -> None:
    drawn = list(batches(list(range(10)), 4, 5, seed=0))
    flat = [x for batch in drawn for x in batch]
    assert sorted(flat[:10]) == sorted(flat[10:]) == list(range(10))
    assert flat[:10] != flat[10:]
    assert drawn == list(batches(list(range(10)), 4, 5, seed=0))
    assert drawn != list(batches(list(range(10)), 4, 5, seed=1))
    assert list(batches([], 4, 5, seed=0)) == []


def test_imitation_teaches_counts_and_repeats() -> None:
    found = []
    for _ in range(2):
        here = lab()
        policy = blank(here, "30k", [])
        shown = demonstrations(policy, solutions(here.problems(SUMS, "train", 16)))
        before = weights(policy)
        imitate(here, policy, shown, steps=4, batch=8, lr=1e-3)
        assert not torch.equal(before, weights(policy))
        assert here.spent["optimiser_steps"] == 4
        assert here.spent["trained_tokens"] == sum(len(d.ids) for batch in batches(shown, 8, 4, 0) for d in batch)
        assert len(here.seen) == 16
        found.append(weights(policy))
    assert torch.equal(*found)


def test_what_a_step_makes_of_an_example_is_what_it_learns() -> None:
    """All of it masked in the second step: the weights are those after the first."""
    here, policy = lab(), blank(lab(), "30k", [])
    shown = demonstrations(policy, solutions(here.problems(SUMS, "train", 8)))
    found, steps = [], []

    def made(step: int, example: Demonstration) -> Demonstration:
        steps.append(step)
        return replace(example, mask=(step == 0,) * len(example.ids))

    imitate(
        here, policy, shown, steps=2, batch=8, lr=1e-3, made=made, watch=lambda step: found.append(weights(policy))
    )  # fmt: skip
    assert steps == [0] * 8 + [1] * 8
    assert not torch.equal(found[0], weights(blank(lab(), "30k", [])))
    assert torch.equal(*found)


def test_reinforcement_stops_at_its_allowance_and_learns_only_from_what_is_kept() -> None:
    here = lab()
    policy = taught(here, solutions(here.problems(SUMS, "train", 64)), "30k", 40, 16, 3e-3)
    told: list[int] = []
    reinforce(
        here, policy, SUMS, steps=50, prompts=4, samples=4, lr=1e-3, max_tokens=12, allowance=400,
        watch=lambda step, drawn, report: told.append(drawn.sampled_tokens),
    )  # fmt: skip
    assert sum(told) == here.spent["sampled_tokens"] >= 400
    assert sum(told[:-1]) < 400
    before, trained = weights(policy), here.spent["trained_tokens"]
    reinforce(
        here, policy, SUMS, steps=2, prompts=2, samples=2, lr=1e-3, max_tokens=12, keep=lambda group: False, rounds=3
    )
    assert torch.equal(before, weights(policy))
    assert here.spent["trained_tokens"] == trained


def test_preferences_move_the_policy_towards_what_is_chosen() -> None:
    here = lab()
    policy = blank(here, "30k", [])
    pair = Preference((5, 6), (7, 8, 1), (9, 10, 1))
    prefer(here, policy, [pair] * 8, steps=10, batch=4, lr=1e-3)
    from trivium.models.logprob import completion_logprobs

    with torch.no_grad():
        logp, _, _ = completion_logprobs(policy.model, [pair.context], [(0, pair.chosen), (0, pair.rejected)])
    assert logp[0].sum() > logp[1].sum()


def test_a_base_is_made_once_and_every_copy_is_fresh() -> None:
    here, lesson = lab(), Lesson((SUMS.name,), "30k", 16, 3, 8)
    first = base(here, lesson)
    assert here.spent["pretrain_tokens"] > 0
    assert here.spent["trained_tokens"] == 0
    with torch.no_grad():
        next(iter(first.model.parameters())).add_(1.0)
    other = lab()
    second = base(other, lesson)
    assert not torch.equal(weights(first), weights(second))
    assert other.spent == here.spent
    assert other.seen == here.seen


def test_the_best_checkpoint_is_put_back() -> None:
    here = lab()
    policy = blank(here, "30k", [])
    best = Best(here, policy, SUMS, here.problems(SUMS, "dev", 4), every=1, max_tokens=4)
    best(1)
    kept = weights(policy)
    with torch.no_grad():
        for p in policy.model.parameters():
            p.add_(0.5)
    best.restore()
    assert torch.equal(weights(policy), kept)
    assert here.notes["best_step"] == 1
    assert here.spent["dev_tokens"] > 0
    assert here.spent["sampled_tokens"] == 0


def test_measuring_gives_a_number_for_every_question() -> None:
    here = lab()
    policy = blank(here, "30k", [])
    problems = here.problems(SUMS, "test", 5)
    found = greedy_accuracy(here, policy, SUMS, problems, max_tokens=4)
    assert found.questions == tuple(p.question.id for p in problems)
    assert all(len(values) == 5 for values in found.scores.values())
    assert here.overlap(found.questions) == 0
    groups = verdicts(here, policy, SUMS, problems, n=3, max_tokens=4)
    assert [len(group) for group in groups] == [3] * 5
    assert here.spent["test_tokens"] > 0


def test_pass_at_k_counts_only_what_was_judged() -> None:
    right, wrong, broken = Verdict.right("1"), Verdict.wrong("2"), Verdict.error("x")
    groups = [[("", right), ("", wrong)], [("", wrong), ("", wrong)], [("", right), ("", broken)]]
    assert pass_at(groups, 2) == [1.0, 0.0, None]
    assert pass_at(groups, 1) == [0.5, 0.0, 1.0]


def test_what_is_made_once_is_paid_once_by_whatever_way_it_is_used() -> None:
    here, lesson = lab(), Lesson((SUMS.name,), "30k", 16, 3, 8)

    def from_base(inner: Lab[None]) -> int:
        base(inner, lesson)
        inner.charge("sampled_tokens", 7)
        return 1

    once = lab()
    base(once, lesson)
    for _ in range(2):
        base(here, lesson)
        assert here.data("drawn", from_base) == 1
    assert +here.spent == +once.spent + Counter(sampled_tokens=7)
    other = here.apart()
    assert not other.spent
    other.data("drawn", from_base)
    assert +other.spent == +here.spent
