"""No distance from itself, some from another, and the same numbers again."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from trivium.lab.bases import blank
from trivium.lab.drift import drift
from trivium.lab.lab import Lab
from trivium.tasks import task


def test_the_distance_is_none_from_itself_and_some_from_other_weights(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    lab: Lab[None] = Lab("test", "", None, "smoke", 0)
    policy, problems = blank(lab, "30k", []), task("sums:terms=2,digits=1").problems("dev", 4)
    other = blank(lab, "30k", [])
    same = drift(lab, policy, other, problems, max_tokens=6)
    assert same.kl == pytest.approx(0, abs=1e-3)
    assert same.entropy > 1
    assert 4 <= lab.spent["test_tokens"] <= 24
    other.model.load_state_dict(copy.deepcopy(policy.model.state_dict()))
    with torch.no_grad():
        for p in other.model.parameters():
            p.mul_(1.5)
    other.weights_version += 1
    assert drift(lab, policy, other, problems, max_tokens=6).kl > 0.1
