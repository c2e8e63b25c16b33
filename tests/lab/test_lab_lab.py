"""What arms share is made once for a seed, or once for all seeds, and each arm is told what it cost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from trivium.errors import UserError
from trivium.lab.bases import Lesson, base, blank
from trivium.lab.lab import Lab
from trivium.policies.local import LocalPolicy


def made(lab: Lab[None]) -> LocalPolicy:
    lab.charge("pretrain_tokens", 5)
    return blank(lab, "10k", [])


@pytest.mark.parametrize(("seed", "alike"), [(None, False), (0, True)])
def test_a_policy_is_made_for_each_seed_unless_one_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, seed: int | None, alike: bool
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    labs: list[Lab[None]] = [Lab("some", "", None, "smoke", seed) for seed in (2, 3)]
    one, other = (lab.policy("base", made, seed=seed).model.embed.weight for lab in labs)
    assert torch.equal(one, other) is alike
    assert [lab.spent["pretrain_tokens"] for lab in labs] == [5, 5]
    assert labs[1].seed == 3


def test_a_policy_that_a_user_names_stands_for_a_base_or_leaves_it_taught_or_is_too_few(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    lab: Lab[None] = Lab("some", "", None, "full", 0, "tiny:10k")
    lesson = Lesson(("sums:terms=2,digits=1",), "100k", 4, 1, 2)
    sizes = {
        policy: sum(w.numel() for w in base(lab, replace(lesson, policy=policy)).model.parameters())
        for policy in ("stands-for-it", "taught")
    }
    assert sizes["stands-for-it"] < sizes["taught"]
    with pytest.raises(UserError, match="some takes two that share a tokenizer: use --size lab"):
        base(lab, replace(lesson, policy="refused"))
