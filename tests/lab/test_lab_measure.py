"""What is read off judged samples, and measured from given beginnings."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from trivium.lab.lab import Lab
from trivium.lab.measure import answer_entropy, attempts_each, likelihood, pass_at, resumed, right, vote_right
from trivium.policies.scripted import Scripted
from trivium.search import method
from trivium.tasks import task
from trivium.types import Completion, Request, Segment, Verdict


def group(*answers: str | None) -> list[tuple[str, Verdict]]:
    """Samples by their answers; `4` is right and `None` cannot be read."""
    judged = {"4": Verdict.right("4"), None: Verdict.unparseable()}
    return [("", judged.get(answer) or Verdict.wrong(answer)) for answer in answers]


def test_a_vote_is_right_if_its_most_common_answer_is() -> None:
    assert vote_right(group("4", "5", "4"))
    assert not vote_right(group("4", "5", "5"))
    assert vote_right(group("4", "5")), "ties go to the first seen"
    assert vote_right(group(None, None, "4")), "what cannot be read abstains"
    assert not vote_right(group(None, None))


def test_the_entropy_of_answers_is_that_of_their_shares() -> None:
    assert answer_entropy(group("4", "4", "4")) == 0
    assert answer_entropy(group("4", "5", "6", None)) == pytest.approx(math.log(4))
    assert answer_entropy(group("4", None, None, "4")) == pytest.approx(math.log(2))


def test_pass_at_k_leaves_out_what_has_no_verdict() -> None:
    broken = ("", Verdict.error("timeout"))
    assert pass_at([group("4", "5"), [broken, *group("4")]], 1) == [0.5, 1.0]
    assert pass_at([[broken, *group("4")]], 2) == [None]


class Talker(Scripted):
    """Every token is the less likely the later it comes."""

    def encode_response(self, text: str) -> tuple[int, ...]:
        return tuple(text.encode())

    async def score(self, request: Request, continuations: Sequence[Segment]) -> list[tuple[float, ...]]:
        return [tuple(-float(i) for i in range(len(c.ids))) for c in continuations]


def test_the_likelihood_of_a_solution_is_a_mean_over_its_tokens() -> None:
    dealt = task("sums:terms=3,digits=1").problems("dev", 2)
    problems = [replace(p, solution=text) for p, text in zip(dealt, ("abc", "ab"), strict=True)]
    assert likelihood(Talker(lambda turn: ""), problems) == [-1.0, -0.5]  # type: ignore[arg-type]


def test_an_answer_goes_on_from_the_beginning_that_was_given() -> None:
    sums = task("sums:terms=3,digits=1")
    problems = sums.problems("dev", 3)
    solutions = {p.question.messages[-1].content: str(p.solution) for p in problems}
    policy = Scripted(lambda turn: turn.said + solutions[turn.question])
    lab: Lab[None] = Lab("slug", "trivium.lab.measure", None, "smoke", 0)
    beginnings = ["1+1=3\n", "2+2=5\n", ""]
    traces = resumed(lab, policy, sums, problems, beginnings)
    for problem, trace, begun in zip(problems, traces, beginnings, strict=True):
        assert trace.response == begun * 2 + str(problem.solution), "the policy has read it, and so has the verifier"
        assert right(trace) == 1.0
    assert lab.spent["test_tokens"] == sum(trace.usage.sampled_tokens for trace in traces) > 0


def test_several_tasks_are_attempted_at_a_time_each_by_its_own_method() -> None:
    asked, solutions = [], dict[str, str]()
    for spec, how in (("sums:terms=3,digits=1", "greedy"), ("sums:terms=4,digits=1", "vote:n=3")):
        dealt = task(spec).problems("dev", 4)
        solutions |= {p.question.messages[-1].content: str(p.solution) for p in dealt}
        asked.append((task(spec), dealt, method(how)))
    waiting, most = 0, 0

    class Waiting(Scripted):
        async def sample(self, request: Request) -> list[Completion]:
            nonlocal waiting, most
            waiting, most = waiting + 1, max(most, waiting + 1)
            await asyncio.sleep(0)
            found = await super().sample(request)
            waiting -= 1
            return found

    lab: Lab[None] = Lab("slug", "trivium.lab.measure", None, "smoke", 0)
    found = attempts_each(lab, Waiting(lambda turn: solutions[turn.question]), asked, unit="sampled_tokens")
    assert [[trace.question_id for trace in traces] for traces in found] == [
        [p.question.id for p in problems] for _, problems, _ in asked
    ]
    assert all(right(trace) == 1.0 for traces in found for trace in traces)
    said = [{sum(n.segment.source == "model" for n in trace.nodes) for trace in traces} for traces in found]
    assert said == [{1}, {3}]
    assert most > 4, "the second task does not wait for the first"
    assert lab.spent["sampled_tokens"] == sum(trace.usage.sampled_tokens for traces in found for trace in traces)
