"""What attempts at the same problems allow to say: a row per method, paired differences, and pass@k."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from trivium.search.driver import Judge
from trivium.stats import clustered_bootstrap, holm, pass_at_k, sign_flip, wilson_clustered
from trivium.types import Problem, Task, Trace, Usage, Verdict

LEVEL = 0.05
"""Chance of calling any difference real that is not, over all the pairs of one budget."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One attempt: `correct` is `None` where it failed or the verifier broke, which says nothing of the answer."""

    key: str
    seed: int
    correct: bool | None
    answered: bool
    usage: Usage


@dataclass(frozen=True, slots=True)
class Row:
    """One method at one budget.

    `low` to `high` is a 95% Wilson interval; `n` counts judged attempts, `questions` the different ones among them.
    Tokens are means over all attempts, failed ones too; `tokens_per_problem` counts what the budget counts (prompt and
    sampled, where that is seconds) and the share of the training.  `seconds_per_problem` is the wall-clock time of all
    attempts together divided by their number; `latency` is the mean time from the start of an attempt to its answer,
    which includes waiting for the attempts beside it.  `refused` says why a method
    could not run with this policy or budget.
    """

    method: str
    spec: str
    budget: float
    accuracy: float | None
    low: float | None
    high: float | None
    n: int
    questions: int
    tokens_per_problem: float
    sampled_per_problem: float
    prompt_per_problem: float
    cached_per_problem: float
    calls_per_problem: float
    seconds_per_problem: float
    latency: float
    abstained: int
    abstention_rate: float
    errors: int
    error_rate: float
    judge_calls: int
    oracle_calls: int
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Pair:
    """Accuracy of `better` minus that of `worse` on the `n` attempts that both have a verdict for.

    `low` to `high` is a 95% paired bootstrap over questions within seeds, for this pair alone.  `p` is the exact
    sign-flip test, `p_holm` the same corrected for all pairs of the budget, and `real` means `p_holm` < 0.05 with 0
    outside the interval.  `left_out` attempts had an error on either side.
    """

    better: str
    worse: str
    difference: float
    low: float
    high: float
    n: int
    left_out: int
    p: float
    p_holm: float
    real: bool


Samples = tuple[Problem, int, tuple[str, ...]]
"""A problem, the seed it was dealt by, and independent samples of its answer."""


@dataclass(frozen=True, slots=True)
class PassAtK:
    """Share of problems of which at least one in `k` samples is correct, with a 95% bootstrap interval over questions.

    Unbiased: only the first `samples` of each problem count, those that fit whatever their lengths.  The verifier
    chooses among them after the fact, so this bounds what a perfect choice could reach, and is no method.
    """

    method: str
    k: int
    pass_at_k: float
    low: float
    high: float
    n: int
    samples: int
    left_out: int


def outcome(problem: Problem, seed: int, trace: Trace) -> Outcome:
    """What one judged attempt came to."""
    status = "error" if trace.verdict is None else trace.verdict.status
    correct = None if status == "error" else status == "correct"
    return Outcome(problem.key, seed, correct, trace.answer is not None, trace.usage)


def row(
    method: str, spec: str, budget: float, outcomes: Sequence[Outcome], *, seconds: float, total: bool,
    training: float = 0.0, refused: str = "",
) -> Row:  # fmt: skip
    """Sum up one method at one budget, whose attempts took `seconds` together.

    `total` counts prompt tokens as well, and `training` is added to what each problem cost.
    """
    judged = [o for o in outcomes if o.correct is not None]
    questions = len({o.key for o in judged})
    share = wilson_clustered(sum(bool(o.correct) for o in judged), len(judged), questions)
    used, tries = sum((o.usage for o in outcomes), Usage()), max(1, len(outcomes))
    tokens = used.total_tokens if total else used.sampled_tokens
    abstained, errors = sum(not o.answered for o in judged), len(outcomes) - len(judged)
    return Row(
        method=method, spec=spec, budget=budget, accuracy=share.accuracy, low=share.low, high=share.high, n=share.n,
        questions=questions, tokens_per_problem=tokens / tries + training,
        sampled_per_problem=used.sampled_tokens / tries, prompt_per_problem=used.prompt_tokens / tries,
        cached_per_problem=used.cached_tokens / tries, calls_per_problem=used.calls / tries,
        seconds_per_problem=seconds / tries, latency=used.seconds / tries, abstained=abstained,
        abstention_rate=abstained / max(1, len(judged)), errors=errors, error_rate=errors / tries,
        judge_calls=used.judge_calls, oracle_calls=used.oracle_calls, refused=refused,
    )  # fmt: skip


