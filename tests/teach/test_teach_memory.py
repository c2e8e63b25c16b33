"""How many tokens are learned from at a time: as told, else as suits the device and fits into it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny_models import decoder

from trivium.policies.device import GPU_SHARE
from trivium.teach import memory
from trivium.teach.memory import LEAST, ON_GPU, micro_tokens, needed_bytes
from trivium.teach.settings import LearnSettings


def test_the_processor_takes_what_was_measured_to_be_fastest_there() -> None:
    model = decoder("llama")
    assert micro_tokens(LearnSettings(policy="smollm2"), model) == LEAST
    assert micro_tokens(LearnSettings(policy="tiny:1M"), model) == 8192
    assert micro_tokens(LearnSettings(policy="smollm2", micro_tokens=7), model) == 7


def test_a_gpu_takes_as_many_as_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    real = decoder("llama")
    model: Any = SimpleNamespace(
        c=real.c, head=real.head, parameters=real.parameters, device=torch.device("cuda")
    )  # fmt: skip
    settings = LearnSettings(policy="smollm2")
    exactly = needed_bytes(model, 2000) / (1 - 2 * GPU_SHARE) + 1
    for free, tokens in ((1e12, ON_GPU), (exactly, 2000), (0, LEAST)):
        monkeypatch.setattr(memory, "free_bytes", lambda device, free=free: free)
        assert micro_tokens(settings, model) == tokens
    assert micro_tokens(LearnSettings(policy="smollm2", micro_tokens=99_999), model) == 99_999
    assert needed_bytes(model, 2000) > needed_bytes(model, 1000) > 0
