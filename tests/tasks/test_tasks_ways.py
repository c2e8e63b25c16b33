"""Sums that want different ways: what each way says, what is read from it, and for which questions it can be right."""

from __future__ import annotations

import re

import pytest

from trivium.errors import UserError
from trivium.tasks.ways import KNOWN, WAYS, Ways, in_words, read, said, why

TASK = Ways()
DEALT = TASK.problems("train", 400)


def test_every_way_says_a_question_in_its_form() -> None:
    assert {way: said("F+8*3", way) for way in WAYS} == {
        "d": "d:87",
        "w": "w:F+8=29\n29*3=87\n87",
        "p": "p:F+8*3",
        "rd": "rd:21+8*3\n87",
        "rw": "rw:21+8*3\n21+8=29\n29*3=87\n87",
        "rp": "rp:21+8*3",
    }
    assert in_words("F") == ["21"]


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("d:87", 87),
        ("w:21+8=29\n29*3=87\n87", 87),
        ("w:21+8=29\n29*3", None),  # words do not end in a program
        ("w:21+8=29", None),
        ("rw:21+8\n29", 29),
        ("p:21*3-100", -37),
        ("rp:21+8*3", 45),  # the product first
        ("p:F+8", None),  # no calculator knows F
        ("p:21+", None),
        ("p:1/3", None),
        ("21+8*3", 45),
        ("87", 87),
        ("rp", None),
        ("", None),
        ("d:", None),
    ],
)
def test_what_is_read_from_a_response(response: str, answer: int | None) -> None:
    assert read(response) == answer


def test_which_ways_can_be_right_follows_from_the_question() -> None:
    seen = set()
    for p in DEALT:
        right = {way for way in WAYS if TASK.verify(p, said(p.key, way)).correct}
        reasons = why(p.key).split()
        assert {"d", "w", "rd", "rw"} <= right
        assert ("rp" in right) == ("late" not in reasons)
        assert ("p" in right) == ("late" not in reasons and "name" not in reasons)
        assert ("name" in reasons) == (p.key[0] in KNOWN)
        assert ("large" in reasons) == any(int(number) > 99 for number in re.findall(r"\d+", p.key))
        seen.add(why(p.key))
    assert len(seen) == 8, "every combination of reasons comes up"


def test_problems_are_never_below_zero_and_do_not_tell_their_answer() -> None:
    for p in DEALT:
        lines = in_words(p.key)
        assert p.level == len(lines) - 1 in (2, 3)
        assert all(int(line.rpartition("=")[2]) >= 0 for line in lines)
        assert TASK.verify(p, p.gold).correct
        assert TASK.verify(p, str(p.solution)).correct
        assert not re.search(rf"(?<!\d){p.gold}(?!\d)", p.key)
        assert max(len(said(p.key, way)) for way in WAYS) <= TASK.max_tokens
    assert not {p.key for p in DEALT} & {p.key for p in TASK.problems("test", 200)}


def test_shares_are_what_was_asked_for() -> None:
    plain = Ways(named=0, big=0, product=0).problems("dev", 50)
    assert {why(p.key) for p in plain} == {"plain"}
    assert not any("*" in p.key for p in plain)
    every = Ways(steps=2, named=1, big=1, product=1).problems("dev", 50)
    assert {why(p.key) for p in every} == {"name large", "name large late"}
    wrong = TASK.verify(plain[0], "w:0\n1x")
    assert (wrong.status, wrong.parts) == ("unparseable", {"format": 0.0})


def test_options_that_make_no_sense_are_refused() -> None:
    with pytest.raises(UserError, match="named=2"):
        Ways(named=2)
    with pytest.raises(UserError, match="steps"):
        Ways(steps=1, min_steps=2)
