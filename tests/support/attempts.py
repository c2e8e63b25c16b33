"""What the tests of search share: a question, odd policies, one attempt, and what no concurrency may change."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import Any

from trivium.errors import ContextFull
from trivium.policies.scripted import Script, Scripted
from trivium.search import method
from trivium.search.driver import Method, solve
from trivium.types import Budget, Completion, Message, Policy, Problem, Question, Request, Sampling, Trace


def problem(first: int = 41, name: str = "q") -> Problem:
    """What is `first` + 87 - 35?"""
    question = Question(name, (Message("user", f"What is {first} + 87 - 35?"),), "number")
    return Problem(question, str(first + 52), f"Answer: {first + 52}", name, "test", "toy")


def problems(n: int) -> list[Problem]:
    return [problem(i + 11, f"q{i}") for i in range(n)]


PROBLEM = problem()
ASKED = PROBLEM.question.messages[0].content


def ask(
    how: str | Method,
    model: Policy | Script,
    budget: Budget | None = None,
    *,
    about: Problem = PROBLEM,
    max_tokens: int | None = None,
    **options: Any,
) -> Trace:
    """One attempt, by a method or its spec, with a policy or its script; an attempt that fails fails the test."""
    how = method(how) if isinstance(how, str) else how
    model = model if isinstance(model, Policy) else Scripted(model)
    sampling = None if max_tokens is None else Sampling(max_tokens=max_tokens)
    [trace] = solve(how, [about], model, budget=budget, sampling=sampling, **options)
    assert not trace.error, trace.error
    return trace


def consult(how: str | Method, first: Policy, *others: Policy, **options: Any) -> Trace:
    """`ask` with further voices, called v0, v1 and so on."""
    return ask(how, first, voices={f"v{i}": other for i, other in enumerate(others)}, **options)


def content(trace: Trace) -> tuple[object, ...]:
    """What must not depend on concurrency: not the clock, and not the order in which concurrent samples arrived."""
    tree = sorted(("".join(s.text for s in trace.path(i)), n.visits, n.value or 0.0) for i, n in enumerate(trace.nodes))
    usage = replace(trace.usage, seconds=0.0)
    return trace.answer, trace.response, tree, usage, trace.finish, trace.verdict, trace.error


def in_any_concurrency(how: str | Method, about: list[Problem], model: Policy, **options: Any) -> list[Trace]:
    """The traces of attempts made one at a time, in sevens and all at once, which must be the same."""
    how = method(how) if isinstance(how, str) else how
    alone, sevens, together = (solve(how, about, model, concurrency=k, **options) for k in (1, 7, None))
    contents = [content(trace) for trace in alone]
    assert contents == [content(trace) for trace in sevens]
    assert contents == [content(trace) for trace in together]
    return together


def score(trace: Trace) -> float | None:
    """The confidence of the answer, as the trace has it."""
    assert trace.answer_node is not None
    return trace.nodes[trace.answer_node].score


def notes(trace: Trace) -> list[str]:
    return [node.note for node in trace.nodes if node.note]


def in_turn(*lines: str) -> Script:
    """Says the lines in order, one a sample, whoever asks."""
    rest = iter(lines)
    return lambda turn: next(rest)


def length(question: Question, response: str) -> float:
    """A scorer that specs import: `by=attempts:length`."""
    return float(len(response))


class Jittery(Scripted):
    """Answers after waits that have nothing to do with the request."""

    waits = random.Random(0)

    async def sample(self, request: Request) -> list[Completion]:
        await asyncio.sleep(0.003 * self.waits.random())
        return await Scripted.sample(self, request)


class Poll(Jittery):
    """Cannot score, so that values are polls."""

    capabilities = frozenset({"logprobs", "ids", "prefix"})  # type: ignore[assignment]


class Mute(Scripted):
    """Gives no log-probs, and cannot score."""

    capabilities = frozenset({"ids", "prefix"})  # type: ignore[assignment]

    async def sample(self, request: Request) -> list[Completion]:
        return [replace(c, segment=replace(c.segment, logprobs=())) for c in await Scripted.sample(self, request)]


def reads_at_most(n: int, script: Script) -> Policy:
    """A policy with a small context: ContextFull for a prompt of more than n characters."""

    class Small(Scripted):
        async def sample(self, request: Request) -> list[Completion]:
            told = [m.content for m in request.messages] + [s.text for s in request.prefix]
            if sum(map(len, told)) > n:
                raise ContextFull("the prompt is too long")
            return await Scripted.sample(self, request)

    return Small(script)
