"""Chains are true, fail differently, and end right; what is forced early is their last whole attempt."""

from __future__ import annotations

import re

from trivium.data.sign_chains import chain, forced, stripped, tries
from trivium.rewards.repetition import repeats
from trivium.tasks import task
from trivium.verify.expression import evaluate

SIGNS = task("countdown:numbers=4,largest=12,target=40,ops=+-,use_all=true")


def test_every_positive_way_to_sign_the_numbers_is_there_once() -> None:
    assert tries([2, 3, 7]) == {"7+3=10+2=12": 12, "7+3=10-2=8": 8, "7+2=9-3=6": 6, "7-3=4-2=2": 2}
    assert list(tries([5, 5])) == ["5+5=10"], "0 is not positive, and equal numbers are one way"


def test_chains_are_true_and_end_right() -> None:
    failed = []
    for problem in SIGNS.problems("train", 80):
        text, target = chain(problem, 3), problem.reference["target"]
        *tried, last, answer = text.split("\n")
        failed.append(len(tried))
        for line in (*tried, last):
            said, _, verdict = line.partition(" ")
            work, _, beside = said.partition(">")
            assert beside == str(target)
            value, used = evaluate(stripped(work))
            assert (work.rpartition("=")[2], verdict) == (str(value), "ok" if value == target else "x")
            assert sorted(used) == sorted(problem.reference["numbers"])
        assert answer == stripped(last.partition(">")[0])
        assert SIGNS.verify(problem, text).correct
        assert not repeats(text)
        assert chain(problem, 3) == text
        assert re.fullmatch(r"[-+=>\dxok \n]+", text)
    assert set(failed) == {0, 1, 2, 3}


def test_what_is_cut_is_answered_by_its_last_whole_attempt() -> None:
    text = "7+3=10-2=8>6 x\n7+2=9-3=6>6 ok\n7+2-3"
    assert forced(text, len(text) + 1) == text
    assert forced(text, len(text)) == "7+3-2>6 x\n7+2-3>6 ok"
    assert forced(text, 20) == "7+3-2>6 x"
    assert forced(text, 12) == ""


def test_forced_answers_are_judged_as_any_other() -> None:
    for problem in SIGNS.problems("dev", 40):
        text = chain(problem, 2)
        judged = text.rpartition("\n")[0]
        assert SIGNS.verify(problem, forced(text, len(judged) + 1)).correct, "the last attempt is the right one"
        first = forced(text, len(text.partition("\n")[0]) + 1)
        assert SIGNS.verify(problem, first).correct == (text.count("\n") == 1)
