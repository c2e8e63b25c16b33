"""Cutting rows into micro-batches loses none, splits no unit, and keeps to the limit."""

from __future__ import annotations

import hypothesis.strategies as st
import torch
from hypothesis import given, settings

from trivium.learn.batch import Rollout, by_group, microbatches, pad, step_batch

IDS = st.lists(st.integers(0, 9), min_size=1, max_size=6).map(tuple)
PROMPTS = st.sampled_from([(1,), (1, 2), (3, 4, 5)])


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    units=st.lists(st.tuples(PROMPTS, IDS, IDS), min_size=1, max_size=8), unit=st.sampled_from([1, 2]),
    limit=st.integers(1, 30), data=st.data(),
)  # fmt: skip
def test_every_wanted_unit_once_and_within_the_limit(units, unit, limit, data):
    rows = [(p, ids, ids) for p, a, b in units for ids in ((a, b) if unit == 2 else (a,))]
    wanted = data.draw(st.sets(st.integers(0, len(units) - 1)))
    pieces = list(microbatches(rows, limit, sorted(wanted), unit))
    assert sorted(u for piece in pieces for u in piece.index) == sorted(wanted)
    for piece in pieces:
        assert len(set(piece.prompts)) == len(piece.prompts)
        made = [(piece.prompts[place], ids, targets) for (place, ids), targets in
                zip(piece.inputs, piece.targets, strict=True)]  # fmt: skip
        assert made == [row for u in piece.index for row in rows[u * unit : (u + 1) * unit]]
        cost = sum(map(len, piece.prompts)) + sum(len(ids) for _, ids in piece.inputs)
        assert cost <= limit or len(piece.index) == 1


def test_pad_and_step_batch():
    assert pad([(1.0,), (2.0, 3.0)], 3).tolist() == [[1, 0, 0], [2, 3, 0]]
    assert pad([]).shape == (0, 0)
    rollouts = [
        Rollout((1,), (5, 6), (-1.0, -2.0), 1.0, 4, True, False),
        Rollout((1,), (7,), (-3.0,), 0.0, 4, False, True),
    ]
    step = step_batch(rollouts)
    assert step.mask.tolist() == [[True, True], [True, False]]
    assert step.lengths.tolist() == [2, 1]
    assert step.truncated.tolist() == [False, True]
    assert step.correct is not None
    assert step.correct.tolist() == [True, False]
    assert torch.equal(step.old_logp, torch.tensor([[-1.0, -2.0], [-3.0, 0.0]]))


def test_rollouts_of_a_prompt_stay_together() -> None:
    rows = [Rollout((1,), (2,), (0.0,), 1.0, group, True, False) for group in (3, 3, 5, 3)]
    assert [len(group) for group in by_group(rows)] == [3, 1]
