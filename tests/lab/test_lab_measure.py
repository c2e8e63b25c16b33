"""What is read off judged samples."""

from __future__ import annotations

import math

import pytest

from trivium.lab.measure import answer_entropy, pass_at, vote_right
from trivium.types import Verdict


def group(*answers: str | None) -> list[tuple[str, Verdict]]:
    """Samples by their answers; `4` is right and `None` cannot be read."""
    judged = {"4": Verdict.right("4"), None: Verdict.unparseable()}
    return [("", judged.get(answer) or Verdict.wrong(answer)) for answer in answers]


def test_a_vote_is_right_if_its_most_common_answer_is() -> None:
    assert vote_right(group("4", "5", "4"))
    assert not vote_right(group("4", "5", "5"))
    assert vote_right(group("4", "5")), "ties go to the first seen"
    assert vote_right(group(None, None, "4")), "what cannot be read abstains"
    assert not vote_right(group(None, None))


def test_the_entropy_of_answers_is_that_of_their_shares() -> None:
    assert answer_entropy(group("4", "4", "4")) == 0
    assert answer_entropy(group("4", "5", "6", None)) == pytest.approx(math.log(4))
    assert answer_entropy(group("4", None, None, "4")) == pytest.approx(math.log(2))


def test_pass_at_k_leaves_out_what_has_no_verdict() -> None:
    broken = ("", Verdict.error("timeout"))
    assert pass_at([group("4", "5"), [broken, *group("4")]], 1) == [0.5, 1.0]
    assert pass_at([[broken, *group("4")]], 2) == [None]
