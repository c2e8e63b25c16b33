"""Whole work: an answer that is right by luck is wrong, and nothing else changes."""

from __future__ import annotations

from trivium.lab.whole_work import WholeWork
from trivium.tasks import task


def test_luck_does_not_count() -> None:
    sums = task("sums:terms=3,digits=1,ops=+")
    strict = WholeWork(sums)
    problems = strict.problems("train", 20)
    assert problems == sums.problems("train", 20)
    for problem in problems:
        assert strict.verify(problem, str(problem.solution)).correct
        lucky = f"1+1=3\n#### {problem.gold}"
        assert sums.verify(problem, lucky).correct
        verdict = strict.verify(problem, lucky)
        assert not verdict.correct
        assert verdict.answer == problem.gold
        assert not strict.verify(problem, "#### nothing").correct
