"""A budget as it is written on the command line."""

from __future__ import annotations

from trivium.errors import UserError
from trivium.registry import check_options, parse_spec
from trivium.types import Budget


def parse_budget(text: str) -> Budget:
    """`sampled_tokens=2048,calls=8` as a budget; a bare number is of sampled tokens.

    Raises:
        UserError: a unit is unknown, or a limit is not a positive number.
    """
    _, args, options = parse_spec(f"budget:{text}")
    if args or not options:
        if len(args) != 1 or options or not args[0].isdigit():
            raise UserError(f"--budget {text}: expected unit=limit, such as sampled_tokens=2048")
        options = {"sampled_tokens": args[0]}
    _, limits = check_options("budget", Budget, [], options)
    try:
        return Budget(**limits)
    except ValueError as error:
        raise UserError(f"--budget: {error}") from error
