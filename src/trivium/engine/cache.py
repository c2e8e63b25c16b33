"""Keys and values of the rows that are being decoded: dense storage, and stems that several rows share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from trivium.models.decoder import DecoderConfig

GROW, GPU_GROW = 32, 128
FEWEST = 8
"""Rows of the smallest step that is recorded on a GPU; others have twice as many each."""
NONE = -1
"""The stem of a row that has none."""
Past = Sequence[tuple[Tensor, Tensor]]
"""Keys and values of consecutive tokens, in pieces of [layers, kv_heads, tokens, head_dim]."""


def rounded(places: int, device: torch.device) -> int:
    """The places a cache takes where `places` are needed: whole multiples of `GROW`.

    On a GPU they double from `GPU_GROW` on, since whatever was recorded there is recorded again for another size.
    """
    if device.type == "cpu":
        return -(-places // GROW) * GROW
    return GPU_GROW << max(0, -(-places // GPU_GROW) - 1).bit_length()


def doubled(rows: int) -> int:
    """The rows that a step on a GPU is recorded for, and a cache there has room for, where `rows` are needed."""
    return max(FEWEST, 1 << (rows - 1).bit_length())


def _table(rows: int, device: torch.device) -> int:
    """The rows a cache takes where `rows` are needed."""
    return rows if device.type == "cpu" else doubled(rows)


def tokens_in(past: Past) -> int:
    """How many tokens the pieces hold."""
    return sum(keys.shape[2] for keys, _ in past)


def cut(past: Past, start: int, stop: int) -> list[tuple[Tensor, Tensor]]:
    """Tokens `start` to `stop` of what the pieces hold, or as many of them as there are."""
    out, at = [], 0
    for keys, values in past:
        n = keys.shape[2]
        part = slice(max(0, start - at), max(0, min(n, stop - at)))
        if part.start < part.stop:
            out.append((keys[:, :, part], values[:, :, part]))
        at += n
    return out


class Cache:
    """Keys and values of up to `rows` sequences, each with a length of its own, kept dense: rows 0..`used`-1 are live.

    Memory is [layers, rows, kv_heads, places, head_dim] twice; places grow as sequences do.  A finished row is
    overwritten by the last live one, so dropping costs one copy and a step never touches dead rows.  Keys and values
    are on `device`; `lengths`, which the bookkeeping reads, on the processor.  `moves` counts how often they moved.
    """

    def __init__(self, c: DecoderConfig, dtype: torch.dtype, device: torch.device) -> None:
        self.c, self.dtype, self.device = c, dtype, device
        self.keys = self.values = torch.empty(c.layers, 0, c.kv_heads, 0, c.head_dim, dtype=dtype, device=device)
        self.lengths = torch.zeros(0, dtype=torch.long)
        self.used = self.moves = 0

    @property
    def places(self) -> int:
        return self.keys.shape[3]

    def reserve(self, rows: int, places: int) -> None:
        """Make room for `rows` sequences of `places` tokens, keeping what is there."""
        if rows <= self.keys.shape[1] and places <= self.places:
            return
        rows, places = _table(rows, self.device), rounded(places, self.device)
        if self.used:  # an empty cache is made anew, so that one long batch does not set its size for ever
            rows, places = max(rows, self.keys.shape[1]), max(places, self.places)
        shape = (self.c.layers, rows, self.c.kv_heads, places, self.c.head_dim)
        for name in ("keys", "values"):
            old, new = getattr(self, name), torch.zeros(shape, dtype=self.dtype, device=self.device)
            if self.used:
                new[:, : self.used, :, : old.shape[3]] = old[:, : self.used]
            setattr(self, name, new)
        self.moves += 1
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

    def write(self, rows: slice, at: int, past: Past) -> None:
        """Put the pieces into each of `rows`, from place `at` on."""
        for keys, values in past:
            to = slice(at, at + keys.shape[2])
            self.keys[:, rows, :, to], self.values[:, rows, :, to] = keys[:, None], values[:, None]
            at = to.stop

    def piece(self, row: int, n: int) -> tuple[Tensor, Tensor]:
        """The first `n` tokens of a row."""
        return self.keys[:, row, :, :n], self.values[:, row, :, :n]


class BatchCache:
    """The rows of a running batch, each a stem that it may share with others, and what is its own.

    `own` holds a row's tokens behind its stem.  `stems` holds each stem once; `ids` are its tokens, and `stem_of` names
    the stem of each row, or NONE.  A stem goes with the last of its rows.  Attention over a shared stem reads its keys
    once for all its rows (Juravsky et al. 2024, arXiv:2402.05099).
    """

    def __init__(self, c: DecoderConfig, dtype: torch.dtype, device: torch.device) -> None:
        self.own, self.stems = Cache(c, dtype, device), Cache(c, dtype, device)
        self.ids: list[tuple[int, ...]] = []
        self.stem_of: list[int] = []

    @property
    def c(self) -> DecoderConfig:
        return self.own.c

    @property
    def dtype(self) -> torch.dtype:
        return self.own.dtype

    @property
    def device(self) -> torch.device:
        return self.own.device

    @property
    def used(self) -> int:
        """Live rows."""
        return self.own.used

    def open(self, ids: tuple[int, ...], past: Past) -> int:
        """A new stem of these tokens, whose first ones are copied from `past`; returns its number.

        What `past` does not hold must be computed before any row reads it.
        """
        stem, stems = self.stems.used, self.stems
        stems.reserve(stem + 1, len(ids))
        stems.lengths[stem] = len(ids)
        stems.used += 1
        stems.write(slice(stem, stem + 1), 0, cut(past, 0, len(ids)))
        self.ids.append(ids)
        return stem

    def stem_lengths(self, stems: Sequence[int]) -> Tensor:
        """How many tokens these stems hold, 0 for NONE."""
        return torch.tensor([0 if stem == NONE else len(self.ids[stem]) for stem in stems], dtype=torch.long)

    def past(self, row: int, n: int) -> Past:
        """Keys and values of the first `n` tokens of a row, stem included."""
        stem = self.stem_of[row]
        if stem == NONE:
            return [self.own.piece(row, n)]
        begun = min(n, len(self.ids[stem]))
        return [self.stems.piece(stem, begun), self.own.piece(row, n - begun)]

    def close(self) -> None:
        """Let no further row join the stems there are, such as when new weights would compute them otherwise."""
        self.ids = [(NONE,) * len(ids) for ids in self.ids]

    def drop(self, row: int) -> None:
        """Forget `row`; the last live row moves into its place."""
        self.own.drop(row)
        stem, last = self.stem_of[row], self.stem_of.pop()
        if row < len(self.stem_of):
            self.stem_of[row] = last
        if stem != NONE and stem not in self.stem_of:
            self._drop_stem(stem)

    def _drop_stem(self, stem: int) -> None:
        self.stems.drop(stem)
        moved = self.ids.pop()
        if stem < len(self.ids):
            self.ids[stem] = moved
            self.stem_of = [stem if of == len(self.ids) else of for of in self.stem_of]
