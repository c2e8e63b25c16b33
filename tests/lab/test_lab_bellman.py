"""Learning a policy and its value from fixed samples: it moves towards what was paid, counts, and repeats."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from trivium.lab.bases import blank
from trivium.lab.bellman import by_value, fit_bellman
from trivium.lab.lab import Lab
from trivium.learn.batch import Rollout
from trivium.learn.critic import Critic
from trivium.learn.fit import Learner, Optimiser
from trivium.learn.soft_bellman import Level
from trivium.policies.local import LocalPolicy
from trivium.types import Message, Question


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


QUESTION = Question("q", (Message("user", "say"),))


def samples(policy: LocalPolicy) -> list[Rollout]:
    """Two lines, of which the first decides: `a` is right, `b` is wrong; with the log-probs that the policy has."""
    prompt = policy.encode(QUESTION.messages)
    rows = [
        Rollout(prompt, policy.encode_response(text), (), float(text[0] == "a"), 0, text[0] == "a", False)
        for text in ("a\nx", "b\nx", "a\ny", "b\ny")
    ]
    [known] = Learner(policy.model, Optimiser()).minibatches(rows, 1)
    return known


def run(level: Level, steps: int = 80, lr: float = 1e-3) -> tuple[Lab[None], LocalPolicy, Critic, list[Rollout]]:
    here: Lab[None] = Lab("test", "", None, "smoke", 0)
    policy = blank(here, "30k", [])
    known = samples(policy)
    judge = fit_bellman(
        here, policy, known, steps=steps, batch=4, lr=lr, critic_lr=1e-2, level=level, beta=0.3, leash=0.01
    )
    return here, policy, judge, known


@pytest.mark.parametrize("level", ["token", "step", "response"])
def test_what_was_paid_grows_likelier(level: Level) -> None:
    here, policy, _, known = run(level)
    [now] = Learner(policy.model, Optimiser()).minibatches(known, 1)
    moved = [sum(a.logprobs) - sum(b.logprobs) for a, b in zip(now, known, strict=True)]
    assert min(moved[0], moved[2]) > max(moved[1], moved[3])
    tokens = sum(len(row.ids) for row in known)
    assert here.spent["optimiser_steps"] == 80
    assert here.spent["trained_tokens"] == 80 * tokens
    assert here.spent["critic_tokens"] == 80 * (tokens + 4)


def test_the_value_says_which_line_decided() -> None:
    _, policy, judge, _ = run("token", lr=1e-6)  # a policy that moves takes part of the worth upon itself
    worth = by_value(policy, judge)
    start, good, bad = (worth(QUESTION, text) for text in ("", "a\n", "b\n"))
    assert bad < start < good
    assert abs(worth(QUESTION, "a\nx") - good) < good - bad


def test_it_is_the_same_again() -> None:
    found = [torch.cat([p.detach().flatten() for p in run("token", steps=3)[1].model.parameters()]) for _ in range(2)]
    assert torch.equal(*found)
