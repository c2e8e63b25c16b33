"""The key-value cache of the rows that are being decoded, and attention over it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from trivium.models.attention import MASKED, attention, fold, unfold
from trivium.models.decoder import DecoderConfig

GROW = 32
Past = Sequence[tuple[Tensor, Tensor]]
"""Keys and values of consecutive tokens, in pieces of [layers, kv_heads, tokens, head_dim]."""


def rounded(places: int) -> int:
    """The places a cache takes where `places` are needed: whole multiples of `GROW`."""
    return -(-places // GROW) * GROW


def tokens_in(past: Past) -> int:
    """How many tokens the pieces hold."""
    return sum(keys.shape[2] for keys, _ in past)


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
    """Attention for several new prompts, whose keys and values go to the cache.

    Prompt j goes to the `copies[j]` rows that follow those of prompt j-1, starting at the first free row: computed
    once, shared by its whole group.  `pasts[j]` holds the keys and values of its first tokens, in pieces, where they
    are known already: those are copied, and only the `lengths[j]` tokens after them are computed.
    """

    def __init__(self, cache: Cache, lengths: Sequence[int], copies: Sequence[int], pasts: Sequence[Past]) -> None:
        self.cache = cache
        new = torch.tensor(lengths)
        past = torch.tensor([tokens_in(pieces) for pieces in pasts])
        total = past + new
        cache.reserve(cache.used + sum(copies), int(total.max()) + 1)
        self.source = torch.arange(len(new)).repeat_interleave(torch.tensor(copies))
        rows = torch.arange(cache.used, cache.used + len(self.source))
        cache.lengths[rows] = total[self.source]
        cache.used += len(rows)
        self.first = rows[torch.tensor(copies).cumsum(0) - torch.tensor(copies)]
        for j, pieces in enumerate(pasts):
            at, mine = 0, slice(int(self.first[j]), int(self.first[j]) + copies[j])
            for keys, values in pieces:
                to = slice(at, at + keys.shape[2])
                cache.keys[:, mine, :, to], cache.values[:, mine, :, to] = keys[:, None], values[:, None]
                at = to.stop
        steps = torch.arange(int(new.max()))
        self.real = steps < new[:, None]
        self.at = ((new.cumsum(0) - new)[:, None] + steps) * self.real
        self.positions = (past[:, None] + steps)[self.real]
        # Where each copy of each token goes.
        owner = torch.arange(len(new)).repeat_interleave(new)
        token, self.to_row = (owner[:, None] == self.source).nonzero(as_tuple=True)
        self.token, self.to_row, self.place = token, rows[self.to_row], self.positions[token]
        self.places = int(total.max())
        sees = torch.arange(self.places) <= (past[:, None] + steps)[..., None]
        mask = torch.zeros(sees.shape, dtype=cache.dtype).masked_fill_(~sees, MASKED)
        rep, kv = cache.c.heads // cache.c.kv_heads, cache.c.kv_heads
        self.mask = mask.repeat(1, rep, 1)[:, None].expand(-1, kv, -1, -1).flatten(0, 1)

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        keys, values = self.cache.keys[layer], self.cache.values[layer]
        keys[self.to_row, :, self.place] = k[self.token]
        values[self.to_row, :, self.place] = v[self.token]
        own = keys[self.first, :, : self.places], values[self.first, :, : self.places]
        # Places behind a prompt's end hold anything, but causality hides them from every real query.
        out = attention(fold(q[self.at], k.shape[1]), *own, self.mask, q.shape[-1] ** -0.5)
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
