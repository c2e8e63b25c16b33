"""A policy's spec says where it is computed with, and what is not there is one message."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
import torch
from tiny_models import local, on_gpu

from trivium.errors import UserError
from trivium.policies import policy, whole
from trivium.policies.device import CPU_ROWS, GPU_ROWS, cache_bytes, free_bytes, resolve_device, usual_rows
from trivium.policies.local import LocalPolicy
from trivium.policies.streaming import StreamingPolicy, streaming
from trivium.types import Message, Request, Sampling

ASK = (Message("user", "one two"),)


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "mps", "", "cpu:0"])
def test_a_device_that_does_not_exist_is_named(name: str) -> None:
    with pytest.raises(UserError, match="expected auto, cpu, cuda"):
        resolve_device(name)


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == torch.device("cpu")
    with pytest.raises(UserError, match=r"device=cuda: torch .* sees no GPU here; expected device=cpu"):
        policy("tiny:10k,device=cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("auto") == torch.device("cuda")
    assert resolve_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(UserError, match="sees 2 GPUs here"):
        resolve_device("cuda:2")


def test_without_a_gpu_a_folder_is_read_to_the_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    local().save(tmp_path)
    made = policy(str(tmp_path))
    assert isinstance(made, LocalPolicy)
    assert (made.model.device, made.max_rows) == (torch.device("cpu"), CPU_ROWS)
    assert usual_rows(made.model.device) == CPU_ROWS < GPU_ROWS == usual_rows(torch.device("cuda"))
    assert made.engine.cache_bytes == made.engine.prefixes.limit == cache_bytes(made.model.device)


def test_a_folder_is_an_hf_policy(tmp_path: Path) -> None:
    assert whole(f"{tmp_path},device=cpu") == f"hf:{tmp_path},device=cpu"
    assert whole("tiny:10k,device=cpu") == "tiny:10k,device=cpu"


@on_gpu
def test_weights_start_alike_everywhere_and_say_the_same() -> None:
    made = {device: policy(f"tiny:100k,device={device}") for device in ("cpu", "cuda")}
    asked = Request(ASK, Sampling(max_tokens=20), n=5, seed=3)
    said = {device: asyncio.run(one.sample(asked)) for device, one in made.items()}
    assert [c.segment.ids for c in said["cpu"]] == [c.segment.ids for c in said["cuda"]]
    segments = [c.segment for c in said["cpu"]]
    scored = {device: asyncio.run(one.score(asked, segments)) for device, one in made.items()}
    for a, b in zip(scored["cpu"], scored["cuda"], strict=True):
        assert a == pytest.approx(b, abs=1e-4)


@on_gpu
def test_a_folder_is_read_to_the_gpu_and_written_from_it(tmp_path: Path) -> None:
    local().save(tmp_path / "first")
    made = policy(str(tmp_path / "first"))
    assert isinstance(made, LocalPolicy)
    assert made.model.device.type == "cuda"
    assert made.model.head.dtype == torch.bfloat16
    assert made.max_rows == GPU_ROWS
    assert 0 < made.engine.cache_bytes == made.engine.prefixes.limit < free_bytes(made.model.device) / 2
    made.save(tmp_path / "second")
    again = policy(f"{tmp_path / 'second'},device=cpu,dtype=fp32")
    assert isinstance(again, LocalPolicy)
    theirs = made.model.state_dict()
    assert all(torch.equal(w, theirs[name].float().cpu()) for name, w in again.model.state_dict().items())


@on_gpu
def test_what_is_recorded_serves_the_next_call_too() -> None:
    made = policy("tiny:100k,device=cuda")
    assert isinstance(made, LocalPolicy)
    asyncio.run(made.sample(Request(ASK, Sampling(max_tokens=8), n=5)))
    kept = made.engine.recordings
    assert kept is not None
    asyncio.run(made.sample(Request(ASK, Sampling(max_tokens=8), n=5, seed=1)))
    assert made.engine.recordings is kept
    assert made.engine.cache is not None
    assert made.engine.cache.own.moves == 1


@on_gpu
def test_adapters_are_where_their_weights_are(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    local().save(tmp_path)
    made = policy(f"{tmp_path},lora=4,device=cuda")
    assert isinstance(made, LocalPolicy)
    assert {p.device.type for p in made.model.parameters()} == {"cuda"}
    assert len(asyncio.run(made.sample(Request(ASK, Sampling(max_tokens=4), n=2)))) == 2


@on_gpu
def test_a_sample_can_be_held_to_json_there() -> None:
    made = streaming(policy("tiny:100k,device=cuda"))
    assert isinstance(made, StreamingPolicy)
    [said] = asyncio.run(made.count(Request(ASK, Sampling(max_tokens=200), seed=1), lambda: None, as_json=True))
    if said.finish == "stop":
        assert isinstance(json.loads(said.segment.text), dict)
    assert said.segment.text.lstrip().startswith("{")
