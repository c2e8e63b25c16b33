"""What the methods share that let a program find the answer: reading it, its value, and the answer that makes."""

from __future__ import annotations

import ast
import json
import math
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from trivium.sandbox import Outcome
from trivium.search.lm import LM, Chain
from trivium.types import Answer, Question
from trivium.verify.parse import parse_answer

NAMES = ("ans", "answer", "result")
"""Variables that hold a program's answer, the first of them first."""
_FENCES = {"json": "json", "sql": "sql", "program": "python"}
_SCALAR = ("number", "choice", "truth", "expression", "maths")


def parse_python(source: str) -> ast.Module | None:
    """The syntax tree of any text, or `None` if it is no Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def literal(source: str) -> tuple[bool, Any]:
    """Whether a text is a Python or JSON literal (`[1, 'a']`, `true`), and its value."""
    for read in (ast.literal_eval, json.loads):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return True, read(source.strip())
        except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
            continue
    return False, None


def read_program(chain: Chain) -> str | None:
    """The program in a reply; `None` where there is none, or where the reply ends in the middle of it."""
    if chain.finish != "stop" and chain.response.count("```") % 2 == 1:
        return None
    return parse_answer("program", chain.response)


def with_value(code: str) -> str:
    """The program with its answer as last expression, where it does not end in one.

    That is a variable of `NAMES`, or else what the last function gives if it needs no arguments.
    """
    tree = parse_python(code)
    if tree is None or not tree.body:
        return code  # the sandbox says what is wrong with it
    last = tree.body[-1]
    if isinstance(last, ast.Expr) and not _prints(last.value):
        return code
    assigned = set(_assigned(tree.body))
    if name := next((name for name in NAMES if name in assigned), None):
        return f"{code}\n{name}"
    if isinstance(last, ast.FunctionDef) and len(last.args.args) == len(last.args.defaults):
        return f"{code}\n{last.name}()"
    return code


def value_of(outcome: Outcome) -> Any:
    """The value that a program ended with, or else the last line it printed; `None` if it failed or gave neither."""
    if not outcome.ok or outcome.value is not None:
        return outcome.value if outcome.ok else None
    return outcome.stdout.strip().rpartition("\n")[2] or None


def plain(value: Any, *, scalar: bool = False) -> str | None:
    """A value as a person would write it: `true`, `0.3` for 0.1 + 0.2, `a` for the text a.

    `None` for what nobody would write, such as nan or thousands of digits, and with `scalar` for a collection.
    """
    if value is None or (scalar and isinstance(value, list | tuple | set | frozenset | dict)):
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.12g}" if math.isfinite(value) else None
    try:
        return str(value).strip() or None
    except ValueError:  # an integer of thousands of digits
        return None


def as_response(answer_format: str, value: Any) -> str | None:
    """A program's value as a response in that format, such as `Answer: 42`; `None` where it is no such answer."""
    said = _json(value) if answer_format == "json" else plain(value, scalar=answer_format in _SCALAR)
    if said is None:
        return None
    if answer_format in _FENCES:
        response = f"```{_FENCES[answer_format]}\n{said}\n```"
    elif answer_format == "box":
        response = f"\\boxed{{{said}}}"
    else:
        response = said if answer_format == "text" else f"Answer: {said}"
    return response if parse_answer(answer_format, response) is not None else None


def concluding(lm: LM, question: Question, value: Any, confidence: float | None = None) -> Answer | None:
    """The answer that a value makes, told to the trace right below the question; `None` where it makes none."""
    response = as_response(question.answer_format, value)
    if response is None:
        return None
    told = lm.tell(lm.begin(question), response)
    return told.answering(parse_answer(question.answer_format, response), confidence)


def abstaining(chain: Chain) -> Answer:
    """No answer, and no response: a verifier must not read one out of a program that failed."""
    return Answer(None, "", chain.node)


def _prints(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"


def _assigned(body: Sequence[ast.stmt]) -> Iterator[str]:
    """Names assigned outside functions, in branches and loops too."""
    for statement in body:
        if isinstance(statement, ast.Assign):
            yield from (target.id for target in statement.targets if isinstance(target, ast.Name))
        elif isinstance(statement, ast.AnnAssign | ast.AugAssign) and isinstance(statement.target, ast.Name):
            yield statement.target.id
        elif isinstance(statement, ast.If | ast.For | ast.While | ast.With | ast.Try):
            yield from _assigned([*statement.body, *getattr(statement, "orelse", [])])


def _json(value: Any) -> str | None:
    if isinstance(value, str) and (written := parse_answer("json", value)) is not None:
        return written
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return None
