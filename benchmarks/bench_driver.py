"""What the search driver costs: 2,000 concurrent `vote` methods against the same requests in one plain loop.

Both sides draw the same samples from the scripted policy, keep them and count the same votes; the answers are compared
first.  The overhead is the difference per request, and must stay under `LIMIT_US`.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import random
import statistics
import time
from collections.abc import Callable
from typing import Any

from trivium.policies import policy
from trivium.search import method
from trivium.search.driver import run
from trivium.search.lm import call_seed
from trivium.search.vote import majority
from trivium.types import Message, Policy, Problem, Question, Request, Sampling
from trivium.verify.parse import parse_answer

METHODS, SAMPLES, PAIRS, LIMIT_US = 2_000, 16, 7, 150.0
SAMPLING = Sampling(temperature=0.7)


def rows() -> list[dict[str, Any]]:
    """The one row of this benchmark; microseconds per request, one request being one vote of `SAMPLES` samples."""
    model, questions = policy("scripted:sums,p=0.6"), problems()
    vote = method(f"vote:n={SAMPLES},temperature={SAMPLING.temperature}")
    ours = functools.partial(driven, vote, questions, model)
    theirs = functools.partial(plain_loop, questions, model)
    if ours() != theirs():
        raise AssertionError("the driver and the plain loop give different answers, so there is nothing to compare")
    pairs = [(_microseconds(ours), _microseconds(theirs)) for _ in range(PAIRS)]
    ratios = sorted(b / a for a, b in pairs)
    return [
        {
            "name": f"{METHODS} concurrent votes of {SAMPLES}",
            "rival": "the same requests in one plain loop",
            "ours": statistics.median(a for a, _ in pairs),
            "theirs": statistics.median(b for _, b in pairs),
            "unit": "us/request",
            "ratio": statistics.median(ratios),
            "ratio_low": ratios[0],
            "ratio_high": ratios[-1],
            "pairs": PAIRS,
            "overhead_us": statistics.median(a - b for a, b in pairs),
            "limit_us": LIMIT_US,
        }
    ]


def problems() -> list[Problem]:
    """Sums of three numbers."""
    rng, made = random.Random(0), []
    for i in range(METHODS):
        a, b, c = (rng.randrange(10, 100) for _ in range(3))
        question = Question(f"q{i}", (Message("user", f"What is {a} + {b} - {c}?"),), "number")
        made.append(Problem(question, a + b - c, f"Answer: {a + b - c}", question.id, "test", "bench"))
    return made


def driven(vote: Any, questions: list[Problem], model: Policy) -> list[str | None]:
    traces = asyncio.run(run(vote, questions, model, sampling=SAMPLING))
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


def _microseconds(call: Callable[[], object]) -> float:
    """CPU time per request, from a clean heap: both sides are one thread that waits for nothing but the processor."""
    gc.collect()
    start = time.process_time()
    call()
    return 1e6 * (time.process_time() - start) / METHODS


if __name__ == "__main__":
    for row in rows():
        print(row)
        if row["overhead_us"] >= LIMIT_US:
            raise SystemExit(f"the driver costs {row['overhead_us']:.0f} us a request; the limit is {LIMIT_US:.0f}")
