"""What a search goes on from is computed once, and reusing it changes nothing that is said."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import CONTEXT, FAMILIES, decoder

from trivium.engine.engine import Engine, Job
from trivium.engine.prefix import WORTHWHILE, PrefixStore
from trivium.types import GREEDY, Sampling

SEQUENCES = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=12).map(tuple), min_size=1, max_size=12)


def marked(ids: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Keys and values that say which beginning of which sequence they belong to."""
    codes = [hash(ids[: i + 1]) % 2**20 for i in range(len(ids))]
    keys = torch.tensor(codes, dtype=torch.float64).view(1, 1, -1, 1)
    return keys, -keys


def found(store: PrefixStore, ids: tuple[int, ...]) -> torch.Tensor:
    pieces = store.find(ids)
    for keys, values in pieces:
        assert torch.equal(keys, -values)
    return torch.cat([keys for keys, _ in pieces], dim=2) if pieces else torch.zeros(1, 1, 0, 1, dtype=torch.float64)


@given(SEQUENCES, st.lists(st.integers(0, 3), max_size=14).map(tuple))
def test_the_longest_known_beginning_is_found(sequences, asked):
    store = PrefixStore(1 << 20)
    for ids in sequences:
        store.add(ids, [marked(ids)])
    for ids in [*sequences, asked]:
        longest = max(sum(1 for i in range(1, len(ids) + 1) if s[:i] == ids[:i]) for s in sequences)
        assert torch.equal(found(store, ids), marked(ids[:longest])[0] if longest else found(store, ()))


@given(SEQUENCES)
def test_what_is_shared_is_stored_once(sequences):
    store = PrefixStore(1 << 20)
    for ids in sequences:
        store.add(ids, [marked(ids)])
    beginnings = {ids[:i] for ids in sequences for i in range(1, len(ids) + 1)}
    assert store.size == 2 * 8 * len(beginnings)
    store.clear()
    assert store.size == 0
    assert not store.find(sequences[0])


@given(SEQUENCES)
def test_the_store_stays_within_its_limit_and_keeps_what_was_read_last(sequences):
    store = PrefixStore(2 * 8 * 16)
    for ids in sequences:
        store.add(ids, [marked(ids)])
        assert store.size <= store.limit
        assert found(store, ids).shape[2] == len(ids)


def engine(kind: str = "llama", **options) -> Engine:
    return Engine(
        decoder(kind).float(), eos=frozenset(), decode=lambda ids: "".join(chr(i + 40) for i in ids), **options
    )


def grow(e: Engine, keep: bool, depth: int = 3, branch: int = 2) -> tuple[list, int]:
    """Every sample of a tree of that depth, level by level, and the distinct tokens read or sampled in it."""
    level, said = [tuple(range(7, 27))], []
    tokens = len(level[0])
    for d in range(depth):
        jobs = [Job(p, Sampling(max_tokens=5), branch, seed=10 * d + i, keep=keep) for i, p in enumerate(level)]
        for job in jobs:
            e.submit(job)
        rows = [row for _ in range(200) if e.busy for row in e.step()]
        rows.sort(key=lambda r: (jobs.index(r.job), r.index))
        said += [(r.ids, r.logprobs) for r in rows]
        level = [(*r.job.prompt, *r.ids) for r in rows]
        tokens += sum(len(r.ids) for r in rows)
    return said, tokens


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_tree_computes_no_shared_beginning_twice_and_says_the_same(kind):
    plain, reusing = engine(kind), engine(kind)
    said, tokens = grow(plain, keep=False)
    again, _ = grow(reusing, keep=True)
    assert [ids for ids, _ in again] == [ids for ids, _ in said]
    for (_, a), (_, b) in zip(again, said, strict=True):
        assert a == pytest.approx(b, abs=1e-4)
    # The prompt, and of every sample that was gone on from only the last token, which no step had read.
    assert reusing.counters.prefilled == 20 + 2 + 4
    assert reusing.counters.prefilled + reusing.counters.reused == plain.counters.prefilled
    assert reusing.counters.prefilled <= 1.1 * tokens


def test_new_weights_forget_what_the_old_ones_computed():
    e = engine()
    job = Job(tuple(range(7, 27)), GREEDY.but(max_tokens=4), keep=True)
    for _ in range(2):
        e.submit(job)
        while e.busy:
            e.step()
    assert e.counters.reused == 19
    with torch.no_grad():
        e.model.blocks[0].qkv.weight.mul_(1.5)
    fresh = Engine(e.model, eos=frozenset(), decode=e.decode)
    said = []
    for one in (e, fresh):
        one.submit(job)
        said.append(next(row for _ in range(10) if one.busy for row in one.step()))
    assert e.counters.reused == 19
    assert said[0].ids == said[1].ids
    assert said[0].logprobs == pytest.approx(said[1].logprobs, abs=1e-5)


