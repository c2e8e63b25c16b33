"""Drawing inverts the cumulative distribution, filters as transformers does, and never says the impossible."""

from __future__ import annotations

import bisect
import itertools
import math

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from trivium.engine.draw import BLOCK, Uniforms, draw, invert, nucleus
from trivium.types import Sampling

UNIFORM = st.floats(0, 1, exclude_max=True, width=64)
LAST = math.nextafter(1.0, 0.0)


def exact_inverse(p, u):
    """The first id whose cumulative weight exceeds u times the total, in float64."""
    sums = list(itertools.accumulate(p))
    return bisect.bisect_right(sums, u * sums[-1])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    weights=st.lists(st.sampled_from([0.0, 0.0, 0.25, 1.0, 3.5]), min_size=1, max_size=40).filter(any),
    gap=st.integers(0, 3 * BLOCK), front=st.integers(0, 2 * BLOCK), u=UNIFORM,
)  # fmt: skip
def test_inversion_is_exact_where_sums_are(weights, gap, front, u):
    """The weights are multiples of 1/4, so no sum is rounded and the answer must be the very same id."""
    p = [0.0] * front + weights + [0.0] * gap
    found = int(invert(torch.tensor([p]), torch.tensor([u], dtype=torch.float64))[0])
    assert found == exact_inverse(p, u)
    assert p[found] > 0


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6), vocab=st.integers(1, 3 * BLOCK), sharp=st.sampled_from([0.1, 1.0, 10.0, 60.0]),
    u=st.lists(st.one_of(UNIFORM, st.sampled_from([0.0, LAST])), min_size=1, max_size=4),
    sampling=st.builds(
        Sampling, temperature=st.sampled_from([0.0, 1e-40, 0.3, 1.0, 2.0]), top_k=st.sampled_from([0, 1, 3, 1000]),
        top_p=st.sampled_from([1.0, 0.9, 0.5, 1e-6]),
    ),
)  # fmt: skip
def test_never_a_token_of_probability_zero(seed, vocab, sharp, u, sampling):
    logits = torch.randn(len(u), vocab, generator=torch.Generator().manual_seed(seed)) * sharp
    logits[:, ::3] = -torch.inf if vocab > 1 else 0.0
    ids, logp = draw(logits, torch.tensor(u, dtype=torch.float64), [sampling] * len(u))
    assert ((ids >= 0) & (ids < vocab)).all()
    assert logp.isfinite().all()
    expected = logits.log_softmax(-1).gather(1, ids[:, None]).squeeze(1)
    assert torch.allclose(logp, expected, atol=1e-5)


def test_frequencies_pass_a_chi_square_test():
    p = torch.softmax(torch.randn(600, generator=torch.Generator().manual_seed(3)), 0)
    n = 30_000
    u = torch.from_numpy(np.random.default_rng(0).random(n))
    counts = torch.cat([invert(p.expand(len(part), -1), part) for part in u.split(1000)]).bincount(minlength=600)
    expected = n * p.double() / p.double().sum()
    statistic = float(((counts - expected) ** 2 / expected).sum())
    # 599 degrees of freedom: mean 599, deviation 34.6; five deviations on either side.
    assert 430 < statistic < 770


@pytest.mark.parametrize("temperature", [0.7, 1.0, 1.8])
@pytest.mark.parametrize(("top_k", "top_p"), [(0, 0.9), (5, 1.0), (20, 0.8), (1, 1.0), (0, 0.05)])
def test_filters_keep_what_transformers_keeps(temperature, top_k, top_p):
    logits = torch.randn(8, 300, generator=torch.Generator().manual_seed(4)) * 2
    warped = TemperatureLogitsWarper(temperature)(None, logits) if temperature != 1 else logits
    if top_k:
        warped = TopKLogitsWarper(top_k)(None, warped)
    if top_p < 1:
        warped = TopPLogitsWarper(top_p)(None, warped)
    theirs = warped.softmax(-1)
    for row, expected in zip(logits, theirs, strict=True):
        kept = nucleus((row / temperature).softmax(-1), top_k, top_p)
        assert ((kept > 0) == (expected > 0)).all()
        assert torch.allclose(kept / kept.sum(), expected, atol=1e-6)
    # and what `draw` makes of them lies inside
    u = torch.linspace(0, LAST, 8, dtype=torch.float64)
    ids, _ = draw(logits, u, [Sampling(temperature, top_p, top_k)] * 8)
    assert (theirs.gather(1, ids[:, None]) > 0).all()


def test_rows_keep_their_own_settings():
    logits = torch.randn(3, 50, generator=torch.Generator().manual_seed(5))
    u = torch.full((3,), 0.77, dtype=torch.float64)
    settings_ = [Sampling(0.0), Sampling(1.0), Sampling(0.5, top_k=4)]
    together, _ = draw(logits, u, settings_)
    alone = [int(draw(logits[i : i + 1], u[:1], [s])[0]) for i, s in enumerate(settings_)]
    assert together.tolist() == alone
    assert alone[0] == int(logits[0].argmax())


def test_streams_depend_on_seed_and_index_alone():
    first = [Uniforms(3, 1).next() for _ in range(2)]
    assert first[0] == first[1]
    stream = Uniforms(3, 1)
    values = [stream.next() for _ in range(200)]
    again = Uniforms(3, 1)
    assert values == [again.next() for _ in range(200)]
    others = [Uniforms(3, 2), Uniforms(4, 1), Uniforms(-3, 1)]
    assert all(other.next() != values[0] for other in others)
    assert all(0 <= v < 1 for v in values)
    assert len(set(values)) == 200
