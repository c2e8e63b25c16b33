"""Words from outside, made safe to put into a page."""

from __future__ import annotations

import re
from html import escape

_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def text(value: object) -> str:
    """Escaped for HTML; control characters, which no browser shows, become their visible pictures."""
    return escape(_UNPRINTABLE.sub(lambda m: "\u2421" if m[0] == "\x7f" else chr(0x2400 + ord(m[0])), str(value)))
