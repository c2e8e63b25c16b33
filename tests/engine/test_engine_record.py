"""What surrounds a recording: which rows it is made for, when it is thrown away, and what it writes beside live rows.

A step that is computed anew each time stands here for one that a GPU plays back (`test_engine_gpu.py` has those).
"""

from __future__ import annotations

import contextlib

import pytest
import torch
from tiny_models import decoder

from trivium.engine import cache, record, stems
from trivium.engine.attend import TokenAttention
from trivium.engine.cache import FEWEST, Cache, rounded
from trivium.engine.engine import Engine, Job
from trivium.types import Sampling

GPU = torch.device("cuda")
MADE: list[int] = []


class Anew:
    """In place of a recording: the same step, on the same numbers."""

    def __init__(self, model, own: Cache, given: torch.Tensor) -> None:
        self.model, self.own = model, own
        MADE.append(given.shape[1])

    def play(self, given: torch.Tensor) -> torch.Tensor:
        ids, lengths = given.unbind()
        return self.model.logits(self.model(ids, lengths, TokenAttention(self.own, lengths)))


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine takes the processor for a GPU."""
    MADE.clear()
    monkeypatch.setattr(record, "_Recording", Anew)
    monkeypatch.setattr(torch.cuda, "device", lambda device: contextlib.nullcontext())
    monkeypatch.setattr(Engine, "_records", True)
    monkeypatch.setattr(cache, "GPU_GROW", 16)
    monkeypatch.setattr(cache, "_table", lambda rows, device, table=cache._table: table(rows, GPU))
    monkeypatch.setattr(cache, "rounded", lambda places, device, size=rounded: size(places, GPU))


def engine() -> Engine:
    return Engine(decoder("llama"), eos=frozenset({11}), decode=str, max_rows=20)


def said(e: Engine) -> list[tuple[list[int], list[float]]]:
    """Samples of different lengths, half of which join while the others run."""
    jobs = [Job(tuple(range(20, 23 + i)), Sampling(max_tokens=5 + 7 * i), n=1 + 2 * i, seed=i) for i in range(5)]
    for job in jobs[:3]:
        e.submit(job)
    rows = [row for _ in range(3) for row in e.step()]
    for job in jobs[3:]:
        e.submit(job)
    while e.busy:
        rows += e.step()
    return [(r.ids, r.logprobs) for r in sorted(rows, key=lambda r: (jobs.index(r.job), r.index))]


def test_what_is_played_back_is_what_would_be_computed(recording: None, monkeypatch: pytest.MonkeyPatch) -> None:
    e = engine()
    played = said(e)
    assert set(MADE) == {8, 16, 32}
    assert e.cache is not None
    assert e.cache.own.keys.shape[1] == 32
    assert e.cache.own.places == 64, "sizes double, as the longest row needs 41"
    monkeypatch.undo()
    monkeypatch.setattr(stems, "WORTHWHILE", 1 << 60)
    computed = said(engine())
    assert [ids for ids, _ in played] == [ids for ids, _ in computed]
    for (_, a), (_, b) in zip(played, computed, strict=True):
        assert a == pytest.approx(b, abs=1e-4)


def test_steps_are_recorded_again_only_where_something_moved(recording: None) -> None:
    e = engine()
    said(e)
    e.reset()
    MADE.clear()
    said(e)
    assert MADE, "the cache was given back, and another is elsewhere"
    said(e)  # what was recorded before the cache grew for the last time is recorded for its new place
    assert e.cache is not None
    known, moves = len(MADE), e.cache.own.moves
    first = e.recordings
    said(e)
    assert (len(MADE), e.cache.own.moves) == (known, moves), "the cache has room, and the weights are where they were"
    with torch.no_grad():
        e.model.norm.weight.mul_(2)
    said(e)
    assert e.recordings is first
    e.model.load_state_dict({name: w.clone() for name, w in e.model.state_dict().items()}, assign=True)
    said(e)
    assert e.recordings is not first


def test_sizes_on_a_gpu_double() -> None:
    assert [cache._table(rows, GPU) for rows in (1, 8, 9, 64, 65)] == [FEWEST, 8, 16, 64, 128]
    assert [rounded(n, GPU) for n in (1, 128, 129, 256, 257, 1000)] == [128, 128, 256, 256, 512, 1024]
    assert [rounded(n, torch.device("cpu")) for n in (1, 32, 33)] == [32, 32, 64]
