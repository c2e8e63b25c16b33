"""On a GPU the engine says what it says on the processor."""

from __future__ import annotations

import random

import pytest
import torch
from tiny_models import FAMILIES, decoder, on_gpu

from trivium.engine import cache, stems
from trivium.engine.engine import Engine, Job
from trivium.models.logprob import completion_logprobs
from trivium.types import GREEDY, Sampling

pytestmark = on_gpu
KINDS = (*FAMILIES, "llama-yarn", "gpt2-untied")


def engine(kind: str, device: str, dtype: torch.dtype = torch.float32) -> Engine:
    model = decoder(kind).to(dtype).to(device)
    return Engine(model, eos=frozenset({11}), decode=lambda ids: "".join(map(chr, ids)), max_rows=9)


def jobs() -> list[Job]:
    """Alike and unlike prompts, groups, kept ones, greedy and hot samples, with and without filters."""
    rng = random.Random(3)
    stem = tuple(rng.choices(range(20, 250), k=30))
    prompts = [stem + tuple(rng.choices(range(20, 250), k=k)) for k in (1, 4, 9)]
    prompts += [tuple(rng.choices(range(20, 250), k=k)) for k in (1, 2, 17)]
    ways = (GREEDY, Sampling(max_tokens=12), Sampling(temperature=0.7, top_p=0.9, top_k=20, max_tokens=9))
    return [Job(p, ways[i % 3], n=1 + i % 4, seed=i, keep=i % 2 == 0) for i, p in enumerate(prompts)]


def said(e: Engine, asked: list[Job]) -> list[tuple[list[int], list[float]]]:
    """All samples; the later half of the jobs join while the others run, and one is called off."""
    gone = Job(asked[0].prompt, Sampling(max_tokens=50), n=2, seed=99)
    for job in (*asked[:3], gone):
        e.submit(job)
    rows = [row for _ in range(2) for row in e.step()]
    e.cancel(gone)
    for job in asked[3:]:
        e.submit(job)
    while e.busy:
        rows += e.step()
    return [(r.ids, r.logprobs) for r in sorted(rows, key=lambda r: (asked.index(r.job), r.index))]


@pytest.mark.parametrize("grow", [16, 128])
@pytest.mark.parametrize("kind", KINDS)
def test_samples_and_log_probs_are_those_of_the_processor(
    kind: str, grow: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stems, "WORTHWHILE", 0)
    monkeypatch.setattr(cache, "GPU_GROW", grow)
    made = engine(kind, "cuda")
    found = [said(made, asked := jobs()), said(engine(kind, "cpu"), asked)]
    assert [ids for ids, _ in found[0]] == [ids for ids, _ in found[1]]
    for (_, a), (_, b) in zip(*found, strict=True):
        assert a == pytest.approx(b, abs=2e-4)
    assert made.cache is not None
    assert made.cache.own.keys.is_cuda
    again = said(made, asked)  # from what is kept of them
    assert [ids for ids, _ in again] == [ids for ids, _ in found[0]]


def test_steps_are_recorded_for_the_weights_and_the_cache_there_are() -> None:
    """New numbers in the same tensors are computed with; other tensors are recorded again."""
    made, here = engine("llama", "cuda"), engine("llama", "cpu")
    asked = jobs()
    said(made, asked)
    kept = made.recordings
    assert kept is not None
    assert kept._made
    for e in (made, here):
        with torch.no_grad():
            e.model.norm.weight.mul_(1.5)
        e.release()
    assert [ids for ids, _ in said(made, asked)] == [ids for ids, _ in said(here, asked)]
    assert made.recordings is kept
    made.model.load_state_dict({name: w.clone() for name, w in made.model.state_dict().items()}, assign=True)
    assert [ids for ids, _ in said(made, asked)] == [ids for ids, _ in said(here, asked)]
    assert made.recordings is not kept


@pytest.mark.parametrize("kind", FAMILIES)
def test_bfloat16_stays_within_the_tolerance_of_the_engine(kind: str) -> None:
    e = engine(kind, "cuda", torch.bfloat16)
    job = Job(jobs()[0].prompt, Sampling(max_tokens=20), n=8, seed=1)
    e.submit(job)
    rows = [row for _ in range(40) if e.busy for row in e.step()]
    logp, _, mask = completion_logprobs(e.model, [job.prompt], [(0, row.ids) for row in rows])
    for row, mine, real in zip(rows, logp, mask, strict=True):
        assert row.logprobs == pytest.approx(mine[real].tolist(), abs=0.2)


@pytest.mark.parametrize("kind", KINDS)
def test_training_log_probs_and_gradients_are_those_of_the_processor(kind: str) -> None:
    rng, found = random.Random(5), []
    prompts = [tuple(rng.choices(range(2, 250), k=k)) for k in (1, 12, 80)]
    completions = [(i % 3, tuple(rng.choices(range(2, 250), k=k))) for i, k in enumerate((1, 30, 7, 2, 9, 40, 3))]
    for device in ("cpu", "cuda"):
        model = decoder(kind).to(device)
        logp, entropy, mask = completion_logprobs(model, prompts, completions, temperature=0.8)
        assert logp.device.type == entropy.device.type == mask.device.type == "cpu"
        logp.sum().backward()
        grads = {name: p.grad.cpu() for name, p in model.named_parameters() if p.grad is not None}
        found.append((logp.detach(), entropy.detach(), grads))
    (logp, entropy, grads), (logp_gpu, entropy_gpu, grads_gpu) = found
    assert torch.allclose(logp, logp_gpu, atol=2e-4)
    assert torch.allclose(entropy, entropy_gpu, atol=2e-4)
    assert grads.keys() == grads_gpu.keys()
    for name, grad in grads.items():
        assert (grad - grads_gpu[name]).norm() <= 1e-3 * grad.norm() + 1e-5, name
