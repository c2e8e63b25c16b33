"""Prompts that are asked again are not encoded again."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from trivium.policies import chat
from trivium.policies.tiny import tiny
from trivium.types import Message


def talk(*said: str) -> Sequence[Message]:
    return [Message("user", text) for text in said]


def test_short_prompts_are_remembered_and_long_ones_and_too_many_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "REMEMBERED", 3)
    policy, encoded = tiny("30k"), []
    plain = policy._encode
    monkeypatch.setattr(policy, "_encode", lambda messages: encoded.append(messages) or plain(messages))
    for said in (["What is 2 + 2?"], ["a", "b"], ["ab"]):
        assert policy.encode(talk(*said)) == policy.encode(talk(*said)) == plain(tuple(talk(*said)))
    assert len(encoded) == 3
    long = talk("x" * (chat.SHORT + 1))
    assert policy.encode(long) == policy.encode(long)
    assert len(encoded) == 5
    assert policy.encode(talk("one more")) != policy.encode(talk("What is 2 + 2?"))
    assert len(policy._known) == 2, "all were forgotten, and these are known since"
