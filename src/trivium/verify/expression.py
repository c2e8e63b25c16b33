"""Exact value of a small arithmetic expression, safely: our own walk over the syntax tree, no `eval`, no powers."""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable, Mapping
from fractions import Fraction

MAX_CHARACTERS = 200
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
