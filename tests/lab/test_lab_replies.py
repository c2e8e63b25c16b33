"""Replies are what was sampled, read by the question's parser, and counted."""

from __future__ import annotations

from typing import Any

from trivium.lab.lab import Lab
from trivium.lab.replies import continued, replies
from trivium.policies.scripted import Scripted, decode
from trivium.types import Message, Question

QUESTIONS = [Question(str(i), (Message("user", f"{i}+1"),), "number") for i in range(3)]


def lab() -> Lab[Any]:
    return Lab("any", "trivium.recipes.any", None, "smoke", 0)


def test_each_question_has_its_replies_and_their_tokens_are_charged() -> None:
    mine, policy = lab(), Scripted(lambda turn: f"{turn.question}={int(turn.question[0]) + 1}")
    found = replies(mine, policy, QUESTIONS, max_tokens=20, n=2, temperature=1.0, unit="labelling_tokens")
    assert [[r.answer for r in group] for group in found] == [["1", "1"], ["2", "2"], ["3", "3"]]
    assert all(decode(r.ids) == f"{i}+1={i + 1}" for i, group in enumerate(found) for r in group)
    assert all(r.prompt == policy.encode(q.messages) for q, [r, _] in zip(QUESTIONS, found, strict=True))
    assert mine.spent == {"labelling_tokens": sum(len(r.ids) for group in found for r in group)}


def test_a_response_that_was_cut_off_or_says_nothing_has_no_answer() -> None:
    cut = replies(lab(), Scripted(lambda turn: "1 2 3 4 5 6 7 8 9"), QUESTIONS, max_tokens=5)
    silent = replies(lab(), Scripted(lambda turn: "no"), QUESTIONS, max_tokens=5)
    assert {r.answer for [r] in [*cut, *silent]} == {None}


def test_a_response_goes_on_from_its_beginning_which_is_not_counted() -> None:
    mine, policy = lab(), Scripted(lambda turn: "b" if turn.said == "a" else f"{turn.said}c")
    said = continued(mine, policy, QUESTIONS, ["a", "", "d"], max_tokens=9, temperature=0.8, seed=1)
    assert said == ["ab", "c", "ddc"]
    assert mine.spent == {"sampled_tokens": len("b") + len("c") + len("dc") + 3}
