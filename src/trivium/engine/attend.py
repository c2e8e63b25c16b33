"""Attention over a `BatchCache`: of new prompts (`Prefill`) and of one new token for every row (`Step`).

Grouped-query attention never copies keys: the query heads that share a key head are folded into the rows of one
product.

Who goes where is worked out on the processor; what a layer reads of it is sent to the cache's device once, before the
first.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from trivium.engine.cache import NONE, BatchCache, Cache, Past, cut, tokens_in
from trivium.models.attention import MASKED, additive, probabilities


class Prefill:
    """Attention for several new prompts, whose keys and values go to the cache.

    Prompt j goes to the `copies[j]` rows that follow those of prompt j-1, starting at the first free row: computed
    once, shared by its whole group.  It begins with stem `stems[j]` of the cache, or with none.  `pasts[j]` holds the
    keys and values of its first tokens, in pieces, where they are known already, and only the `lengths[j]` tokens after
    them are computed: what belongs to the stem is written there, the rest to every row of the group.
    """

    def __init__(
        self, cache: BatchCache, lengths: Sequence[int], copies: Sequence[int], pasts: Sequence[Past],
        stems: Sequence[int],
    ) -> None:  # fmt: skip
        self.cache, own = cache, cache.own
        new = torch.tensor(lengths)
        past = torch.tensor([tokens_in(pieces) for pieces in pasts])
        begun = cache.stem_lengths(stems)
        total = past + new - begun
        own.reserve(own.used + sum(copies), int(total.max()) + 1)
        self.source = torch.arange(len(new)).repeat_interleave(torch.tensor(copies))
        rows = torch.arange(own.used, own.used + len(self.source))
        own.lengths[rows] = total[self.source]
        own.used += len(rows)
        cache.stem_of += [stems[j] for j in self.source.tolist()]
        self.first = rows[torch.tensor(copies).cumsum(0) - torch.tensor(copies)]
        for j, pieces in enumerate(pasts):
            mine = slice(int(self.first[j]), int(self.first[j]) + copies[j])
            own.write(mine, 0, cut(pieces, int(begun[j]), int(past[j])))
        starts = new.cumsum(0) - new
        self.ends = starts + new - 1
        owner = torch.arange(len(new)).repeat_interleave(new)
        self.positions = past[owner] + torch.arange(int(new.sum())) - starts[owner]
        # Where each token goes: to its prompt's stem, or to each row of the group.
        place = self.positions - begun[owner]
        of_stem = (place < 0).nonzero().flatten()
        stem = torch.tensor(stems)
        token, to_row = ((owner[:, None] == self.source) & (place >= 0)[:, None]).nonzero(as_tuple=True)
        self.of_stem, self.to_stem, self.stem_place, self.token, self.to_row, self.place = (
            x.to(cache.device)
            for x in (of_stem, stem[owner[of_stem]], self.positions[of_stem], token, rows[to_row], place[token])
        )
        self.blocks = [
            _Block(cache, *(x[members] for x in (starts, new, past, begun, self.first, stem)))
            for members in _alike(lengths)
        ]

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        for own, stems, new in (
            (self.cache.own.keys, self.cache.stems.keys, k), (self.cache.own.values, self.cache.stems.values, v)
        ):  # fmt: skip
            own[layer][self.to_row, :, self.place] = new[self.token]
            stems[layer][self.to_stem, :, self.stem_place] = new[self.of_stem]
        out = torch.empty_like(q)
        for block in self.blocks:
            out[block.tokens] = block(layer, q)
        return out


def _alike(lengths: Sequence[int]) -> list[list[int]]:
    """Indices of lengths within a factor of two: what is computed together is padded to the longest."""
    sizes: dict[int, list[int]] = {}
    for i, length in enumerate(lengths):
        sizes.setdefault(length.bit_length(), []).append(i)
    return list(sizes.values())


class _Block:
    """Attention of prompts with about as many new tokens each, given for each prompt: where its tokens start in the
    flat list, how many are new, known before them and part of its stem; its first row and its stem.
    """

    def __init__(
        self, cache: BatchCache, starts: Tensor, new: Tensor, past: Tensor, begun: Tensor, first: Tensor, stem: Tensor
    ) -> None:
        self.cache = cache
        steps = torch.arange(int(new.max()))
        real = steps < new[:, None]
        at = (starts[:, None] + steps) * real
        self.places = int((past + new - begun).max())
        shared = bool(begun.max())
        self.first, self.at, self.tokens, self.real, past, begun, steps, stem = (
            x.to(cache.device)
            for x in (first, at, at[real], real.flatten().nonzero().flatten(), past, begun, steps, stem.clamp(min=0))
        )
        positions = past[:, None] + steps
        sees = torch.arange(self.places, device=cache.device) <= (positions - begun[:, None])[..., None]
        self.stem = None
        if shared:
            self.stem = stem
            at = torch.arange(cache.stems.places, device=cache.device)
            sees = torch.cat(((at <= positions[..., None]) & (at < begun[:, None, None]), sees), dim=-1)
        mask = additive(sees, cache.dtype)
        rep, kv = cache.c.heads // cache.c.kv_heads, cache.c.kv_heads
        self.mask = mask.repeat(1, rep, 1)[:, None].expand(-1, kv, -1, -1).flatten(0, 1)

    def __call__(self, layer: int, q: Tensor) -> Tensor:
        own, stems = self.cache.own, self.cache.stems
        keys, values = (
            self._seen(own.keys[layer], stems.keys[layer]),
            self._seen(own.values[layer], stems.values[layer]),
        )
        # Places behind a prompt's end hold anything, but causality hides them from every real query.
        out = attention(fold(q[self.at], self.cache.c.kv_heads), keys, values, self.mask, q.shape[-1] ** -0.5)
        return unfold(out, q.shape[1]).flatten(0, 1)[self.real]

    def _seen(self, own: Tensor, stems: Tensor) -> Tensor:
        seen = own[self.first, :, : self.places]
        return seen if self.stem is None else torch.cat((stems[self.stem], seen), dim=2)


class Step:
    """One new token for each of the first `rows` rows: write its key and value, attend to the row's past and itself."""

    def __init__(self, cache: BatchCache, rows: int) -> None:
        own = cache.own
        self.lengths = own.lengths[:rows].clone()
        stem_of = cache.stem_of[:rows]
        self.positions = self.lengths + cache.stem_lengths(stem_of)
        own.reserve(own.used, int(self.lengths.max()) + 1)
        own.lengths[:rows] += 1
        self.stems = StemAttention(cache, stem_of) if max(stem_of) != NONE else None
        self._own = own

    @functools.cached_property
    def _tokens(self) -> TokenAttention:
        """Made when it is called for: a step that is played back has no use for it."""
        return TokenAttention(self._own, self.lengths.to(self._own.device), self.stems)

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return self._tokens(layer, q, k, v)


