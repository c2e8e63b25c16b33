"""A right and a wrong line for each problem, and who tells them apart."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from trivium.lab.bases import blank, taught
from trivium.lab.lab import Lab
from trivium.lab.mistakes import mistakes, told_by_ratio, told_by_values
from trivium.lab.train import demonstrations, imitate, solutions
from trivium.learn.batch import Rollout
from trivium.learn.critic import Squared, critic
from trivium.learn.fit import Optimiser
from trivium.learn.preference import Preference
from trivium.tasks import task

SUMS = task("sums:terms=3,digits=1")


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def lab() -> Lab[None]:
    return Lab("test", "", None, "smoke", 0)


def test_both_lines_go_on_from_the_same_right_beginning_and_one_alone_is_right() -> None:
    here = lab()
    policy = taught(here, solutions(here.problems(SUMS, "train", 64)), "30k", 40, 16, 8e-3)
    problems = SUMS.problems("test", 12)
    pairs = mistakes(here, policy, SUMS, problems)
    assert len(pairs) == 12
    for problem, pair in zip(problems, pairs, strict=True):
        prompt = policy.encode(problem.question.messages)
        assert pair.context[: len(prompt)] == prompt
        begun = policy.decode(pair.context[len(prompt) :])
        assert str(problem.solution).startswith(begun + policy.decode(pair.chosen).strip())
        *before, last = SUMS.lines(problem, begun + policy.decode(pair.rejected))
        assert all(step.ok for step in before)
        assert last.ok is False
    assert here.spent["test_tokens"] > 0
    assert pairs == mistakes(lab(), policy, SUMS, problems)


def test_values_are_compared_before_the_token_that_ends_the_line() -> None:
    policy = blank(lab(), "30k", [])
    judge = critic(policy.model, Optimiser(lr=1e-2))
    good = Preference((5, 6), (7, 8, 9, 1), (7, 8, 4, 1))
    assert told_by_values(judge, [good]) == [0.5]
    rows = [Rollout(good.context, ids, (), 0.0, i, False, False) for i, ids in enumerate((good.chosen, good.rejected))]
    # What comes after the end token says the opposite.
    target = torch.tensor([[0, 0, 0, 1.0, -1.0], [0, 0, 0, -1.0, 1.0]])
    for _ in range(60):
        judge.learn(rows, Squared(target, torch.ones(2, 5).bool()))
    turned = Preference(good.context, good.rejected, good.chosen)
    assert told_by_values(judge, [good, turned]) == [1.0, 0.0]


def test_log_ratios_follow_what_was_imitated() -> None:
    here = lab()
    policy, start = blank(here, "30k", []), blank(here, "30k", [])
    problems = here.problems(SUMS, "train", 4)
    shown = demonstrations(policy, solutions(problems))
    pairs = [Preference(d.prompt, d.ids, d.ids[::-1]) for d in shown]
    assert told_by_ratio(policy.model, start.model, pairs) == [0.5] * 4
    imitate(here, policy, shown, steps=20, batch=4, lr=3e-3)
    assert told_by_ratio(policy.model, start.model, pairs) == [1.0] * 4
