"""A bandit draws what teaches, looks again at what it has not seen for long, and repeats itself exactly."""

from __future__ import annotations

import math

import pytest

from trivium.data.curriculum import SourceBandit
from trivium.errors import UserError


def told(**options) -> SourceBandit:
    bandit = SourceBandit(3, **options)
    for source, signals in enumerate([[0.0] * 40, [1.0] * 20 + [0.5] * 20, [0.2] * 40]):
        bandit.observe(source, signals)
    return bandit


def test_scores_and_shares_follow_the_formula():
    bandit = told(window=10, temperature=0.1)
    bonus = math.sqrt(2 * math.log(121) / 41)
    assert bandit.counts == [40, 40, 40]
    assert bandit.scores() == pytest.approx([bonus, 0.5 + bonus, 0.2 + bonus])  # the window has dropped the ones
    weights = [math.exp(score / 0.1) for score in (0.0, 0.5, 0.2)]
    assert bandit.shares() == pytest.approx([w / sum(weights) for w in weights])
    assert SourceBandit(3).shares() == pytest.approx([1 / 3] * 3)


def test_what_was_never_drawn_is_tried_before_anything_is_trusted():
    bandit = SourceBandit(2)
    bandit.observe(0, [0.9] * 500)
    assert bandit.shares()[1] > 0.99
    bandit.observe(1, [0.1] * 500)
    assert bandit.shares()[0] > 0.99


def test_temperature_0_locks_onto_one_and_shares_among_equals():
    assert told(temperature=0.0).shares() == [0, 1, 0]
    assert set(told(temperature=0.0).draw(50, 7)) == {1}
    assert SourceBandit(4, temperature=0.0).shares() == [0.25] * 4


def test_draws_follow_from_seed_place_and_signals_alone():
    bandit = told(seed=5, temperature=0.5)
    assert bandit.draw(30, 2) == bandit.draw(30, 2) == told(seed=5, temperature=0.5).draw(30, 2)
    assert bandit.draw(30, 2) != told(seed=6, temperature=0.5).draw(30, 2)
    assert bandit.draw(30, 2) != bandit.draw(30, 3)
    drawn = bandit.draw(20_000, 0)
    assert [drawn.count(i) / 20_000 for i in range(3)] == pytest.approx(bandit.shares(), abs=0.02)


@pytest.mark.parametrize("options", [{"sources": 0}, {"sources": 2, "window": 0}, {"sources": 2, "temperature": -1.0}])
def test_options_that_make_no_curriculum_are_refused(options):
    with pytest.raises(UserError, match="expected at least"):
        SourceBandit(**options)
