"""What the search driver costs: 2,000 concurrent `vote` methods, and 500 `mcts`, against the same requests in one loop.

Both sides draw the same samples from the scripted policy.  With votes the loop keeps them and counts the same votes,
and the answers are compared first; with trees it repeats the requests that the search made, so that the search itself
counts as overhead.  The overhead is the difference per request.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.pairing import Row, row
from trivium.policies import policy
from trivium.policies.scripted import Scripted, sums
from trivium.search import method
from trivium.search.attempt import call_seed
from trivium.search.driver import Method, run
from trivium.search.vote import majority
from trivium.types import Completion, Message, Policy, Problem, Question, Request, Sampling
from trivium.verify.parse import parse_answer

PAIRS = 7
VOTES, SAMPLES, VOTE_LIMIT_US = 2_000, 16, 150.0
TREES, SIMULATIONS, TREE_LIMIT_US = 500, 16, 200.0
SAMPLING = Sampling(temperature=0.7)


def rows() -> list[Row]:
    """Microseconds of overhead per request, against their limits.

    One request is one vote of `SAMPLES` samples, or one step or rollout of a tree.
    """
    return [votes(), trees()]


def votes() -> Row:
    model, questions = policy("scripted:sums,p=0.6"), problems(VOTES, terms=3)
    vote = method(f"vote:n={SAMPLES},temperature={SAMPLING.temperature}")
    ours = functools.partial(driven, vote, questions, model)
    theirs = functools.partial(plain_loop, questions, model)
    if ours() != theirs():
        raise AssertionError("the driver and the plain loop give different answers, so there is nothing to compare")
    return _row(f"{VOTES} concurrent votes of {SAMPLES}", ours, theirs, VOTES, VOTE_LIMIT_US)


def trees() -> Row:
    """Sums of six numbers, whose trees are six steps deep."""
    model, questions = policy("scripted:sums,p=0.6"), problems(TREES, terms=6)
    mcts, heard = method(f"mcts:n={SIMULATIONS},depth=6"), Recorder(sums(0.6))
    driven(mcts, questions, heard)
    ours = functools.partial(driven, mcts, questions, model)
    theirs = functools.partial(repeat, heard.requests, model)
    return _row(
        f"{TREES} concurrent mcts of {SIMULATIONS} simulations", ours, theirs, len(heard.requests), TREE_LIMIT_US
    )


@dataclass(frozen=True, slots=True)
class Recorder(Scripted):
    """A scripted policy that remembers what it was asked."""

    requests: list[Request] = field(default_factory=list)

    async def sample(self, request: Request) -> list[Completion]:
        self.requests.append(request)
        return await Scripted.sample(self, request)


def _row(name: str, ours: Callable[[], object], theirs: Callable[[], object], requests: int, limit: float) -> Row:
    totals = [(_microseconds(ours, requests), _microseconds(theirs, requests)) for _ in range(PAIRS)]
    mine, loop = (statistics.median(side) for side in zip(*totals, strict=True))
    return row(
        name, "limit", "us/request", [(max(a - b, 0.1), limit) for a, b in totals], better="lower", reach=1.0,
        totals=totals, note=f"overhead over the same requests in one plain loop; in all {mine:.0f} and {loop:.0f}",
    )  # fmt: skip


def problems(n: int, terms: int) -> list[Problem]:
    """Sums of `terms` two-digit numbers."""
    rng, made = random.Random(0), []
    for i in range(n):
        first, *more = (rng.randrange(10, 100) for _ in range(terms))
        signs = [("+", 1), ("-", -1)] * terms
        text = f"{first}" + "".join(f" {sign} {x}" for x, (sign, _) in zip(more, signs, strict=False))
        total = first + sum(by * x for x, (_, by) in zip(more, signs, strict=False))
        question = Question(f"q{i}", (Message("user", f"What is {text}?"),), "number")
        made.append(Problem(question, total, f"Answer: {total}", question.id, "test", "bench"))
    return made


def driven(how: Method, questions: list[Problem], model: Policy) -> list[str | None]:
    traces = asyncio.run(run(how, questions, model, sampling=SAMPLING))
    return [trace.answer for trace in traces]


def plain_loop(questions: list[Problem], model: Policy) -> list[str | None]:
    return asyncio.run(_plain_loop(questions, model))


async def _plain_loop(questions: list[Problem], model: Policy) -> list[str | None]:
    kept, answers = [], []
    for problem in questions:
        question = problem.question
        request = Request(question.messages, SAMPLING, SAMPLES, call_seed(0, question.id, (0,)))
        samples = await model.sample(request)
        kept.append(samples)
        answers.append(majority([parse_answer(question.answer_format, s.text) for s in samples])[0])
    return answers


def repeat(requests: list[Request], model: Policy) -> list[list[Completion]]:
    async def loop() -> list[list[Completion]]:
        return [await model.sample(request) for request in requests]

    return asyncio.run(loop())


def _microseconds(call: Callable[[], object], requests: int) -> float:
    """CPU time per request, from a clean heap: both sides are one thread that waits for nothing but the processor."""
    gc.collect()
    start = time.process_time()
    call()
    return 1e6 * (time.process_time() - start) / requests
