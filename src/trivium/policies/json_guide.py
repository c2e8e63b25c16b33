"""Which characters may come next in one JSON object: what holds samples to JSON asks this, a token at a time.

A state is what must be remembered of the text so far.  `step` is a pure function of a state and a character, so states
can be kept, compared and shared.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

MOST_SPACES = 16
"""White space in a row outside strings.  A sample could else go on with nothing but it."""
DEEPEST = 64
SPACE = " \t\n\r"
DIGITS = "0123456789"
_LITERALS = {"t": "rue", "f": "alse", "n": "ull"}
_NUMBER = {  # what may follow in each part of a number; parts that may end it are in _ENDS
    "-": {"0": "0", **dict.fromkeys(DIGITS[1:], "i")},
    "0": {".": ".", "e": "e", "E": "e"},
    "i": {**dict.fromkeys(DIGITS, "i"), ".": ".", "e": "e", "E": "e"},
    ".": dict.fromkeys(DIGITS, "f"),
    "f": {**dict.fromkeys(DIGITS, "f"), "e": "e", "E": "e"},
    "e": {"+": "s", "-": "s", **dict.fromkeys(DIGITS, "x")},
    "s": dict.fromkeys(DIGITS, "x"),
    "x": dict.fromkeys(DIGITS, "x"),
}
_ENDS = frozenset("0ifx")


class State(NamedTuple):
    """`mode` is what is being read, `rest` what is left of it, `stack` the open brackets, `spaces` the white space just
    read.
    """

    mode: str = "start"
    rest: str = ""
    stack: str = ""
    spaces: int = 0

    @property
    def done(self) -> bool:
        """The object is closed."""
        return self.mode == "done"


def follow(state: State, text: str) -> State | None:
    """The state after a text, or `None` where no JSON object goes on so."""
    found: State | None = state
    for char in text:
        found = step(found, char)
        if found is None:
            return None
    return found


@functools.lru_cache(maxsize=1 << 16)
def step(state: State, char: str) -> State | None:
    """The state after one more character, or `None` where it cannot come here."""
    mode, rest, stack, spaces = state
    if mode in ("string", "key"):
        return _in_string(state, char)
    if mode == "literal":
        return None if char != rest[0] else State("literal", rest[1:], stack) if rest[1:] else State("after", "", stack)
    if mode == "number":
        part = _NUMBER[rest].get(char)
        if part is not None:
            return State("number", part, stack)
        return step(State("after", "", stack), char) if rest in _ENDS else None
    if char in SPACE:
        return state._replace(spaces=spaces + 1) if spaces < MOST_SPACES else None
    if mode == "start":
        return State("first key", "", "{") if char == "{" else None
    if mode == "first key" and char == "}":
        return _closed(stack)
    if mode in ("first key", "next key"):
        return State("key", "", stack) if char == '"' else None
    if mode == "colon":
        return State("value", "", stack) if char == ":" else None
    if mode == "first value" and char == "]":
        return _closed(stack)
    if mode in ("value", "first value"):
        return _value(char, stack)
    if mode == "after" and char == ",":
        return State("next key" if stack[-1] == "{" else "value", "", stack)
    if mode == "after" and char == ("}" if stack[-1] == "{" else "]"):
        return _closed(stack)
    return None


def _closed(stack: str) -> State:
    return State("after", "", stack[:-1]) if stack[1:] else State("done")


def _value(char: str, stack: str) -> State | None:
    if char == '"':
        return State("string", "", stack)
    if char in "{[":
        mode = "first key" if char == "{" else "first value"
        return State(mode, "", stack + char) if len(stack) < DEEPEST else None
    if char == "-" or char in DIGITS:
        return State("number", char if char in "-0" else "i", stack)
    return State("literal", _LITERALS[char], stack) if char in _LITERALS else None


def _in_string(state: State, char: str) -> State | None:
    """`rest` is a backslash, or one `u` for each hexadecimal digit that is left."""
    mode, rest, stack, _ = state
    if rest == "\\":
        if char == "u":
            return State(mode, "uuuu", stack)
        return State(mode, "", stack) if char in '"\\/bfnrt' else None
    if rest:
        return State(mode, rest[1:], stack) if char in "0123456789abcdefABCDEF" else None
    if char == '"':
        return State("colon" if mode == "key" else "after", "", stack)
    if char == "\\":
        return State(mode, "\\", stack)
    return state if char >= " " else None
