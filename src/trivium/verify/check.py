"""Checkers: a full response and a reference in, a `Verdict` out.

A reference that is itself unreadable is an `error`, never a wrong answer.  A checker may raise on a broken reference;
`Verifier` turns whatever it raises into `Verdict.error`.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from trivium.types import Verdict
from trivium.verify.parse import choice, format_number, json_value, line, number_value, text

Check = Callable[[str, Any], Verdict]
_MOST_WORDS = 1000
_TOLERANCE = Fraction(1, 10**6)
_ALIKE = 0.9


@dataclass(frozen=True, slots=True)
class Verifier:
    """A named way to judge a response: the parser that reads its answer, and the check.  Calling it raises nothing."""

    answer_format: str
    check: Check
    summary: str

    def __call__(self, response: str, reference: Any) -> Verdict:
        try:
            return self.check(response, reference)
        except Exception as error:
            return Verdict.error(f"{type(error).__name__}: {error}")


def check_exact(response: str, reference: Any) -> Verdict:
    """The whole response equals the reference, white space aside."""
    return _compare(_squeezed(text(response)), _squeezed(_wording(reference)))


def check_line(response: str, reference: Any) -> Verdict:
    """The marked answer or last line equals the reference, white space, letter case and a final full stop aside."""
    answer = _squeezed(line(response))
    verdict = _compare(_folded(answer), _folded(_squeezed(_wording(reference))))
    return Verdict(verdict.status, verdict.score, verdict.parts, answer, verdict.detail)


def check_number(response: str, reference: Any) -> Verdict:
    """The number answered is the reference; unless both are whole, to 1e-6 relative to the reference (absolute where
    that is below 1).
    """
    wanted = reference_number(reference)
    got = number_value(response)
    if got is None:
        return Verdict.unparseable("no number found")
    answer = format_number(got)
    whole = got.denominator == wanted.denominator == 1
    allowed = Fraction(0) if whole else _TOLERANCE * max(Fraction(1), abs(wanted))
    return Verdict.right(answer) if abs(got - wanted) <= allowed else Verdict.wrong(answer)


def check_choice(response: str, reference: Any) -> Verdict:
    """The letter answered is the reference's."""
    wanted = choice(_wording(reference))
    if wanted is None:
        raise ValueError(f"reference {reference!r} is not an option letter, A to J")
    return _compare(choice(response), wanted)


def check_json(response: str, reference: Any) -> Verdict:
    """The JSON value answered equals the reference (a value, or a text that holds one).  Neither key order nor
    `2.0` for `2` matters.
    """
    source = reference if isinstance(reference, str) else json.dumps(reference, allow_nan=False)
    wanted = json_value(source)
    if wanted is None or reference is None:
        raise ValueError(f"reference {reference!r} holds no JSON value")
    return _compare(json_value(response), wanted)


def check_similarity(response: str, reference: Any) -> Verdict:
    """Scored by the share of words in common order, 2 * matches / (words of both); correct from 0.9 on.

    Ratcliff & Metzener 1988, over at most the first 1,000 words of each.
    """
    answer = text(response)
    if answer is None:
        return Verdict.unparseable("empty response")
    wanted, given = (words.lower().split()[:_MOST_WORDS] for words in (_wording(reference), answer))
    ratio = difflib.SequenceMatcher(None, wanted, given, autojunk=False).ratio()
    return Verdict("correct" if ratio >= _ALIKE else "wrong", ratio, {"similarity": ratio}, answer)


def reference_number(reference: Any) -> Fraction:
    """A reference as an exact number; raises `ValueError` where it is not one."""
    if isinstance(reference, int | float) and not isinstance(reference, bool):
        return Fraction(str(reference))
    value = number_value(reference) if isinstance(reference, str) else None
    if value is None:
        raise ValueError(f"reference {reference!r} is not a number")
    return value


def _wording(reference: Any) -> str:
    words = str(reference).strip() if isinstance(reference, str | int | float) else ""
    if not words:
        raise ValueError(f"reference {reference!r} is not a text")
    return words


def _squeezed(words: str | None) -> str | None:
    return " ".join(words.split()) if words is not None else None


def _folded(words: str | None) -> str | None:
    return (words.rstrip(".").casefold() or words) if words is not None else None


def _compare(answer: str | None, wanted: str | None) -> Verdict:
    if answer is None:
        return Verdict.unparseable("no answer found")
    return Verdict.right(answer) if answer == wanted else Verdict.wrong(answer)
