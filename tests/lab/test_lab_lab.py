"""What arms share is made once for a seed, or once for all seeds, and each arm is told what it cost."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from trivium.lab.bases import blank
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
