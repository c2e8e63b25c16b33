"""Words from outside, made safe to put into a page."""

from __future__ import annotations

import re
from html import escape

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_UNSAFE = re.compile(r"[\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")  # C1, lone surrogates, text direction


def text(value: object) -> str:
    """Escaped for HTML; control characters, which no browser shows, become their visible pictures."""
    visible = _CONTROL.sub(lambda match: chr(0x2400 + ord(match[0])), str(value))
    return escape(_UNSAFE.sub("\N{REPLACEMENT CHARACTER}", visible))