class TokenAttention:
    """Attention of one token in each of a cache's first rows, which hold `lengths` [B] tokens before it.

    It reads nothing but tensors of the cache's device, so that a GPU can play it back.
    """

    def __init__(self, own: Cache, lengths: Tensor, stems: StemAttention | None = None) -> None:
        self.own, self.lengths, self.stems = own, lengths, stems
        self.rows = torch.arange(len(lengths), device=own.device)
        past = torch.arange(own.places, device=own.device) <= lengths[:, None]
        c = own.c
        mask = additive(past, own.dtype)
        self.mask = mask[:, None, None].expand(-1, c.kv_heads, c.heads // c.kv_heads, -1).flatten(0, 1)

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        keys, values = self.own.keys[layer, : len(self.rows)], self.own.values[layer, : len(self.rows)]
        keys[self.rows, :, self.lengths] = k
        values[self.rows, :, self.lengths] = v
        b, heads, d = q.shape
        q = q.reshape(b, k.shape[1], heads // k.shape[1], d)
        # Over all places, the masked ones too: a slice is no longer contiguous, and its product many times slower.
        if self.stems is None:
            out = attention(q, keys, values, self.mask, d**-0.5)
        else:
            out = self.stems.attention(layer, q, keys, values, self.mask)
        return out.reshape(b, heads, d)


class Mixed:
    """The tokens of a step, then those of new prompts, in one pass: weights are read once for both."""

    def __init__(self, step: Step, prefill: Prefill) -> None:
        self.step, self.prefill = step, prefill
        self.positions = torch.cat((step.positions, prefill.positions))

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        n = len(self.step.lengths)
        return torch.cat((self.step(layer, q[:n], k[:n], v[:n]), self.prefill(layer, q[n:], k[n:], v[n:])))


class StemAttention:
    """Attention of one token a row to its stem and to what is its own, as one softmax.

    The rows of a stem are the rows of one product with its keys.  For that they are placed in a table of stems times
    the most rows that any has: `at` is the row of each place, and `home` the place of each row.
    """

    def __init__(self, cache: BatchCache, stem_of: Sequence[int]) -> None:
        stems = cache.stems
        self.cache, self.shape = stems, (stems.used, max(map(stem_of.count, range(stems.used))))
        places = self.shape[0] * self.shape[1]
        taken = [0] * stems.used
        home, at = [], [0] * places
        for row, stem in enumerate(stem_of):
            home.append(0)
            if stem != NONE:
                home[row] = stem * self.shape[1] + taken[stem]
                at[home[row]] = row
                taken[stem] += 1
        device = cache.device
        self.at, self.home = torch.tensor(at, device=device), torch.tensor(home, device=device)
        self.in_order = home == list(range(places))
        stemless = torch.tensor(stem_of, device=device) == NONE
        self.stemless = stemless[:, None, None, None] if NONE in stem_of else None
        c = cache.c
        lengths = stems.lengths[: stems.used, None].to(device)
        sees = torch.arange(stems.places, device=device) < lengths
        mask = additive(sees, stems.dtype)
        rows = self.shape[1] * (c.heads // c.kv_heads)
        self.mask = mask[:, None, None].expand(-1, c.kv_heads, rows, -1).flatten(0, 1)

    def attention(self, layer: int, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        """q [B, kv, rep, d], own keys and values [B, kv, S, d], their mask [B * kv, rep, S], to [B, kv, rep, d]."""
        b, kv, rep, d = q.shape
        scale, places, stems = d**-0.5, self.cache.places, self.shape[0]
        keys, values = self.cache.keys[layer, :stems].flatten(0, 1), self.cache.values[layer, :stems].flatten(0, 1)
        shared = self._home(torch.baddbmm(self.mask, self._placed(q), keys.transpose(1, 2), alpha=scale), kv)
        if self.stemless is not None:
            shared = shared.masked_fill(self.stemless, MASKED)
        own = torch.baddbmm(mask, q.reshape(b * kv, rep, d), k.flatten(0, 1).transpose(1, 2), alpha=scale)
        p = torch.softmax(torch.cat((shared, own.view(b, kv, rep, -1)), dim=-1), dim=-1)
        out = self._home(torch.bmm(self._placed(p[..., :places]), values), kv)
        if self.stemless is not None:
            out = out.masked_fill(self.stemless, 0)
        own = p[..., places:].reshape(b * kv, rep, -1)
        return torch.baddbmm(out.reshape(b * kv, rep, d), own, v.flatten(0, 1)).view(b, kv, rep, d)

    def _placed(self, x: Tensor) -> Tensor:
        """[B, kv, rep, n] to the table [stems * kv, rows * rep, n]."""
        kv, rep, n = x.shape[1:]
        x = x if self.in_order else x.index_select(0, self.at)
        return x.reshape(*self.shape, kv, rep, n).transpose(1, 2).reshape(-1, self.shape[1] * rep, n)

    def _home(self, x: Tensor, kv: int) -> Tensor:
        """The inverse of `_placed`."""
        x = x.view(self.shape[0], kv, self.shape[1], -1, x.shape[-1]).transpose(1, 2).flatten(0, 1)
        return x if self.in_order else x.index_select(0, self.home)


def fold(q: Tensor, kv_heads: int) -> Tensor:
    """Queries [B, T, heads, d] to [B, kv_heads, rep * T, d]: the heads that share a key become rows."""
    b, t, heads, d = q.shape
    rep = heads // kv_heads
    return q.view(b, t, kv_heads, rep, d).permute(0, 2, 3, 1, 4).reshape(b, kv_heads, rep * t, d)


def unfold(x: Tensor, heads: int) -> Tensor:
    """The inverse of `fold`: [B, kv_heads, rep * T, d] to [B, T, heads, d]."""
    b, kv, rows, d = x.shape
    rep = heads // kv
    return x.view(b, kv, rep, rows // rep, d).permute(0, 3, 1, 2, 4).reshape(b, rows // rep, heads, d)


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, scale: float) -> Tensor:
    """softmax(scale q k^T + mask) v: q [B, kv, M, d], k and v [B, kv, S, d], mask [B * kv, M, S], to [B, kv, M, d]."""
    p = probabilities(q.flatten(0, 1), k.flatten(0, 1), mask, scale)
    return torch.bmm(p, v.flatten(0, 1)).view(q.shape)
