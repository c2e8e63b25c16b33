"""Examples made of wrong steps: revisions that end right, masks on the error alone, pairs that differ in one step."""

from __future__ import annotations

import random

import pytest

from trivium.data.errors import KINDS, Wrong, inject, step_judge
from trivium.data.repair import NOTICE, revised, revision, solution_pair, step_pair, unharmed
from trivium.policies.tiny import tiny
from trivium.tasks import task
from trivium.types import Problem

TASK = task("chain:steps=3,distractors=1")
POLICY = tiny("10k")


def cases() -> list[tuple[Problem, Wrong]]:
    lines, rng = step_judge(TASK), random.Random(0)
    drawn = [(p, inject(lines, p, kind, rng)) for p in TASK.problems("train", 10) for kind in KINDS]
    return [(problem, wrong) for problem, wrong in drawn if wrong]


def test_a_revision_goes_wrong_once_and_ends_right():
    for problem, wrong in cases():
        for again in (False, True):
            text = revision(problem, wrong, again=again)
            assert text.startswith(wrong.text + NOTICE)
            assert TASK.verify(problem, text).correct
            after = text.partition(NOTICE)[2].partition("\n")[2]
            assert str(problem.solution).endswith(after)
            assert (after == problem.solution) == (again or wrong.at == 0)


def test_the_mask_covers_the_wrong_step_alone():
    for problem, wrong in cases():
        whole, masked = revised(POLICY, problem, wrong), revised(POLICY, problem, wrong, learn_error=False)
        assert whole.mask is None
        assert masked.mask is not None
        assert (masked.prompt, masked.ids) == (whole.prompt, whole.ids)
        hidden = [i for i, kept in zip(masked.ids, masked.mask, strict=True) if not kept]
        assert POLICY.decode(hidden) == f"{wrong.lines[-1]}\n"


def test_an_unharmed_beginning_is_right():
    lines = step_judge(TASK)
    for problem, wrong in cases():
        sound = unharmed(problem, wrong)
        assert (sound.kind, sound.at, sound.lines[:-1]) == (wrong.kind, wrong.at, wrong.lines[:-1])
        assert all(step.ok for step in lines(problem, sound.text))


def test_a_step_pair_has_the_right_beginning_as_context():
    for problem, wrong in cases():
        pair = step_pair(POLICY, problem, wrong)
        prompt = POLICY.encode(problem.question.messages)
        assert pair.context[: len(prompt)] == prompt
        before = POLICY.decode(pair.context[len(prompt) :])
        assert str(problem.solution).startswith(before + POLICY.decode(pair.chosen))
        assert before + POLICY.decode(pair.rejected) in (wrong.text, wrong.text[:-1])
        ends = {ids[-1] in POLICY.eos for ids in (pair.chosen, pair.rejected)}
        assert ends == {wrong.at == str(problem.solution).count("\n")}


def test_a_solution_pair_is_whole():
    problem = TASK.problems("train", 1)[0]
    pair = solution_pair(POLICY, problem, "a=1")
    assert POLICY.decode(pair.chosen) == problem.solution
    assert POLICY.decode(pair.rejected) == "a=1"
    assert pair.chosen[-1] in POLICY.eos
    with pytest.raises(ValueError, match="at least one token"):
        type(pair)((1,), (), (2,))
