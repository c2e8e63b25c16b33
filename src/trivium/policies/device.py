"""Where a policy's weights are computed with: on the processor, or on a GPU that torch knows as CUDA."""

from __future__ import annotations

import re

import psutil
import torch

from trivium.errors import UserError

CPU = torch.device("cpu")
CPU_ROWS, GPU_ROWS = 128, 1024
"""Samples in the making at a time where nobody says how many."""
CPU_CACHE, GPU_SHARE = 1 << 30, 0.2
"""Bytes of keys and values that run, and as many that are kept for later; on a GPU, each of them in shares of what is
free.
"""


def resolve_device(name: str) -> torch.device:
    """`auto` (a GPU where there is one), `cpu`, `cuda` or `cuda:1` to a torch device.

    Raises UserError for anything else, and for a GPU that is not there.
    """
    if name == "auto":
        return torch.device("cuda") if torch.cuda.is_available() else CPU
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise UserError(f"device={name!r}: expected auto, cpu, cuda, or cuda:N for GPU number N")
    device = torch.device(name)
    if device.type == "cuda":
        there = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= there:
            raise UserError(
                f"device={name}: torch {torch.__version__} sees {there or 'no'} GPU{'s' if there > 1 else ''} here;"
                " expected device=cpu, a GPU that is there, or a build of torch for it"
            )
    return device


def usual_rows(device: torch.device) -> int:
    """How many samples suit a device at a time."""
    return CPU_ROWS if device.type == "cpu" else GPU_ROWS


def cache_bytes(device: torch.device) -> int:
    """How many bytes of keys and values suit a device as it is now."""
    return CPU_CACHE if device.type == "cpu" else int(free_bytes(device) * GPU_SHARE)


def free_bytes(device: torch.device) -> int:
    """The bytes that nothing has taken, those among them that torch holds ready."""
    if device.type == "cpu":
        return int(psutil.virtual_memory().available)
    ready = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info(device)[0] + ready)