def test_only_jobs_that_ask_for_it_are_kept():
    e = engine()
    for keep in (False, True):
        e.submit(Job(tuple(range(7 + keep, 27)), GREEDY.but(max_tokens=4), keep=keep))
        while e.busy:
            e.step()
        assert (e.prefixes.size > 0) == keep
    e.release()
    assert e.prefixes.size == 0


def test_a_prompt_that_comes_again_is_kept_without_its_samples():
    e, fresh = engine(), engine()
    job = Job(tuple(range(7, 27)), Sampling(max_tokens=4), seed=3)
    said = []
    for reused in (0, 0, 19, 38):
        e.submit(job)
        said.append(next(row for _ in range(10) if e.busy for row in e.step()))
        assert e.counters.reused == reused
    assert sum(keys.shape[2] for keys, _ in e.prefixes.find((*job.prompt, *said[0].ids))) == 20
    fresh.submit(job)
    [expected] = [row for _ in range(10) if fresh.busy for row in fresh.step()]
    assert all(row.ids == expected.ids for row in said)
    assert said[-1].logprobs == pytest.approx(expected.logprobs, abs=1e-5)
    e.release()
    e.submit(job)
    e.step()
    assert e.counters.reused == 38


def test_a_store_that_is_too_small_costs_time_and_nothing_else():
    said, _ = grow(engine(), keep=False)
    small = engine(prefix_bytes=6000)
    again, _ = grow(small, keep=True)
    assert [ids for ids, _ in again] == [ids for ids, _ in said]
    assert small.prefixes.size <= 6000


def test_what_new_prompts_begin_with_alike_is_computed_once():
    """Two sets of worked examples, and a prompt that shares nothing: each set is one pass; what is said is the same."""
    shown = [tuple(i % 190 + first for i in range(70)) for first in (7, 60)]
    prompts = [(*stem, 3 + i, 9) for stem in shown for i in range(3)] + [tuple(range(200, 210))]
    said, counted = [], []
    for options in ({}, {"prefix_bytes": 0}):
        e = engine(**options)
        for prompt in prompts:
            e.submit(Job(prompt, GREEDY.but(max_tokens=5)))
        rows = [row for _ in range(50) if e.busy for row in e.step()]
        said.append(sorted((prompts.index(r.job.prompt), tuple(r.ids)) for r in rows))
        counted.append((e.counters.prefilled, e.counters.reused))
    assert said[0] == said[1]
    assert counted == [(2 * 70 + 6 * 2 + 10, 6 * 70), (6 * 72 + 10, 0)]


@given(SEQUENCES.filter(lambda some: all(len(ids) > 1 for ids in some)), st.integers(0, 12))
def test_what_is_worth_sharing_saves_most(sequences, stored):
    """Against every beginning there is, by counting."""
    scaled = [tuple(i for i in ids for _ in range(60)) for ids in sequences]
    store = PrefixStore(1 << 20)
    store.add(scaled[0][:stored], [marked(scaled[0][:stored])])
    saved = {
        p[:n]: (sum(q[:-1][:n] == p[:n] for q in set(scaled)) - 1) * (n - store.known(p[:n]))
        for p in scaled
        for n in range(1, len(p))
    }
    best = max(saved.values())
    found = store.worth_sharing(scaled, token_bytes=16)
    assert saved[found] == best if found else best < WORTHWHILE
    assert store.worth_sharing(scaled, token_bytes=1 << 20) == ()


def test_long_and_short_beginnings_share_a_batch():
    """Rows that reuse much, little and nothing are prefilled together, up to the end of the context."""
    long = tuple(i % 200 + 7 for i in range(CONTEXT - 6))
    jobs = [Job(p, GREEDY.but(max_tokens=5), n) for p, n in ((long, 2), (long[:40], 1), (tuple(range(30, 33)), 3))]
    said = []
    for keep in (False, True):
        e = engine()
        if keep:
            e.submit(Job(long[:60], GREEDY.but(max_tokens=1), keep=True))
            while e.busy:
                e.step()
        for job in jobs:
            e.submit(job)
        rows = [row for _ in range(50) if e.busy for row in e.step()]
        said.append(sorted((jobs.index(r.job), r.index, tuple(r.ids)) for r in rows))
        assert e.counters.reused == (60 + 39 if keep else 0)
    assert said[0] == said[1]


def test_what_goes_on_from_the_store_is_next():
    e = engine(max_rows=2)
    first = Job(tuple(range(7, 27)), GREEDY.but(max_tokens=3), keep=True)
    e.submit(first)
    [row] = [row for _ in range(5) if e.busy for row in e.step()]
    cold = [Job(tuple(range(30 + i, 50 + i)), GREEDY.but(max_tokens=3)) for i in range(4)]
    warm = Job((*first.prompt, *row.ids), GREEDY.but(max_tokens=3), 2)
    for job in (*cold, warm):
        e.submit(job)
    ended = [row for _ in range(50) if e.busy for row in e.step()]
    assert [(r.job, r.index) for r in ended] == [(warm, 0), (warm, 1), *((job, 0) for job in cold)]
