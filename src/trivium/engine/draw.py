"""Draw one token a row from logits, given one uniform number a row, and say how likely it was.

`torch.multinomial` draws a random number for every entry of the vocabulary, which costs as much as the rest of a
decoding step.  Inverting the cumulative distribution needs one number a row; done in two levels (blocks, then inside
the chosen block) it reads the probabilities once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from trivium.errors import RunError
from trivium.types import Sampling

BLOCK = 256
CHUNK = 1 << 19
"""Float32 logits worked on at a time: 2 MB, 10 rows of a vocabulary of 49,152."""
GPU_CHUNK = 1 << 27
"""The same on a GPU, whose memory is not a cache: half a gigabyte."""
COLDEST = 1e-30
"""Lower temperatures would divide by 0 in float32; this one is greedy to the last bit already."""


def draw(logits: Tensor, u: Tensor, sampling: Sequence[Sampling]) -> tuple[Tensor, Tensor]:
    """Sample ids [B] and their log-probs [B] from logits [B, vocab] with u [B] uniform in [0, 1).

    Both are on the device of the logits.  The log-prob is that of the untruncated distribution at temperature 1,
    whatever the row's temperature, top-k and top-p: it is what a training forward computes for the same token.  Ties of
    a greedy row go to the lowest id.  Raises RunError for logits that are not finite.
    """
    rows, u = max(1, (CHUNK if logits.device.type == "cpu" else GPU_CHUNK) // logits.shape[1]), u.to(logits.device)
    parts = [slice(at, at + rows) for at in range(0, len(logits), rows)]
    ids, logprobs = zip(*(_draw(logits[part].float(), u[part], sampling[part]) for part in parts), strict=True)
    return torch.cat(ids), torch.cat(logprobs)


def _draw(z: Tensor, u: Tensor, sampling: Sequence[Sampling]) -> tuple[Tensor, Tensor]:
    """`draw` for float32 logits, few enough to stay in the processor's cache from one pass to the next."""
    top = z.amax(-1, keepdim=True)
    weights = (z - top).exp_()
    lse = (top + weights.sum(-1, keepdim=True).log_()).squeeze(1)
    if not bool(lse.isfinite().all()):
        raise RunError(
            "the model's output is not finite, so nothing can be sampled from it; its weights are damaged, or training"
            " with too high an --lr has ruined them"
        )
    greedy = [s.temperature == 0 for s in sampling]
    if all(greedy):
        ids = z.argmax(-1)
    elif all(s.temperature == 1 and s.top_k == 0 and s.top_p == 1 for s in sampling):
        ids = invert(weights, u)
    else:
        heat = torch.tensor([s.temperature or 1.0 for s in sampling], device=z.device).clamp_(min=COLDEST)
        p = torch.softmax((z - top) / heat[:, None], dim=-1)
        for i, s in enumerate(sampling):
            if s.top_k or s.top_p < 1:
                p[i] = nucleus(p[i], s.top_k, s.top_p)
        ids = torch.where(torch.tensor(greedy, device=z.device), z.argmax(-1), invert(p, u))
    return ids, z.gather(1, ids[:, None]).squeeze(1) - lse


def invert(p: Tensor, u: Tensor) -> Tensor:
    """The first id whose cumulative weight exceeds u * total: p [B, vocab] non-negative, u [B] in [0, 1), ids [B].

    Never returns an id of weight 0.
    """
    b, vocab = p.shape
    if vocab % BLOCK:
        p = torch.nn.functional.pad(p, (0, BLOCK - vocab % BLOCK))
    blocks = p.view(b, -1, BLOCK)
    # Only the few block sums go to float64; they decide the block, so rounding must not push u past the end.
    coarse = blocks.sum(-1).double().cumsum(-1)
    target = u.double() * coarse[:, -1]
    block = torch.searchsorted(coarse, target[:, None], right=True).clamp_(max=coarse.shape[1] - 1)
    before = torch.where(block > 0, coarse.gather(1, (block - 1).clamp_(min=0)), 0.0)
    inside = blocks.gather(1, block[..., None].expand(-1, 1, BLOCK)).squeeze(1).double()
    fine = inside.cumsum(-1)
    place = torch.searchsorted(fine, target[:, None] - before, right=True)
    # Rounding between the two levels may overshoot the block's last weighted entry: step back onto it.
    last = BLOCK - 1 - inside.flip(-1).gt(0).float().argmax(-1, keepdim=True)
    return (block * BLOCK + torch.minimum(place, last)).squeeze(1)


def nucleus(p: Tensor, top_k: int, top_p: float) -> Tensor:
    """Zero all but the `top_k` likeliest entries, then all but the smallest set reaching `top_p` (Holtzman et al.
    2020).

    p [vocab] sums to 1; the result is not renormalised.  Filters apply in that order, as in transformers.
    """
    kept, order = p.topk(min(top_k, len(p))) if top_k else p.sort(descending=True)
    if top_p < 1:
        share = kept / kept.sum()
        kept = torch.where(share.cumsum(-1) - share < top_p, kept, 0.0)
    return torch.zeros_like(p).scatter_(0, order, kept)


class Uniforms:
    """The stream of uniform numbers of one sample, a function of (seed, index) alone: batches never change it."""

    __slots__ = ("_buffer", "_rng", "_used")

    def __init__(self, seed: int, index: int) -> None:
        self._rng = np.random.Generator(np.random.Philox(key=np.array([seed % 2**64, index], dtype=np.uint64)))
        self._buffer: list[float] = []
        self._used = 0

    def next(self) -> float:
        if self._used == len(self._buffer):
            self._buffer, self._used = self._rng.random(64).tolist(), 0
        self._used += 1
        return self._buffer[self._used - 1]
