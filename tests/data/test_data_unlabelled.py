"""Without labels: agreement keeps what both say, and a vote prefers only where it is sure."""

from __future__ import annotations

import random

import pytest

from trivium.data.unlabelled import Reply, agreeing, vote_pair


def reply(answer: str | None, number: int = 0) -> Reply:
    return Reply((1, 2), (3, number, *map(ord, answer or "")), answer)


def samples(answers: str) -> list[Reply]:
    """One sample a character; `-` has no answer."""
    return [reply(None if c == "-" else c, i) for i, c in enumerate(answers)]


def test_only_equal_answers_agree() -> None:
    pairs = [
        (reply("7"), reply("7", 1)),
        (reply("7"), reply("8")),
        (reply(None), reply(None)),
        (reply("7"), reply(None)),
    ]
    assert agreeing(pairs) == pairs[:1]


@pytest.mark.parametrize("answers", ["7778-", "77788", "-7-7-7"])
def test_an_unsure_vote_says_nothing_and_a_sure_one_confirms(answers: str) -> None:
    votes, pair = samples(answers), vote_pair(reply("7", 9), samples(answers), random.Random(0))
    if answers.count("7") / len(answers) < 0.6:
        assert pair is None
    else:
        assert pair is not None
        assert (pair.context, pair.chosen) == ((1, 2), reply("7", 9).ids)
        assert pair.rejected in {r.ids for r in votes if r.answer != "7"}


def test_it_overrules_only_from_the_higher_share_on() -> None:
    weak = reply("8", 9)
    assert vote_pair(weak, samples("7777889---"), random.Random(0)) is None
    assert vote_pair(weak, samples("7777777889"), random.Random(0)) is None
    pair = vote_pair(weak, samples("7777777788"), random.Random(0))
    assert pair is not None
    assert pair.rejected == weak.ids
    assert pair.chosen in {r.ids for r in samples("7777777788") if r.answer == "7"}
    assert vote_pair(reply(None), samples("7777"), random.Random(0)) is not None, (
        "silence is overruled like a wrong answer"
    )


def test_there_is_no_pair_without_a_second_opinion_or_without_answers() -> None:
    assert vote_pair(reply("7"), samples("7777"), random.Random(0)) is None
    assert vote_pair(reply("7"), samples("----"), random.Random(0)) is None
    assert vote_pair(reply(None), samples("----"), random.Random(0)) is None
    assert vote_pair(reply("7"), [], random.Random(0)) is None


def test_the_seed_decides() -> None:
    drawn = {vote_pair(reply("7"), samples("7777771234"), random.Random(5)) for _ in range(5)}
    assert len(drawn) == 1
