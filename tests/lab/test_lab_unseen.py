"""Problems for a second stage are none of the first."""

from __future__ import annotations

from trivium.lab.lab import Lab
from trivium.lab.unseen import unseen
from trivium.tasks import task


def test_what_was_seen_is_not_dealt_again() -> None:
    sums = task("sums:terms=3,digits=1")
    lab: Lab[None] = Lab("some", "", None, "smoke", 0)
    shown = lab.problems(sums, "train", 100)
    first = unseen(lab, sums, 50)
    assert len({p.question.id for p in first}) == 50
    assert not {p.question.id for p in first} & {p.question.id for p in shown}
    assert unseen(lab, sums, 60)[:50] == first, "the longer list begins with the shorter one"
