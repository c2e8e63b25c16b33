"""Each reward term on small groups of traces, its limits, and what it must never pay for."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.errors import UserError
from trivium.rewards import REWARDS
from trivium.rewards.length import length, overlong, relative_length
from trivium.rewards.outcome import outcome, partial, well_formed
from trivium.types import Finish, Trace, Usage, Verdict

RIGHT, WRONG, GARBLED, BROKEN = Verdict.right("4"), Verdict.wrong("5"), Verdict.unparseable(), Verdict.error("timeout")


def trace(verdict: Verdict | None, tokens: int = 10, finish: Finish = "stop") -> Trace:
    return Trace("q", verdict=verdict, usage=Usage(sampled_tokens=tokens), finish=finish)


def every_reward() -> list[str]:
    return [f"{name}" for name in REWARDS.names()]


def build(name: str):
    capped = name in ("length", "overlong")
    return REWARDS.build(name, **({"max_tokens": 100} if capped else {}))


def test_outcome_and_format_read_the_verdict():
    group = [trace(v) for v in (RIGHT, WRONG, GARBLED, BROKEN)]
    assert outcome()(group) == [1.0, 0.0, 0.0, None]
    assert well_formed()(group) == [1.0, 1.0, 0.0, None]


def test_a_verifier_that_scores_format_decides_it():
    assert well_formed()([trace(Verdict.right("4", format=0.5)), trace(Verdict.unparseable(format=0.25))]) == [
        0.5,
        0.25,
    ]


def test_partial_is_the_score_or_a_named_part():
    group = [trace(Verdict.right("4", steps=1.0)), trace(Verdict.wrong("5", score=0.3, steps=0.5)), trace(GARBLED)]
    assert partial()(group) == [1.0, 0.3, 0.0]
    assert partial("steps")(group) == [1.0, 0.5, 0.0]


def test_partial_names_the_parts_that_exist():
    with pytest.raises(UserError, match=r"no part 'stepz'; its parts are: steps"):
        partial("stepz")([trace(Verdict.right("4", steps=1.0))])


@pytest.mark.parametrize("name", every_reward())
def test_a_broken_verifier_is_never_paid_and_changes_nobody_elses_reward(name: str):
    group = [trace(RIGHT, 10), trace(RIGHT, 40), trace(WRONG, 90)]
    alone = build(name)(group)
    beside = build(name)([*group, trace(BROKEN, 1)])
    assert beside == [*alone, None]


@pytest.mark.parametrize("name", every_reward())
def test_a_trace_that_was_not_judged_is_an_error(name: str):
    with pytest.raises(ValueError, match="no verdict"):
        build(name)([trace(None)])


@pytest.mark.parametrize("shape", ["linear", "cosine"])
def test_length_grows_with_tokens_and_stops_at_the_cap(shape):
    reward = length(max_tokens=100, shape=shape)
    got = reward([trace(RIGHT, t) for t in (0, 25, 50, 99, 100, 150, 200)])
    assert got[0] == 0.0
    assert got[2] == pytest.approx(0.5)
    assert got == sorted(got)
    assert got[4:] == [1.0, 1.0, 1.0]  # a cosine that runs on would fall again beyond the cap


def test_cosine_length_is_the_published_half_wave():
    value = length(max_tokens=80, shape="cosine")([trace(RIGHT, 20)])[0]
    assert value == pytest.approx(1 - 0.5 * (1 + math.cos(math.pi * 20 / 80)))


def test_length_leaves_wrong_answers_alone_unless_asked():
    group = [trace(WRONG, 10), trace(WRONG, 90)]
    assert length(max_tokens=100)(group) == [0.0, 0.0]
    assert length(max_tokens=100, among="all")(group) == pytest.approx([0.1, 0.9])


def test_overlong_is_the_three_piece_function_of_the_paper():
    l_max, cache = 20480, 4096
    for tokens in (1, 16384, 16385, 18432, 20479, 20480):
        if tokens <= l_max - cache:
            expected = 0.0
        elif tokens <= l_max:
            expected = ((l_max - cache) - tokens) / cache
        else:
            expected = -1.0
        assert overlong(max_tokens=l_max)([trace(RIGHT, tokens)]) == [pytest.approx(expected)]


def test_overlong_takes_truncated_as_at_the_cap_and_checks_its_buffer():
    assert overlong(max_tokens=100)([trace(RIGHT, 3, "length")]) == [-1.0]
    with pytest.raises(UserError, match="buffer=101"):
        overlong(max_tokens=100, buffer=101)
    with pytest.raises(UserError, match="max_tokens=0"):
        length(max_tokens=0)


def test_relative_length_compares_correct_answers():
    group = [trace(RIGHT, 10), trace(RIGHT, 20), trace(RIGHT, 30), trace(WRONG, 5)]
    assert relative_length()(group) == pytest.approx([0.5, 0.0, -0.5, 0.0])


def test_relative_length_in_the_published_form_compares_all():
    group = [trace(RIGHT, 10), trace(RIGHT, 30), trace(WRONG, 10), trace(WRONG, 30)]
    assert relative_length(among="all")(group) == pytest.approx([0.5, -0.5, 0.0, -0.5])


@given(st.lists(st.tuples(st.sampled_from([RIGHT, WRONG, GARBLED, BROKEN]), st.integers(0, 300)), max_size=8))
def test_every_reward_is_bounded_and_gives_one_value_per_trace(rows):
    group = [trace(v, n) for v, n in rows]
    for name in every_reward():
        values = build(name)(group)
        assert [v is None for v in values] == [v.status == "error" for v, _ in rows]
        assert all(-1.0 <= v <= 1.0 for v in values if v is not None)
        assert build(name)(group[::-1]) == values[::-1]


def test_agreement_counts_answers_and_never_their_truth():
    group = [trace(v) for v in (RIGHT, WRONG, WRONG, GARBLED, BROKEN)]
    assert REWARDS.build("agreement")(group) == [1 / 4, 2 / 4, 2 / 4, 0.0, None]
    assert REWARDS.build("agreement:rule=majority")(group) == [0.0, 1.0, 1.0, 0.0, None]
    assert REWARDS.build("agreement:rule=log")(group)[:4] == [math.log(n / 8) for n in (2, 4, 4, 1)]
    assert REWARDS.build("agreement")([trace(GARBLED)]) == [0.0]


def test_random_pay_pays_the_rate_and_repeats():
    group = [Trace("q", response=f"answer {i}", verdict=WRONG, usage=Usage(sampled_tokens=5)) for i in range(2000)]
    paid = REWARDS.build("random:rate=0.3")(group)
    assert paid == REWARDS.build("random:rate=0.3")(group)
    assert sum(paid) / 2000 == pytest.approx(0.3, abs=0.04)
