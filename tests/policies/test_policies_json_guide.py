"""Every JSON object is let through, letter by letter, and nothing is that could not become one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.policies.json_guide import DEEPEST, MOST_SPACES, State, follow

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(), VALUES, max_size=3)


@given(OBJECTS, st.booleans(), st.sampled_from([None, 1, 2]))
def test_every_object_is_let_through(value, ascii_only, indent):
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    state = State()
    for n, char in enumerate(text):
        assert not state.done, f"the object was closed before {text[n:]!r}"
        state = follow(state, char)
        assert state is not None, f"{text[: n + 1]!r} is the beginning of an object"
    assert state.done


@given(OBJECTS, st.data())
def test_what_is_let_through_to_its_end_is_json(value, data):
    """Of texts with one letter changed, those that are taken for whole objects are objects."""
    text = json.dumps(value)
    at = data.draw(st.integers(0, len(text) - 1))
    text = (
        text[:at]
        + data.draw(st.sampled_from('{}[]":,\\-+.eE019tfn \n\x01au'))
        + text[at + data.draw(st.integers(0, 1)) :]
    )
    state = follow(State(), text)
    try:
        valid = isinstance(json.loads(text), dict)
    except ValueError:
        valid = False
    assert (state is not None and state.done) == valid


@pytest.mark.parametrize(
    "text",
    ["[", '"', "1", "}", "{,", '{"a"}', '{"a":}', '{"a":01', '{"a":1.}', '{"a":-}', '{"a":1e}', '{"a":+1', '{"a":.5',
     '{"a":tru}', '{"a":1,}', '{"a":[1,]', '{"a":[1}', '{"a":"\\x', '{"a":"\\u12g', '{"a":"\n', '{} {', '{}x', "{a",
     "{'a'"],
)  # fmt: skip
def test_what_cannot_become_an_object_is_stopped(text):
    assert follow(State(), text) is None


def test_space_and_depth_have_ends():
    assert follow(State(), " " * MOST_SPACES) is not None
    assert follow(State(), " " * (MOST_SPACES + 1)) is None
    assert follow(State(), '{"a":' + "[" * (DEEPEST - 1)) is not None
    assert follow(State(), '{"a":' + "[" * DEEPEST) is None
