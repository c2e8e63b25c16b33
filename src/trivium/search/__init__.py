"""Methods by name, and the one place that turns a spec into a method.

A method is an asynchronous function of a question and an `LM`, with its options as keywords.  Methods compose by
calling each other: `await vote(question, lm, n=4)`.
"""

from __future__ import annotations

import functools
from typing import Any

from trivium.errors import UserError
from trivium.registry import Registry, check_options, parse_spec
from trivium.search.driver import Method

METHODS: Registry[Any] = Registry(
    "method",
    {
        "greedy": "trivium.search.greedy:greedy",
        "vote": "trivium.search.vote:vote",
        "best-of-n": "trivium.search.best_of_n:best_of_n",
        "weighted-vote": "trivium.search.weighted_vote:weighted_vote",
        "adaptive-vote": "trivium.search.adaptive_vote:adaptive_vote",
        "refine": "trivium.search.refine:refine",
        "self-rethinking": "trivium.search.self_rethinking:self_rethinking",
        "least-to-most": "trivium.search.least_to_most:least_to_most",
        "debate": "trivium.search.debate:debate",
        "round-table": "trivium.search.round_table:round_table",
        "route": "trivium.search.route:route",
        "plan-actions": "trivium.search.plan_actions:plan_actions",
        "parallel": "trivium.search.parallel:parallel",
        "beam": "trivium.search.beam:beam",
        "tree-of-thoughts": "trivium.search.tree_of_thoughts:tree_of_thoughts",
        "mcts": "trivium.search.mcts:mcts",
        "graph-of-thoughts": "trivium.search.graph_of_thoughts:graph_of_thoughts",
        "associative-mcts": "trivium.search.associative_mcts:associative_mcts",
        "program-of-thought": "trivium.search.program_of_thought:program_of_thought",
        "emulate": "trivium.search.emulate:emulate",
        "self-test": "trivium.search.self_test:self_test",
        "act": "trivium.search.act:act",
        "act-with-state": "trivium.search.act:act_with_state",
        "plan-and-replan": "trivium.search.plan_and_replan:plan_and_replan",
        "reflect": "trivium.search.reflect:reflect",
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


def check_counts(method: str, **counts: int) -> None:
    """Raises UserError for an option of a method that counts something and is below 1."""
    for name, count in counts.items():
        if count < 1:
            raise UserError(f"{method}: {name}={count}; expected 1 or more")


def of(inner: str | Method) -> Method:
    """What a method's option `of` stands for: a function of (question, lm), or a spec such as `refine`.

    A spec within a spec separates its options by semicolons: `vote:n=4,of=refine:rounds=2;temperature=1`.
    """
    return method(inner.replace(";", ",")) if isinstance(inner, str) else inner
