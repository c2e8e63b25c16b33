"""Judged samples are counted, remembered as seen, and the same again."""

from __future__ import annotations

from pathlib import Path

import pytest

from trivium.lab.bases import blank
from trivium.lab.drawn import draw
from trivium.lab.lab import Lab
from trivium.tasks import task

SUMS = task("sums:terms=2,digits=1,ops=+")


def test_groups_are_counted_and_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    here: Lab[None] = Lab("test", "", None, "smoke", 0)
    policy, problems = blank(here, "30k", []), SUMS.problems("train", 3)
    drawn = draw(here, policy, SUMS, problems, n=2, seed=7)
    assert [r.group for r in drawn.rollouts] == [0, 0, 1, 1, 2, 2]
    assert all(r.reward == float(r.correct) for r in drawn.rollouts)
    assert here.spent["rollouts"] == 6
    assert here.spent["sampled_tokens"] == sum(len(r.ids) for r in drawn.rollouts)
    assert here.seen == {p.question.id for p in problems}
    assert draw(here, policy, SUMS, problems, n=2, seed=7).rollouts == drawn.rollouts
    assert draw(here, policy, SUMS, problems, n=2, seed=8).rollouts != drawn.rollouts
