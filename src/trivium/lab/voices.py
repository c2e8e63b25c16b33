"""Measuring methods of several speakers: a team's attempts, and what its members said on the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from trivium.lab.lab import Lab, Scored
from trivium.lab.measure import attempts, right, scored
from trivium.search.driver import Method, solve
from trivium.search.lm import reworded
from trivium.search.vote import majority
from trivium.types import Policy, Problem, Sampling, Task, Trace
from trivium.verify.parse import parse_answer


def conferred(
    lab: Lab[Any],
    team: Sequence[Policy],
    task: Task,
    problems: Sequence[Problem],
    method: Method,
    *,
    seats: int,
    max_tokens: int | None = None,
) -> Scored:
    """A method's attempts at the problems: `accuracy`, `tokens`, and `members`, which is `last_words` of its `seats`.

    The first of the team is the policy, the others are its voices in order.  What is sampled is counted as
    `test_tokens`, its calls as `calls`; what `flipped` finds is noted.
    """
    first, *others = team
    sampling = Sampling(max_tokens=max_tokens or task.max_tokens)
    voices = {f"voice-{i}": other for i, other in enumerate(others, 1)}
    traces = solve(method, problems, first, task=task, voices=voices, seed=lab.seed, sampling=sampling)
    lab.charge("test_tokens", sum(trace.usage.sampled_tokens for trace in traces))
    lab.charge("calls", sum(trace.usage.calls for trace in traces))
    lab.note(**flipped(problems, traces, seats))
    made = scored(problems, traces)
    return Scored(made.questions, {**made.scores, "members": last_words(problems, traces, seats)})


def convinced(
    lab: Lab[Any],
    policy: Policy,
    task: Task,
    problems: Sequence[Problem],
    told: Callable[[Problem, Trace], str],
    *,
    max_tokens: int | None = None,
    unit: str = "sampled_tokens",
) -> tuple[list[Problem], int]:
    """The problems that a policy answers greedily wrong at first, and right when `told` is put before the question;
    and how many were wrong at first.
    """
    alone = attempts(lab, policy, task, problems, max_tokens=max_tokens, unit=unit)
    wrong = [(problem, trace) for problem, trace in zip(problems, alone, strict=True) if not right(trace)]
    asked = [replace(p, question=reworded(p.question, told(p, trace), "")) for p, trace in wrong]
    then = attempts(lab, policy, task, asked, max_tokens=max_tokens, unit=unit)
    return [problem for (problem, _), trace in zip(wrong, then, strict=True) if right(trace)], len(wrong)


def last_words(problems: Sequence[Problem], traces: Sequence[Trace], seats: int) -> list[float | None]:
    """For every problem the share of the last replies, one for each seat, that are right."""
    return [_share(row[-seats:]) for row in _marked(problems, traces)]


def flipped(problems: Sequence[Problem], traces: Sequence[Trace], seats: int) -> dict[str, float]:
    """Over all problems: `first`, the share of first replies that are right; `spoiled`, the share of questions that a
    vote on first replies would have got right and the method did not; `mended`, the share the other way.
    """
    first, spoiled, mended = 0.0, 0, 0
    for problem, trace, marked in zip(problems, traces, _marked(problems, traces), strict=True):
        first += _share(marked[:seats])
        was = majority(_answers(problem, trace)[:seats])[0] == _wanted(problem)
        now = bool(right(trace))
        spoiled, mended = spoiled + (was and not now), mended + (now and not was)
    n = max(1, len(problems))
    return {"first": first / n, "spoiled": spoiled / n, "mended": mended / n}


def _marked(problems: Sequence[Problem], traces: Sequence[Trace]) -> list[list[bool]]:
    """Whether each reply of each trace is right, in the order in which they came: round after round."""
    return [[a == _wanted(p) for a in _answers(p, t)] for p, t in zip(problems, traces, strict=True)]


def _answers(problem: Problem, trace: Trace) -> list[str | None]:
    said = [node.segment.text for node in trace.nodes if node.segment.source == "model"]
    return [parse_answer(problem.question.answer_format, text) for text in said]


def _wanted(problem: Problem) -> str | None:
    """The gold answer, spelt as a parser spells it; never `None` for a problem that keeps the contract."""
    return parse_answer(problem.question.answer_format, problem.gold)


def _share(marked: Sequence[bool]) -> float:
    return sum(marked) / max(1, len(marked))
