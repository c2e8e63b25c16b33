"""Trees for so many tokens, of as many prompts as that takes."""

from __future__ import annotations

from typing import Any

import pytest

from trivium.lab.forest import forest
from trivium.lab.lab import Lab
from trivium.policies.tiny import tiny
from trivium.search import method
from trivium.tasks.moves import Moves


@pytest.mark.parametrize("spec", ["vote:n=none", "mcts:n=none,branch=2,by=oracle"])
def test_prompts_are_dealt_until_the_tokens_are_spent(spec: str) -> None:
    lab: Lab[Any] = Lab("any", "trivium.recipes.any", None, "smoke", 0)
    trees = forest(lab, tiny("30k"), Moves(), method(spec), tokens=200, most=80, seed=3)
    sampled = sum(tree.trace.usage.sampled_tokens for tree in trees)
    assert lab.spent["sampled_tokens"] == sampled
    assert 190 <= sampled <= 200
    assert max(tree.trace.usage.sampled_tokens for tree in trees) <= 80
    assert len(trees) >= 3
    assert lab.seen == {tree.trace.question_id for tree in trees}
    dealt = [p.question.id for p in Moves().problems("train", len(trees), 3)]
    assert [tree.trace.question_id for tree in trees] == dealt
