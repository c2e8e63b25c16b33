"""A loop around any way to sample: it counts, changes the policy, and moves the reference as it is told."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from trivium.lab.bases import blank
from trivium.lab.lab import Lab
from trivium.lab.on_policy import reinforce_anchored, reinforce_method, several
from trivium.lab.train import follow, learn_from
from trivium.learn.batch import Rollout
from trivium.learn.entropy import with_entropy
from trivium.learn.policy_gradient import rloo
from trivium.rewards.agreement import random_pay
from trivium.search.greedy import greedy
from trivium.search.lm import LM
from trivium.tasks import task
from trivium.types import Answer, Question

SUMS = task("sums:terms=2,digits=1,ops=+")


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def lab() -> Lab[None]:
    return Lab("test", "", None, "smoke", 0)


def pair() -> list[Rollout]:
    prompt, logprobs = (5, 6, 7), (-1.0, -1.0)
    return [Rollout(prompt, (8 + i, 1), logprobs, float(i), 0, bool(i), False) for i in range(2)]


def test_every_step_with_rollouts_is_counted_and_moves_the_policy() -> None:
    here = lab()
    policy = blank(here, "30k", [])
    before, told = copy.deepcopy(policy.model.state_dict()), []

    def draw(step: int) -> Sequence[Rollout]:
        return [] if step == 1 else pair()

    learn_from(
        here, policy, draw, steps=3, lr=1e-3, objective=rloo(beta=0.1), hold=0.5,
        watch=lambda step, report: told.append((step, report is not None)),
    )  # fmt: skip
    assert told == [(1, True), (2, False), (3, True)]
    assert (here.spent["optimiser_steps"], policy.weights_version) == (2, 2)
    assert any(not torch.equal(w, before[name]) for name, w in policy.model.state_dict().items())


def test_a_reference_that_follows_is_a_moving_average() -> None:
    model = blank(lab(), "30k", []).model
    anchor = copy.deepcopy(model)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(1.0)
    was = [p.clone() for p in anchor.parameters()]
    follow(anchor, model, 1.0)
    assert all(torch.equal(p, w) for p, w in zip(anchor.parameters(), was, strict=True))
    follow(anchor, model, 0.75)
    assert all(torch.allclose(p, w + 0.25) for p, w in zip(anchor.parameters(), was, strict=True))


async def hot(question: Question, lm: LM) -> Answer:
    """Two calls of a few tokens at temperature 1."""
    [first] = await lm.sample(question, max_tokens=3)
    [last] = await lm.extend(first, max_tokens=2)
    return last.answering(lm.answer(last))


def test_groups_are_sampled_of_problems_that_were_not_seen_and_counted() -> None:
    here = lab()
    policy = blank(here, "30k", [])
    taught = {p.question.id for p in here.problems(SUMS, "train", 8)}
    reinforce_anchored(
        here, policy, SUMS, steps=2, prompts=3, samples=4, lr=1e-3, max_tokens=6, hold=0.5, temperature=1.2,
        objective=with_entropy(rloo(beta=0.1), 0.01), reward=random_pay(),
    )  # fmt: skip
    assert (here.spent["rollouts"], here.spent["optimiser_steps"], policy.weights_version) == (24, 2, 2)
    assert 24 <= here.spent["sampled_tokens"] <= 24 * 6
    assert len(here.seen - taught) == 6
    assert [step for step, _ in here.curves["accuracy of rollouts"]] == [1, 2]


def test_whole_attempts_of_a_method_are_learned_from(monkeypatch: pytest.MonkeyPatch) -> None:
    here = lab()
    policy = blank(here, "30k", [])
    before = copy.deepcopy(policy.model.state_dict())
    monkeypatch.setattr("trivium.lab.on_policy.right", lambda trace: float(len(trace.response) % 2))
    reinforce_method(here, policy, SUMS, hot, steps=2, prompts=3, samples=4, lr=1e-3)
    assert (here.spent["rollouts"], here.spent["optimiser_steps"], len(here.seen)) == (24, 2, 6)
    assert here.spent["trained_tokens"] <= here.spent["sampled_tokens"]
    assert any(not torch.equal(w, before[name]) for name, w in policy.model.state_dict().items())


def test_attempts_at_one_problem_differ_and_stand_together() -> None:
    here = lab()
    policy, problems = blank(here, "30k", []), SUMS.problems("train", 2)
    groups = several(here, policy, SUMS, problems, hot, 3, seed=1)
    assert [[t.question_id for t in group] for group in groups] == [
        [f"{p.question.id}/{i}" for i in range(3)] for p in problems
    ]
    assert len({t.response for group in groups for t in group}) > 2
    assert here.spent["sampled_tokens"] == sum(t.usage.sampled_tokens for group in groups for t in group)
    assert several(lab(), policy, SUMS, problems, hot, 3, seed=1)[1][2].response == groups[1][2].response
    assert len({t.response for t in several(here, policy, SUMS, problems[:1], greedy, 2, seed=1)[0]}) == 1
