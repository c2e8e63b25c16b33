"""Made-up discussions of sums: what several speakers say of one question, put into words for whoever speaks next.

A reply is a stated confidence, and below it the work, such as `0.9`, `3+5=8`, `8+4=12`, one a line.  A made-up speaker
is right as often as it says that it is, so that whoever learns from many discussions can learn whom to believe.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace

from trivium.data.errors import read_step
from trivium.types import Problem, Trace

UNSURE = 0.5
"""The confidence of whoever does not know how good they are, or is not asked."""
OFF = (-10, -2, -1, 1, 2, 10)

Said = tuple[str | None, str]
"""An answer, and the reply that gives it."""


def reply(sure: float, work: str) -> str:
    """Work under the confidence in it."""
    return f"{sure:.1f}\n{work}"


def worked(problem: Problem) -> str:
    """A question with its solution, as an example."""
    return f"{problem.question.messages[-1].content}\n{problem.solution}\n"


def slipped(problem: Problem, rng: random.Random) -> str:
    """A sum's solution with one result a little off, and all that follows worked out from it: wrong in the end."""
    steps = [step for line in str(problem.solution).split("\n") if (step := read_step(line)) is not None]
    while True:
        at, lines, result, instead = rng.randrange(len(steps)), list[str](), 0, dict[int, int]()
        for i, step in enumerate(steps):
            made = replace(step, left=instead.pop(step.left, step.left), right=instead.pop(step.right, step.right)).done
            if i == at:
                # Below zero only where results are: the sign alone would give the slip away.
                off = [o for o in OFF if made.result + o >= min(0, made.result)]
                made = replace(made, result=made.result + rng.choice(off))
            if made.result != step.result:
                instead[step.result] = made.result
            lines.append(str(made))
            result = made.result
        if str(result) != problem.gold:
            return "\n".join(lines)


def speaker(problem: Problem, rng: random.Random) -> Said:
    """What someone says who states a confidence, drawn from 0.1 to 1.0, and is right with that probability."""
    sure = rng.randint(1, 10) / 10
    work = str(problem.solution) if rng.random() < sure else slipped(problem, rng)
    return work.rpartition("=")[2], reply(sure, work)


def unsure(said: Iterable[Said]) -> list[Said]:
    """The same replies, each under a confidence that says nothing."""
    return [(answer, reply(UNSURE, text.partition("\n")[2])) for answer, text in said]


def grouped(said: Iterable[Said]) -> str:
    """Replies by their answers: how many give each, and all that they say; who gives no answer is not heard."""
    groups: dict[str, list[str]] = {}
    for answer, text in said:
        if answer is not None:
            groups.setdefault(answer, []).append(text)
    return "".join(
        f"{len(texts)} say {answer}\n" + "".join(f"{text}\n" for text in texts) for answer, texts in groups.items()
    )


def beside(problem: Problem, trace: Trace) -> str:
    """A discussion of two: what was said in an attempt, and the solution, of which its speaker is sure."""
    return grouped([(trace.answer, trace.response), (problem.gold, reply(1.0, str(problem.solution)))])


def discussion(
    problem: Problem, others: Sequence[Problem], rng: random.Random, *, speakers: int = 3, flat: float = 0.25
) -> str:
    """What made-up speakers say of a problem; in half of the discussions after two of the others, worked.

    A share `flat` of them has confidences that say nothing, so that a reader can do without.
    """
    said = [speaker(problem, rng) for _ in range(speakers)]
    if rng.random() < flat:
        said = unsure(said)
    examples = rng.sample(others, min(2, len(others))) if rng.random() < 0.5 else []
    return "".join(map(worked, examples)) + grouped(said)