def pairs(outcomes: Mapping[str, Sequence[Outcome]], against: Sequence[str]) -> list[Pair]:
    """The paired differences between the methods named in `against` and all others, the better one first."""
    found, wanted = [], set(against)
    for a, b in combinations(outcomes, 2):
        if not ("all" in wanted or {a, b} & wanted):
            continue
        theirs = {(y.seed, y.key): y.correct for y in outcomes[b]}
        both = [
            (x, int(x.correct) - int(other))
            for x in outcomes[a]
            if x.correct is not None and (other := theirs.get((x.seed, x.key))) is not None
        ]
        if not both:
            continue
        strata = _strata([(x.key, x.seed, float(d)) for x, d in both])
        gap = clustered_bootstrap(strata)
        p = sign_flip([round(total) for stratum in strata for total, _ in stratum])
        left_out = len(outcomes[a]) - len(both)
        if gap.mean >= 0:
            found.append(Pair(a, b, gap.mean, gap.low, gap.high, gap.n, left_out, p, p, False))
        else:
            found.append(Pair(b, a, -gap.mean, -gap.high, -gap.low, gap.n, left_out, p, p, False))
    corrected = holm([pair.p for pair in found])
    return [replace(pair, p_holm=p, real=p < LEVEL and pair.low > 0) for pair, p in zip(found, corrected, strict=True)]


def passes(task: Task, samples: Mapping[str, Sequence[Samples]]) -> list[PassAtK]:
    """pass@1, 2, 4, ... of each method, as far as all its problems have samples; each is judged by the task."""
    asked = {(p.key, text): p for found in samples.values() for p, _, texts in found for text in texts}
    verdicts = asyncio.run(_judge(task, asked))
    out = []
    for name, found in samples.items():
        least = min((len(texts) for _, _, texts in found if texts), default=0)
        counts = []
        for problem, seed, texts in found:
            judged = [verdicts[problem.key, text] for text in texts[:least]]
            if judged and all(v.status != "error" for v in judged):
                counts.append((problem.key, seed, sum(v.correct for v in judged)))
        for k in (2**i for i in range(least.bit_length())) if counts else ():
            share = clustered_bootstrap(_strata([(key, seed, pass_at_k(least, c, k)) for key, seed, c in counts]))
            out.append(PassAtK(name, k, share.mean, share.low, share.high, share.n, least, len(found) - len(counts)))
    return out


async def _judge(task: Task, asked: Mapping[tuple[str, str], Problem]) -> dict[tuple[str, str], Verdict]:
    judge = Judge(task)
    return {(key, response): await judge(problem, response) for (key, response), problem in asked.items()}


def _strata(values: Sequence[tuple[str, int, float]]) -> list[list[tuple[float, int]]]:
    """(question, seed, value) as strata of clusters: seeds, unless one question was dealt to several of them."""
    by_question: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for key, seed, value in values:
        by_question[key].append((seed, value))
    shared = any(len({seed for seed, _ in found}) > 1 for found in by_question.values())
    strata: dict[int, list[tuple[float, int]]] = defaultdict(list)
    for found in by_question.values():
        strata[0 if shared else found[0][0]].append((sum(value for _, value in found), len(found)))
    return list(strata.values())
