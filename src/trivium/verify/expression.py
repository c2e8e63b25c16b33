"""Exact value of a small arithmetic expression, and the truth of equations: our own walk over the syntax tree, safely;
no `eval`, no powers.
"""

from __future__ import annotations

import ast
import itertools
import operator
import re
import warnings
from collections.abc import Callable, Mapping
from fractions import Fraction

MAX_CHARACTERS = 200
_EQUATION = re.compile(r"(-?\d{1,40})([+\-*/])(\d{1,40})=(-?\d{1,40})", re.ASCII)
_WRITTEN = re.compile(r"[-(]*\d[\d.+\-*/() ]*(?:=[\d.+\-*/() ]*[\d)])+", re.ASCII)
_MARK = re.compile(r" *(?:\d+[.)]|[-*]) +", re.ASCII)
_BEFORE = re.compile(r"[\w.]$|[+\-*/(] *$", re.ASCII)
_AFTER = re.compile(r"\w|\.\d| *[+\-*/(=]", re.ASCII)
_OPERATORS: Mapping[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def evaluate(expression: str, names: Mapping[str, int] = {}) -> tuple[Fraction, list[int]]:
    """The value of `expression` over `+ - * /`, integers and `names`, and the integers written in it, left to right.

    Raises `ValueError` with the reason: not such an expression, too long, an unknown name, or a division by zero.
    """
    if len(expression) > MAX_CHARACTERS:
        raise ValueError(f"expression of {len(expression)} characters; at most {MAX_CHARACTERS} are read")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(expression.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"not an arithmetic expression: {expression!r}") from error
    written: list[int] = []

    def value(node: ast.expr) -> Fraction:
        match node:
            case ast.BinOp(left, op, right) if type(op) in _OPERATORS:
                try:
                    return _OPERATORS[type(op)](value(left), value(right))
                except ZeroDivisionError:
                    raise ValueError(f"division by zero in {expression!r}") from None
            case ast.UnaryOp(ast.USub(), operand):
                return -value(operand)
            case ast.Constant(number) if type(number) is int:
                written.append(number)
                return Fraction(number)
            case ast.Name(name) if name in names:
                return Fraction(names[name])
        raise ValueError(f"only + - * / and whole numbers are read, not {ast.unparse(node)!r}")

    return value(tree), written


def signs(expression: str) -> set[str]:
    """The signs in an expression that `evaluate` reads, such as {"+", "/"}; a minus before a number is one of them."""
    return set(expression) & set("+-*/")


def equation(line: str) -> tuple[int, str, int, int] | None:
    """`41+87=128` as (41, "+", 87, 128), or `None`."""
    found = _EQUATION.fullmatch(line)
    return (int(found[1]), found[2], int(found[3]), int(found[4])) if found else None


def holds(left: int, sign: str, right: int, result: int) -> bool:
    """Whether the equation is true, exactly."""
    if sign == "/":
        return right != 0 and Fraction(left, right) == result
    return {"+": left + right, "-": left - right, "*": left * right}[sign] == result


def equations(text: str) -> list[bool]:
    """Whether each equation written in a text, such as `(4 + 7) * 2 = 22`, holds, in order; `a = b = c` counts as two.

    Whole numbers and + - * / are read, and what has other numbers or names in it is passed over.  A side that is no
    expression, or that divides by zero, makes its equation false.
    """
    out = []
    for line in text.splitlines():
        line = line[mark.end() :] if (mark := _MARK.match(line)) else line  # 1., 2) or - before an item of a list
        for found in _WRITTEN.finditer(line):
            before, after = _BEFORE.search(line[: found.start()]), _AFTER.match(line, found.end())
            if before or after or "." in found[0]:
                continue  # part of something longer, such as 2x+3=7
            sides = [_value(side) for side in found[0].split("=")]
            out += [a is not None and a == b for a, b in itertools.pairwise(sides)]
    return out


def _value(side: str) -> Fraction | None:
    try:
        return evaluate(side)[0]
    except ValueError:
        return None
