"""Judgements of a response, or of the beginning of one, by name: `lm.value(chain, by="self:n=4")`.

Each is an asynchronous function of (question, lm, source), with its options as keywords.  Higher is better, and all
are in [0, 1].  None but `oracle` knows the reference.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import math
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from trivium.errors import UnknownName, Unsupported, UserError
from trivium.registry import Registry, check_options, parse_spec
from trivium.search.lm import LM, Chain, Scorer, turn
from trivium.search.reply import if_it_fits
from trivium.types import Message, Question, Segment
from trivium.verify.expression import equations

Judgement = Callable[[Question, LM, Chain | str], Awaitable[float]]

VALUES: Registry[Any] = Registry(
    "value",
    {
        "logprob": "trivium.search.value:logprob",
        "self": "trivium.search.value:by_itself",
        "rollout": "trivium.search.value:rollout",
        "stated": "trivium.search.stated:stated",
        "arithmetic": "trivium.search.value:arithmetic",
        "oracle": "trivium.search.value:oracle",
    },
)

ASKING = frozenset({"self", "rollout", "stated"})
"""Those that ask the policy, and so are paid from the budget that responses are drawn with."""

DOUBT = (
    "Is this solution, or beginning of a solution, right so far? Check it, and reply with one word, yes or no, and "
    "nothing else."
)


def judgement(by: str | Scorer) -> Judgement:
    """The judgement that a spec, an address `package.module:function` or a function of (question, response) stands
    for.  Raises UserError for anything else.
    """
    return _named(by) if isinstance(by, str) else functools.partial(_by_function, by)


@functools.lru_cache(maxsize=64)  # reading a spec takes longer than all else that a value on the scripted policy costs
def _named(by: str) -> Judgement:
    if by.partition(":")[0] in VALUES.where:
        name, args, options = parse_spec(by)
        function = VALUES.factory(name)
        known = {"question": None, "lm": None, "source": None}
        _, options = check_options(f"value {name}", function, args, options, exclude=known)
        return functools.partial(function, **options)
    if ":" in by:
        return functools.partial(_by_function, _import(by))
    raise UnknownName("value", by, VALUES.names(), "Or give a function by its address, package.module:function.")


async def logprob(question: Question, lm: LM, source: Chain | str) -> float:
    """How likely the policy found what it said: the geometric mean of the probabilities of a chain's sampled tokens.

    exp(mean log p); 0 for a chain without sampled tokens.  Raises Unsupported where the policy gives no log-probs.
    """
    sampled = [s for s in lm.path(_chain("logprob", source)) if s.source == "model"]
    if any(s.text and not s.logprobs for s in sampled):
        raise Unsupported(
            "by=logprob needs log-probs, and this policy gives none; "
            "use --policy tiny, smollm2 or hf:FOLDER, or choose by=self or by=package.module:function"
        )
    values = [p for s in sampled for p in s.logprobs]
    return math.exp(sum(values) / len(values)) if values else 0.0


async def by_itself(question: Question, lm: LM, source: Chain | str, *, n: int = 4) -> float:
    """The policy's own belief that a solution is right: P(yes) / (P(yes) + P(no)), asked in a context of its own.

    Kadavath et al. 2022, arXiv:2207.05221, who call it P(True).  A policy that cannot score is asked n times instead,
    and the value is the share of yes among the replies that say either; 0.5 if none does, or if the response leaves no
    room in the policy's context to ask about it.  Counts as a judge call.
    """
    response = source if isinstance(source, str) else source.response
    asked = turn(question, Message("assistant", response), Message("user", DOUBT))
    lm.count_judgement()
    belief = await if_it_fits(_doubted(lm, asked, n))
    return 0.5 if belief is None else belief


async def _doubted(lm: LM, asked: Question, n: int) -> float:
    if lm.scores:
        yes, no = (sum(p) for p in await lm.score(asked, [_word(lm, "yes"), _word(lm, "no")]))
        return 1 / (1 + math.exp(min(no - yes, 700.0)))
    said = [c.text.strip().lower() for c in await lm.sample(asked, n=n, temperature=1.0, max_tokens=8)]
    votes = [text.startswith("yes") for text in said if text.startswith(("yes", "no"))]
    return sum(votes) / len(votes) if votes else 0.5


async def rollout(question: Question, lm: LM, source: Chain | str, *, n: int = 4, temperature: float = 0.7) -> float:
    """How sure the rest is: the chain is finished n times, and the value is the share of the most common answer.

    Completions without an answer count against it.  The completions stay in the trace below the chain.
    """
    ends = await lm.sample(_chain("rollout", source), n=n, temperature=temperature)
    answers = Counter(a for end in ends if (a := lm.answer(end)) is not None)
    return max(answers.values(), default=0) / len(ends)


async def arithmetic(question: Question, lm: LM, source: Chain | str) -> float:
    """The share of the equations written so far, such as `41+87=128`, that a calculator finds true; 0.5 without any.

    A process reward by program (Lightman et al. 2023, arXiv:2305.20050, train theirs).  It knows neither the reference
    nor the question: true equations that lead nowhere have full value.  Costs no tokens.
    """
    found = equations(source if isinstance(source, str) else source.response)
    return sum(found) / len(found) if found else 0.5


async def oracle(question: Question, lm: LM, source: Chain | str) -> float:
    """The score of the task's own verifier: an upper bound and no method, metered and flagged.

    A verifier that breaks gives 0.
    """
    verdict = await lm.oracle(source if isinstance(source, str) else source.response)
    return verdict.score or 0.0


async def _by_function(function: Scorer, question: Question, lm: LM, source: Chain | str) -> float:
    value = function(question, source if isinstance(source, str) else source.response)
    if inspect.isawaitable(value):
        value = await value
    if isinstance(value, bool | int | float) and not math.isnan(value):
        return float(value)
    name = getattr(function, "__name__", repr(function))
    raise UserError(f"by={name} gave {value!r}; expected a number, higher for a better response")


def _chain(name: str, source: Chain | str) -> Chain:
    if isinstance(source, str):
        raise UserError(f"by={name} judges a chain, not a text; make one: lm.tell(lm.begin(question), text)")
    return source


def _word(lm: LM, word: str) -> Segment:
    return Segment("model", lm.encode(word), text=word)


def _import(address: str) -> Scorer:
    module, _, name = address.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UserError(f"by={address} cannot be imported ({error}); expected package.module:function") from error
    if not callable(found):
        raise UserError(f"by={address} is no function of (question, response)")
    scorer: Scorer = found
    return scorer
