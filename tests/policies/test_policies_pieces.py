"""Text is told as tokens come in, never half a character or a stop string, and never taken back."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.policies.pieces import Unfolding, before_stop, waiting


def as_bytes(ids: Sequence[int]) -> str:
    return bytes(ids).decode(errors="replace")


def words(ids: Sequence[int]) -> str:
    """A tokenizer that puts a space between words, but none before the first."""
    return " ".join(f"w{i}" for i in ids)


def unfold(ids: Sequence[int], stop: Sequence[str] = (), decode=as_bytes, step: int = 1) -> tuple[list[str], Unfolding]:
    told = Unfolding(decode, stop)
    said = [told.more(ids[:n]) for n in range(step, len(ids), step)]
    return [*said, told.rest(ids, decode(ids))], told


@given(st.text(max_size=60), st.integers(1, 5))
def test_pieces_join_to_the_text(text, step):
    ids = text.encode()
    pieces, told = unfold(ids, step=step)
    assert "".join(pieces) == text == told.told
    assert told.told_tokens == len(ids)


@given(st.binary(max_size=80))
def test_no_bytes_are_too_odd(ids):
    """What is no text at all comes out as it does when it is decoded in one."""
    pieces, _ = unfold(ids)
    assert "".join(pieces) == as_bytes(ids)


def test_a_character_waits_for_its_last_byte():
    ids, told = "a€😀b".encode(), Unfolding(as_bytes)
    seen = [(told.more(ids[:n]), told.told_tokens) for n in range(1, len(ids) + 1)]
    texts = ["a", "", "", "€", "", "", "", "😀", "b"]
    assert seen == list(zip(texts, [1, 1, 1, 4, 4, 4, 4, 8, 9], strict=True)), "its tokens wait with it"


@given(st.lists(st.integers(0, 99), min_size=1, max_size=90))
def test_spaces_between_words_survive_the_window(ids):
    pieces, _ = unfold(ids, decode=words)
    assert "".join(pieces) == words(ids)


@given(st.text("abc", max_size=30), st.lists(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=3))
def test_a_stop_string_is_never_told(text, stop):
    """The text ends with the first stop string that is whole, as the engine has it."""
    ends = [at + len(s) for s in stop if (at := text.find(s)) >= 0]
    ids = text[: min(ends)].encode() if ends else text.encode()
    pieces, told = unfold(ids, stop)
    expected = before_stop(as_bytes(ids), stop)
    assert "".join(pieces) == expected
    assert told.told_tokens == len(expected)
    for n in range(len(pieces)):
        assert expected.startswith("".join(pieces[:n])), "nothing is taken back"


@pytest.mark.parametrize(
    ("text", "stop", "held"),
    [("abc", (), 0), ("abc", ("cd",), 1), ("ab", ("abcd", "bx"), 2), ("xENDy", ("END",), 4), ("EN", ("END",), 2)],
)
def test_only_what_may_become_a_stop_string_waits(text, stop, held):
    assert waiting(text, stop) == held


def test_the_longest_stop_string_at_the_end_is_cut():
    assert before_stop("say ab", ("b", "ab", "x")) == "say "
    assert before_stop("say", ()) == "say"
