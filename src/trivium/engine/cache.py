"""The key-value cache of the rows that are being decoded, and attention over it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from trivium.models.attention import MASKED, attention, fold, unfold
from trivium.models.decoder import DecoderConfig

GROW = 32


def rounded(places: int) -> int:
    """The places a cache takes where `places` are needed: whole multiples of `GROW`."""
    return -(-places // GROW) * GROW


class Cache:
    """Keys and values of up to `rows` sequences, each with a length of its own, kept dense: rows 0..`used`-1 are live.

    Memory is [layers, rows, kv_heads, places, head_dim] twice; places grow as sequences do.  A finished row is
    overwritten by the last live one, so dropping costs one copy and a step never touches dead rows.
    """

    def __init__(self, c: DecoderConfig, dtype: torch.dtype) -> None:
        self.c, self.dtype = c, dtype
        self.keys = self.values = torch.empty(c.layers, 0, c.kv_heads, 0, c.head_dim, dtype=dtype)
        self.lengths = torch.zeros(0, dtype=torch.long)
        self.used = 0

    @property
    def places(self) -> int:
        return self.keys.shape[3]

    def reserve(self, rows: int, places: int) -> None:
        """Make room for `rows` sequences of `places` tokens, keeping what is there."""
        if rows <= self.keys.shape[1] and places <= self.places:
            return
        places = rounded(places)
        if self.used:  # an empty cache is made anew, so that one long batch does not set its size for ever
            rows, places = max(rows, self.keys.shape[1]), max(places, self.places)
        shape = (self.c.layers, rows, self.c.kv_heads, places, self.c.head_dim)
        for name in ("keys", "values"):
            old, new = getattr(self, name), torch.zeros(shape, dtype=self.dtype)
            if self.used:
                new[:, : self.used, :, : old.shape[3]] = old[:, : self.used]
            setattr(self, name, new)
        lengths = torch.zeros(rows, dtype=torch.long)
        lengths[: self.used] = self.lengths[: self.used]
        self.lengths = lengths

    def drop(self, row: int) -> None:
        """Forget `row`; the last live row moves into its place."""
        last = self.used - 1
        if row != last:
            n = int(self.lengths[last])
            self.keys[:, row, :, :n] = self.keys[:, last, :, :n]
            self.values[:, row, :, :n] = self.values[:, last, :, :n]
            self.lengths[row] = self.lengths[last]
        self.used = last


class Prefill:
    """Causal attention within each of several new prompts, and their keys and values written to the cache.

    Prompt j goes to the `copies[j]` rows that follow those of prompt j-1, starting at the first free row: computed
    once, shared by its whole group.
    """

    def __init__(self, cache: Cache, lengths: Sequence[int], copies: Sequence[int]) -> None:
        self.cache = cache
        longest = max(lengths)
        n = torch.tensor(lengths)
        cache.reserve(cache.used + sum(copies), longest + 1)
        starts = torch.cumsum(n, 0) - n
        self.real = torch.arange(longest) < n[:, None]
        self.at = (starts[:, None] + torch.arange(longest)) * self.real
        rep = cache.c.heads // cache.c.kv_heads
        causal = torch.ones(longest, longest, dtype=torch.bool).tril()
        mask = torch.zeros(longest, longest, dtype=cache.dtype).masked_fill_(~causal, MASKED)
        self.mask = mask.repeat(rep, 1).expand(len(n) * cache.c.kv_heads, -1, -1)
        self.source = torch.arange(len(n)).repeat_interleave(torch.tensor(copies))
        self.rows = slice(cache.used, cache.used + len(self.source))
        cache.lengths[self.rows] = n[self.source]
        cache.used += len(self.source)

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        qp, kp, vp = (x[self.at] for x in (q, k, v))
        kp, vp = kp.transpose(1, 2), vp.transpose(1, 2)
        places = kp.shape[2]
        self.cache.keys[layer, self.rows, :, :places] = kp[self.source]
        self.cache.values[layer, self.rows, :, :places] = vp[self.source]
        # Keys behind a prompt's end are padding, but causality already hides them from every real query.
        out = attention(fold(qp, k.shape[1]), kp, vp, self.mask, q.shape[-1] ** -0.5)
        return unfold(out, q.shape[1])[self.real]


class Step:
    """One new token for every live row: write its key and value, attend to the row's past and itself."""

    def __init__(self, cache: Cache) -> None:
        self.cache = cache
        self.rows = torch.arange(cache.used)
        self.lengths = cache.lengths[: cache.used].clone()
        cache.reserve(cache.used, int(self.lengths.max()) + 1)
        past = torch.arange(cache.places) <= self.lengths[:, None]
        c = cache.c
        mask = torch.zeros(past.shape, dtype=cache.dtype).masked_fill_(~past, MASKED)
        self.mask = mask[:, None, None].expand(-1, c.kv_heads, c.heads // c.kv_heads, -1).flatten(0, 1)
        cache.lengths[: cache.used] += 1

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        keys = self.cache.keys[layer, : len(self.rows)]
        values = self.cache.values[layer, : len(self.rows)]
        keys[self.rows, :, self.lengths] = k
        values[self.rows, :, self.lengths] = v
        b, heads, d = q.shape
        q = q.reshape(b, k.shape[1], heads // k.shape[1], d)
        # Over all places, the masked ones too: a slice is no longer contiguous, and its product many times slower.
        out = attention(q, keys, values, self.mask, d**-0.5)
        return out.reshape(b, heads, d)
