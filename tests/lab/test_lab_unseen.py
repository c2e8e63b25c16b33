"""Problems for a second stage are none of the first."""

from __future__ import annotations

import pytest

from trivium.errors import TooFewProblems
from trivium.lab.lab import Lab
from trivium.lab.unseen import unseen
from trivium.tasks import task


def test_what_was_seen_is_not_dealt_again() -> None:
    sums = task("sums:terms=3,digits=1")
    lab: Lab[None] = Lab("some", "", None, "smoke", 0)
    dealt = [lab.problems(sums, "train", 100), unseen(lab, sums, 50), unseen(lab, sums, 50)]
    assert [len(part) for part in dealt] == [100, 50, 50]
    assert len({p.question.id for part in dealt for p in part}) == 200
    again: Lab[None] = Lab("some", "", None, "smoke", 0)
    again.problems(sums, "train", 100)
    assert unseen(again, sums, 60)[:50] == dealt[1], "the longer list begins with the shorter one"


def test_all_that_is_left_is_dealt_and_no_more() -> None:
    few = task("sums:terms=2,digits=1,ops=+")
    with pytest.raises(TooFewProblems) as told:
        few.problems("train", 10_000)
    lab: Lab[None] = Lab("some", "", None, "smoke", 0)
    seen = lab.problems(few, "train", told.value.available - 3)
    assert not {p.question.id for p in unseen(lab, few, 3)} & {p.question.id for p in seen}
    with pytest.raises(TooFewProblems):
        unseen(lab, few, 1)
