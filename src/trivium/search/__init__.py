"""Methods by name, and the one place that turns a spec into a method.

A method is an asynchronous function of a question and an `LM`, with its options as keywords.  Methods compose by
calling each other: `await vote(question, lm, n=4)`.
"""

from __future__ import annotations

import functools
from typing import Any

from trivium.registry import Registry, check_options, parse_spec
from trivium.search.driver import Method

METHODS: Registry[Any] = Registry(
    "method",
    {
        "greedy": "trivium.search.greedy:greedy",
        "vote": "trivium.search.vote:vote",
        "best-of-n": "trivium.search.best_of_n:best_of_n",
    },
)


def method(spec: str) -> Method:
    """The method a spec describes, such as `vote:n=8`, ready for `run`.

    Raises `UserError` (`UnknownName` for a name or option that does not exist) with what to type instead.
    """
    name, args, options = parse_spec(spec)
    function = METHODS.factory(name)
    _, options = check_options(f"method {name}", function, args, options, exclude={"question": None, "lm": None})
    return functools.partial(function, **options)
