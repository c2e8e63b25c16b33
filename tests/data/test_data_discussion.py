"""Made-up speakers are right as often as they say, slips are worked out to the end, and words show all of it."""

from __future__ import annotations

import random

import pytest

from trivium.data.discussion import beside, discussion, grouped, reply, slipped, speaker, unsure, worked
from trivium.tasks import task
from trivium.types import Problem, Trace

SPECS = [
    "sums:terms=4,min_terms=2,digits=1",
    "sums:terms=4,min_terms=3,digits=1,ops=-,negative=true",
    "sums:terms=4,min_terms=3,digits=1,ops=+*",
]


def dealt(spec: str, n: int = 60) -> list[Problem]:
    return task(spec).problems("train", n)


@pytest.mark.parametrize("spec", SPECS)
def test_a_slip_has_one_false_line_and_a_wrong_end(spec: str) -> None:
    built, rng = task(spec), random.Random(0)
    for problem in dealt(spec):
        text = slipped(problem, rng)
        assert not built.verify(problem, text).correct
        lines = text.split("\n")
        assert len(lines) == len(str(problem.solution).split("\n"))
        false = [line for line in lines if eval(line.replace("=", "!="))]  # our own arithmetic
        assert len(false) == 1


def test_the_same_generator_state_gives_the_same_slip() -> None:
    problem = dealt(SPECS[0])[0]
    assert slipped(problem, random.Random(3)) == slipped(problem, random.Random(3))
    assert len({slipped(problem, random.Random(i)) for i in range(20)}) > 3


def test_speakers_are_right_as_often_as_they_say() -> None:
    rng, problems = random.Random(0), dealt(SPECS[0])
    said = [(problem, *speaker(problem, rng)) for problem in problems for _ in range(100)]
    for low, high in ((0.1, 0.3), (0.4, 0.6), (0.8, 1.0)):
        band = [p.gold == answer for p, answer, text in said if low <= float(text.partition("\n")[0]) <= high]
        assert sum(band) / len(band) == pytest.approx((low + high) / 2, abs=0.05)
    assert all(text.endswith(f"={answer}") for _, answer, text in said)


def test_replies_are_grouped_by_answer_and_silence_is_not_heard() -> None:
    said = [("7", reply(0.9, "3+4=7")), ("8", reply(0.25, "3+4=8")), (None, "hm"), ("7", reply(1, "3+4=7"))]
    assert grouped(said) == "2 say 7\n0.9\n3+4=7\n1.0\n3+4=7\n1 say 8\n0.2\n3+4=8\n"
    assert [text.partition("\n")[0] for _, text in unsure(said[:2])] == ["0.5", "0.5"]
    assert grouped([]) == ""


def test_a_solution_stands_beside_a_wrong_reply_and_joins_a_right_one() -> None:
    problem = dealt(SPECS[0])[0]
    right = reply(1.0, str(problem.solution))
    wrong = Trace("q", answer="no", response=reply(0.3, "1+1=3"))
    assert beside(problem, wrong) == f"1 say no\n0.3\n1+1=3\n1 say {problem.gold}\n{right}\n"
    assert beside(problem, Trace("q", answer=problem.gold, response=right)).startswith(f"2 say {problem.gold}\n")
    assert beside(problem, Trace("q")) == f"1 say {problem.gold}\n{right}\n"


def test_a_discussion_shows_three_replies_and_at_times_two_examples() -> None:
    problem, *others = dealt(SPECS[0])
    made = [discussion(problem, others, random.Random(i)) for i in range(200)]
    assert all(sum(int(line[0]) for line in text.split("\n") if " say " in line) == 3 for text in made)
    begun = [text for text in made if any(text.startswith(worked(other)) for other in others)]
    assert 70 < len(begun) < 130
    assert 20 < sum(all(t == "0.5" for t in text.split("\n") if len(t) == 3 and t[1] == ".") for text in made) < 90
    assert discussion(problem, [], random.Random(1))
