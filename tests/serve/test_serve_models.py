"""Names of models, and what they stand for."""

from __future__ import annotations

from pathlib import Path

import pytest

from trivium.errors import UnknownName, UserError
from trivium.policies.scripted import Scripted, sums
from trivium.serve.errors import ApiError
from trivium.serve.models import Models, load, named


def test_a_policy_is_named_by_itself_its_folder_or_its_owner(tmp_path: Path):
    run = tmp_path / "demo" / "model"
    run.mkdir(parents=True)
    other = tmp_path / "other"
    other.mkdir()
    assert named("smollm2") == ("smollm2", "smollm2")
    assert named("tiny:1M,seed=3") == ("tiny:1M,seed=3", "tiny:1M,seed=3")
    assert named(f"{run}") == ("demo", f"{run}")
    assert named(f"hf:{other},dtype=fp32") == ("other", f"hf:{other},dtype=fp32")
    assert named("openai:qwen3:0.6b@http://localhost:1/v1")[0] == "qwen3:0.6b"
    assert named("a.b=tiny:1M,seed=3") == ("a.b", "tiny:1M,seed=3")


def test_what_cannot_be_served_is_said_before_the_start():
    with pytest.raises(UserError, match="NAME=scripted:random"):
        load(["x=scripted", "x=scripted:random"], [])
    with pytest.raises(UnknownName, match="Did you mean vote"):
        load(["scripted"], ["voet:n=3"])
    with pytest.raises(UnknownName):
        load(["scriptd"], [])


def test_the_longest_policy_name_wins():
    one, two = Scripted(sums()), Scripted(sums())
    models = Models({"a": one, "a+vote": two}, ("vote:n=2",))
    assert models.find("a+vote").policy is two
    assert models.find("a+vote").spec is None
    assert models.find("a+vote:n=2").policy is one
    assert models.find("a+vote+vote:n=2").policy is two
    assert [served.name for served in models.listed()] == ["a", "a+vote:n=2", "a+vote", "a+vote+vote:n=2"]


def test_a_temperature_is_the_methods_own():
    models = Models({"a": Scripted(sums())})
    assert models.find("a+vote:n=2").method(0.2).keywords == {"n": 2, "temperature": 0.2}
    for name in ("a+greedy", "a+vote:temperature=1"):
        with pytest.raises(ApiError) as caught:
            models.find(name).method(0.2)
        assert caught.value.param == "temperature"
