"""Before a training race: do both sides compute the same loss and the same gradient?

Both get the same float32 weights, token ids and rewards; each computes through its own trainer, micro-batches and all.
Policy-gradient losses are near 0 by construction (advantages sum to 0), so the gradient is what tells.  One row of one
matrix is left out: transformers' embedding never learns the padding token from where it is read (`padding_idx`), which
with many tokenizers is a token of every prompt; ours does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from benchmarks.worker import Facts, Worker
from trivium.errors import RunError

if TYPE_CHECKING:
    from torch import Tensor

    Gradient = tuple[float, dict[str, Tensor]]

GRADIENT_TOLERANCE = 1e-3
"""Largest relative difference |ours - theirs| / |theirs| over all weights; float32 sums in another order stay below."""
LOSS_TOLERANCE = 1e-4
EMBEDDING = "model.embed_tokens.weight"


def require_equal(kind: str, folder: str, lesson: Mapping[str, Any]) -> Facts:
    """The facts of a passed comparison, by a worker.  Raises RunError if loss or gradient differ: no race then."""
    with Worker(f"gradients:{kind}", folder=folder, lesson=dict(lesson)) as worker:
        facts = worker.turn()
    apart = abs(facts["loss_ours"] - facts["loss_theirs"])
    if not (facts["gradient_error"] <= GRADIENT_TOLERANCE and apart <= LOSS_TOLERANCE and facts["norm_theirs"] > 0):
        raise RunError(f"{kind}: the two sides do not compute the same thing, so their speeds do not compare: {facts}")
    return facts | {"gradient_tolerance": GRADIENT_TOLERANCE, "loss_tolerance": LOSS_TOLERANCE}


def compare(mine: Gradient, other: Gradient, pad: int | None) -> Facts:
    """How far two (loss, gradient by name) are apart.  Raises ValueError if they are not over the same weights."""
    if mine[1].keys() != other[1].keys():
        raise ValueError(f"gradients of different weights: {sorted(mine[1].keys() ^ other[1].keys())[:6]}")
    if pad is not None:
        for side in (mine, other):
            side[1][EMBEDDING][pad] = 0.0
    squares = {"ours": 0.0, "theirs": 0.0, "apart": 0.0}
    for name, a in mine[1].items():
        b = other[1][name]
        for key, x in (("ours", a), ("theirs", b), ("apart", a - b)):
            squares[key] += float(x.norm()) ** 2
    return {
        "loss_ours": mine[0],
        "loss_theirs": other[0],
        "norm_ours": squares["ours"] ** 0.5,
        "norm_theirs": squares["theirs"] ** 0.5,
        "gradient_error": (squares["apart"] / squares["theirs"]) ** 0.5,
    }
