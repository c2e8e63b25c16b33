"""Traces to training examples.

A data set is a function of judged trees (see `trees`): `reject` imitates correct responses, `pairs` prefers correct
responses to wrong ones, `process` prefers better steps to worse ones.  Each names the `objective` that usually learns
from it.
"""

from __future__ import annotations

from typing import Any

from trivium.registry import Registry

DATASETS: Registry[Any] = Registry(
    "dataset",
    {
        "reject": "trivium.data.reject:Reject",
        "pairs": "trivium.data.pairs:Pairs",
        "process": "trivium.data.step_pairs:Process",
    },
)

__all__ = ["DATASETS"]
