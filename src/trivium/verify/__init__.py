"""Reading answers and judging them: parsers by name, and verifiers by name for tasks made from files.

`PARSERS` (see `trivium.verify.parse`) turn a response into a canonical answer, which is all that voting needs.
`VERIFIERS` also know the reference; `file:rows.jsonl,verifier=number` names one of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from trivium.errors import UnknownName
from trivium.types import Verdict
from trivium.verify.check import (
    Verifier,
    check_choice,
    check_exact,
    check_json,
    check_line,
    check_number,
    check_similarity,
)
from trivium.verify.parse import PARSERS, parse_answer


def _maths(response: str, reference: Any) -> Verdict:
    from trivium.verify.maths import check_maths

    return check_maths(response, reference)


def _program(response: str, reference: Any) -> Verdict:
    from trivium.verify.program import check_program

    return check_program(response, _structure(reference))


def _sql(response: str, reference: Any) -> Verdict:
    from trivium.verify.sql import check_sql

    return check_sql(response, _structure(reference))


def _structure(reference: Any) -> Any:
    """A reference that a flat file (CSV) had to write as JSON text."""
    return json.loads(reference) if isinstance(reference, str) else reference


VERIFIERS: Mapping[str, Verifier] = {
    "exact": Verifier("text", check_exact, "the whole response, white space aside"),
    "line": Verifier("line", check_line, "the marked answer or last line, letter case aside"),
    "number": Verifier("number", check_number, "the marked or last number; to a relative 1e-6 unless whole"),
    "maths": Verifier("maths", _maths, "mathematical equality of LaTeX or plain expressions (math-verify)"),
    "choice": Verifier("choice", check_choice, "an option letter, A to J"),
    "json": Verifier("json", check_json, "a JSON value, key order aside"),
    "program": Verifier("program", _program, 'a function passes {"name": ..., "tests": [[args, result], ...]}'),
    "sql": Verifier("sql", _sql, 'same rows as {"databases": [script], "query": gold, "ordered": false}'),
    "similarity": Verifier("text", check_similarity, "words in common order; correct from 0.9 on"),
}


def verifier(name: str) -> Verifier:
    """The verifier called `name`; raises `UnknownName` with the nearest ones."""
    if name not in VERIFIERS:
        raise UnknownName("verifier", name, VERIFIERS)
    return VERIFIERS[name]


__all__ = ["PARSERS", "VERIFIERS", "Verifier", "parse_answer", "verifier"]
