"""Rows that share a stem say what they say without one, however they come and go."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import FAMILIES, decoder

from trivium.engine import stems
from trivium.engine.cache import NONE
from trivium.engine.engine import Engine, Job
from trivium.engine.stems import FULL, live_stem, new_stems
from trivium.types import GREEDY, Sampling

LONG = tuple(i % 180 + 7 for i in range(60))
PROMPTS = st.tuples(st.sampled_from((0, 1, 20, 40, 60)), st.integers(1, 12), st.integers(0, 3)).map(
    lambda p: (*LONG[: p[0]], *(i + 50 * p[2] + 7 for i in range(p[1])))
)
JOBS = st.lists(st.tuples(PROMPTS, st.integers(1, 5), st.integers(1, 9), st.booleans()), min_size=1, max_size=6)


@pytest.fixture
def worth(monkeypatch):
    """Sets what sharing a stem must spare."""
    return lambda numbers: monkeypatch.setattr(stems, "WORTHWHILE", numbers)


def engine(kind: str = "llama", dtype: torch.dtype = torch.float32, **options) -> Engine:
    return Engine(decoder(kind).to(dtype), eos=frozenset({11}), decode=lambda ids: "".join(map(chr, ids)), **options)


def said(e: Engine, jobs: list[Job], late: int = 0) -> list:
    """Every sample of every job; the last `late` jobs join while the others run."""
    for job in jobs[: len(jobs) - late]:
        e.submit(job)
    rows = [row for _ in range(2) for row in e.step()]
    for job in jobs[len(jobs) - late :]:
        e.submit(job)
    rows += [row for _ in range(400) if e.busy for row in e.step()]
    return [(r.ids, r.logprobs) for r in sorted(rows, key=lambda r: (jobs.index(r.job), r.index))]


@settings(max_examples=40, deadline=None)
@given(JOBS, st.integers(0, 3), st.integers(1, 12), st.sampled_from(FAMILIES))
def test_a_shared_stem_changes_nothing_that_is_said(made, late, max_rows, kind):
    jobs = [Job(p, Sampling(max_tokens=m), n, seed=i, keep=keep) for i, (p, n, m, keep) in enumerate(made)]
    found = []
    for numbers in (0, 1 << 60):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stems, "WORTHWHILE", numbers)
            e = engine(kind, max_rows=max_rows)
            found.append(said(e, jobs, min(late, len(jobs) - 1)))
            assert e.cache is not None
            assert (e.cache.ids, e.cache.stem_of, e.cache.stems.used) == ([], [], 0)
    assert [ids for ids, _ in found[0]] == [ids for ids, _ in found[1]]
    for (_, a), (_, b) in zip(*found, strict=True):
        assert a == pytest.approx(b, abs=1e-4)


def test_a_group_keeps_its_prompt_once(worth):
    worth(0)
    e = engine()
    e.submit(Job(LONG, Sampling(max_tokens=6), 8))
    e.step()
    assert e.cache.stem_of == [0] * 8
    assert e.cache.ids == [LONG[:-1]]
    assert e.cache.own.lengths[:8].tolist() == [1] * 8  # the prompt's last token
    assert e.counters.prefilled == len(LONG)


def test_who_comes_later_joins_a_stem_and_computes_only_what_follows_it(worth):
    worth(0)
    e = engine(prefix_bytes=0)
    e.submit(Job(LONG, Sampling(max_tokens=20), 4))
    e.step()
    e.submit(Job((*LONG, 9, 8), Sampling(max_tokens=3), 2))
    e.submit(Job((9, 8), Sampling(max_tokens=3)))
    e.step()
    assert e.cache.stem_of == [0] * 6 + [NONE]
    assert e.counters.prefilled == len(LONG) + 3 + 2
    assert e.counters.reused == len(LONG) - 1


def test_a_stem_goes_with_its_last_row(worth):
    worth(0)
    e = engine()
    jobs = [Job((i + 7, *LONG), Sampling(max_tokens=30), 3, seed=i) for i in range(3)]
    for job in jobs:
        e.submit(job)
    e.step()
    e.cancel(jobs[0])
    assert e.cache.stems.used == 2
    assert [e.cache.ids[stem] for stem in e.cache.stem_of] == [row.job.prompt[:-1] for row in e.rows]
    e.cancel(jobs[2])
    assert e.cache.ids == [jobs[1].prompt[:-1]]


def test_nobody_joins_a_stem_of_weights_that_are_gone(worth):
    worth(0)
    e = engine()
    e.submit(Job(LONG, Sampling(max_tokens=20), 4))
    e.step()
    with torch.no_grad():
        e.model.blocks[0].qkv.weight.mul_(1.5)
    late = Job((*LONG, 9), GREEDY.but(max_tokens=4))
    e.submit(late)
    [joined] = [row for _ in range(30) if e.busy for row in e.step() if row.job is late]
    fresh = Engine(e.model, eos=frozenset({11}), decode=e.decode)
    fresh.submit(late)
    [alone] = [row for _ in range(30) if fresh.busy for row in fresh.step()]
    assert joined.reused == 0
    assert joined.ids == alone.ids
    assert joined.logprobs == pytest.approx(alone.logprobs, abs=1e-4)


def test_worked_examples_are_one_stem_for_all_and_a_few_rows_none():
    """At the real threshold: 60 tokens are read as fast again by four rows, 1,000 are not by forty."""
    prompts = {(*range(1000), 5, i): 8 for i in range(5)}
    known = [(torch.empty(2, 3, 1000, 64),) * 2, (torch.empty(2, 3, 1, 64),) * 2]
    assert new_stems(prompts, [known] * 5, {}, 192) == dict.fromkeys(prompts, tuple(range(1000)))
    assert new_stems({LONG: 4}, [[]], {}, 192) == {}
    assert new_stems({tuple(range(1000)): 1}, [[]], {}, 192) == {}


def test_the_table_is_never_mostly_empty():
    """One group of forty rows beside twenty of two: placing all would be twenty-one times forty."""
    prompts = {tuple(range(i, 900 + i)): 2 for i in range(1, 21)} | {tuple(range(900)): 40}
    chosen = new_stems(prompts, [[]] * 21, {}, 192)
    rows = [prompts[p] for p in chosen]
    assert 40 in rows
    assert len(rows) * max(rows) <= FULL * sum(rows)
    assert len(chosen) < len(prompts)


def test_a_live_stem_must_be_half_of_a_prompt():
    assert live_stem(LONG, [LONG[:10], LONG[:30], LONG[:40], LONG]) == 2
    assert live_stem(LONG, [LONG[:10], (1, *LONG[:40])]) == NONE


@pytest.mark.parametrize("kind", FAMILIES)
def test_log_probs_in_bf16_stay_within_the_tolerance_of_the_engine(kind, worth):
    jobs = [Job((*LONG, 8 + i), GREEDY.but(max_tokens=1), 2) for i in range(6)]
    found = []
    for numbers in (0, 1 << 60):
        worth(numbers)
        found.append(said(engine(kind, torch.bfloat16), jobs))
    for (_, a), (_, b) in zip(*found, strict=True):
        assert a == pytest.approx(b, abs=0.15)
