"""Weight arithmetic keeps its identities: ends, means, what identical vectors give, what is refused."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from tiny_models import decoder

from trivium.models.merge import (
    Way,
    added,
    combined,
    difference,
    dropped,
    elected,
    mixture,
    permuted,
    ties,
    trimmed,
)

SEEDS = st.integers(0, 10_000)
KEEP = st.floats(0.01, 1.0)
quick = settings(max_examples=30, deadline=None, derandomize=True)


def vector(seed: int, scale: float = 1.0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"a": (7, 5), "b": (11,), "c": (2, 3, 4)}
    return {
        name: scale * (i + 1) * torch.randn(shape, generator=generator)
        for i, (name, shape) in enumerate(shapes.items())
    }


def flat(v) -> torch.Tensor:
    return torch.cat([t.flatten() for t in v.values()])


def same(a, b, tolerance: float = 1e-5) -> bool:
    return a.keys() == b.keys() and all(torch.allclose(a[k].float(), b[k].float(), atol=tolerance) for k in a)


@quick
@given(seed=SEEDS, alpha=st.floats(0.0, 1.0))
def test_interpolation_has_the_models_at_its_ends_and_a_line_between(seed, alpha):
    base, tuned = vector(seed), vector(seed + 1)
    towards = difference(tuned, base)
    assert same(added(base, towards, 0.0), base)
    assert same(added(base, towards, 1.0), tuned)
    straight = {k: (1 - alpha) * base[k] + alpha * tuned[k] for k in base}
    assert same(added(base, towards, alpha), straight)


@quick
@given(seed=SEEDS, a=st.floats(-2, 2), b=st.floats(-2, 2))
def test_combining_is_linear_and_forgets_order(seed, a, b):
    one, two = vector(seed), vector(seed + 1)
    assert same(combined([one, two], [a, b]), combined([two, one], [b, a]))
    assert torch.allclose(flat(combined([one, two], [a, b])), a * flat(one) + b * flat(two), atol=1e-4)


@quick
@given(seed=SEEDS, keep=KEEP)
def test_trimming_keeps_the_largest_as_they_are(seed, keep):
    v = vector(seed)
    left = trimmed(v, keep=keep)
    kept = flat(left) != 0
    assert torch.equal(flat(left)[kept], flat(v)[kept])
    assert kept.sum() == max(1, round(keep * len(kept)))
    if not kept.all():
        assert flat(v)[kept].abs().min() >= flat(v)[~kept].abs().max()


def test_a_global_trim_spares_the_tensor_with_the_large_entries():
    v = {"small": torch.full((10,), 0.1), "large": torch.arange(1.0, 11.0)}
    assert (trimmed(v, keep=0.5)["small"] == 0).all()


@quick
@given(seed=SEEDS, count=st.integers(1, 4))
def test_ties_of_identical_vectors_is_the_vector(seed, count):
    v = vector(seed)
    assert same(ties([v] * count, keep=1.0), v)
    assert same(ties([v] * count, keep=0.3), trimmed(v, keep=0.3))


@quick
@given(seed=SEEDS, keep=KEEP)
def test_ties_gives_the_elected_sign_and_stays_between_the_entries(seed, keep):
    vectors = [trimmed(vector(seed + i), keep=keep) for i in range(3)]
    got, each = flat(elected(vectors)), torch.stack([flat(v) for v in vectors])
    assert torch.equal(got.sign(), each.sum(0).sign())
    assert (got.abs() <= each.abs().max(0).values + 1e-6).all()
    assert same(elected(vectors), elected(vectors[::-1]))


def test_what_was_trimmed_does_not_water_down_the_mean():
    assert elected([{"w": torch.tensor([3.0])}, {"w": torch.tensor([0.0])}, {"w": torch.tensor([-1.0])}])["w"] == 3.0
    assert elected([{"w": torch.tensor([1.0])}, {"w": torch.tensor([-1.0])}])["w"] == 0.0


@pytest.mark.parametrize("rate", [0.0, 0.3, 0.9])
def test_dropping_is_unbiased_and_drops_its_share(rate):
    v = {"w": torch.tensor([2.0, -1.0, 0.5]).repeat(4000, 1)}
    got = dropped(v, rate=rate, seed=1)["w"]
    assert abs((got == 0).float().mean() - rate) < 0.02
    error = 4 * (rate / (1 - rate) / 4000) ** 0.5 + 1e-6
    assert (got.mean(0) - v["w"][0]).abs().max() <= 2 * error
    assert torch.equal(got, dropped(v, rate=rate, seed=1)["w"])
    assert rate == 0 or not torch.equal(got, dropped(v, rate=rate, seed=2)["w"])


@quick
@given(seed=SEEDS)
def test_a_permutation_keeps_every_tensors_entries(seed):
    v = vector(seed)
    got = permuted(v, seed=seed)
    assert all(torch.equal(got[k].flatten().sort().values, v[k].flatten().sort().values) for k in v)
    assert all(got[k].shape == v[k].shape for k in v)
    assert not same(got, v)


@quick
@given(seed=SEEDS)
def test_mixtures_meet_at_the_points_they_share(seed):
    base, one, two = (vector(seed + i) for i in range(3))
    assert same(mixture(base, [one, two], Way("line", 1.0)), one)
    assert same(mixture(base, [one, two], Way("line", 0.0)), two)
    assert same(mixture(base, [one, two], Way("line", 0.3, 0.0)), base)
    halves = mixture(base, [one, two], Way("line"))
    assert same(halves, {name: (one[name] + two[name]) / 2 for name in one})
    assert same(halves, mixture(base, [one, two], Way("sum", 0.0, 0.5)))
    assert same(halves, mixture(base, [one, two], Way("dare", 0.0, 0.5)))
    assert same(mixture(base, [one], Way("ties", 1.0)), one)
    assert same(mixture(base, [one, one], Way("ties", 1.0)), one)


def test_the_permuted_control_is_as_far_from_the_second_model_as_the_first_is():
    base, one, two = (vector(i) for i in range(3))
    control = mixture(base, [one, two], Way("permuted", 0.5))
    assert same(mixture(base, [one, two], Way("permuted", 0.0)), two)
    step, real = flat(difference(control, two)), flat(difference(one, two))
    assert torch.allclose(step.norm(), 0.5 * real.norm())
    assert abs(torch.cosine_similarity(step, real, dim=0)) < 0.5
    assert not same(control, mixture(base, [one, two], Way("line", 0.5)))


def test_bfloat16_models_are_merged_in_float32_and_keep_their_type():
    base = {"w": torch.tensor([256.0], dtype=torch.bfloat16)}
    tuned = {"w": torch.tensor([258.0], dtype=torch.bfloat16)}
    thirds = combined([difference(tuned, base)] * 3, [1 / 3] * 3)
    assert thirds["w"].dtype == torch.float32
    got = added(base, thirds)
    assert got["w"].dtype == torch.bfloat16
    assert torch.equal(got["w"], tuned["w"])


def test_a_decoders_own_state_goes_through_and_back():
    one, two = decoder("llama"), decoder("llama")
    moved = added(one.state_dict(), difference(two.state_dict(), one.state_dict()))
    one.load_state_dict(moved)
    assert same(one.state_dict(), two.state_dict())


def test_other_shapes_and_senseless_numbers_are_refused():
    v = vector(0)
    with pytest.raises(ValueError, match="one architecture"):
        difference(v, {"a": v["a"]})
    with pytest.raises(ValueError, match="one architecture"):
        combined([v, {**v, "b": torch.zeros(3)}], [1, 1])
    with pytest.raises(ValueError, match="at least one"):
        elected([])
    with pytest.raises(ValueError, match="keep=0"):
        trimmed(v, keep=0)
    with pytest.raises(ValueError, match="rate=1"):
        dropped(v, rate=1, seed=0)
