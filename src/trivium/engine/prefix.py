"""Keys and values of token sequences that a search may come back to, shared where the sequences begin alike.

A radix tree: every node holds a run of tokens with their keys and values, and its children begin with different
tokens.  What a tree search extends was prompt or sampled before, so extending it computes only what is new.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from trivium.engine.cache import Past, cut

WORTHWHILE = 128
"""Tokens that computing a beginning apart must save: a pass of its own costs about as much as half of them."""


def agreement(a: Sequence[int], b: Sequence[int]) -> int:
    """How many tokens two sequences begin with alike."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


@dataclass(eq=False, slots=True)
class Run:
    """Tokens in a row below `parent`; `keys` and `values` are [layers, kv_heads, len(tokens), head_dim]."""

    tokens: tuple[int, ...]
    keys: Tensor
    values: Tensor
    parent: Run | None
    used: int
    children: dict[int, Run] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return 2 * self.keys.numel() * self.keys.element_size()


class PrefixStore:
    """At most `limit` bytes of keys and values; what was not read for longest goes first, leaves before their stems."""

    def __init__(self, limit: int) -> None:
        self.limit, self.size = limit, 0
        self._clock = itertools.count()
        self._root = Run((), torch.empty(0), torch.empty(0), None, 0)

    def find(self, ids: Sequence[int]) -> list[tuple[Tensor, Tensor]]:
        """Keys and values of the longest stored beginning of `ids`, in pieces along the tokens."""
        return [(run.keys[:, :, :n], run.values[:, :, :n]) for run, n in self._walk(ids)]

    def known(self, ids: Sequence[int]) -> int:
        """How many tokens `find` would find."""
        return sum(n for _, n in self._walk(ids))

    def add(self, ids: Sequence[int], past: Past) -> None:
        """Store a sequence whose keys and values `past` holds; only what is new is copied, and nothing that could never
        fit.
        """
        path = list(self._walk(ids))
        at = sum(n for _, n in path)
        new = cut(past, at, len(ids))
        if not 0 < sum(part.nbytes for pair in new for part in pair) <= self.limit:
            return
        stem = self._root
        if path:
            stem, n = path[-1]
            if n < len(stem.tokens):
                stem = self._split(stem, n)
        keys, values = (torch.cat(parts, dim=2) for parts in zip(*new, strict=True))
        run = Run(tuple(ids[at:]), keys, values, stem, next(self._clock))
        stem.children[ids[at]] = run
        self.size += run.size
        if self.size > self.limit:
            self._shrink()

    def worth_sharing(self, prompts: Sequence[tuple[int, ...]], token_bytes: int) -> tuple[int, ...]:
        """The beginning that several prompts have and the store has not, and that saves most if computed once.

        Empty where none saves `WORTHWHILE` tokens, or there is no room for its keys and values of `token_bytes` a
        token.  The last token of a prompt is never part of it.
        """
        longest = self._kept // token_bytes
        known = {p: self.known(p[:-1]) for p in prompts}
        # In order, whatever begins alike is side by side, and alike as far as its least alike neighbours are.
        ordered = sorted(known)
        alike = [agreement(a[:-1], b[:-1]) for a, b in itertools.pairwise(ordered)]
        best: tuple[int, ...] = ()
        most = WORTHWHILE - 1
        for i, prompt in enumerate(ordered):
            shortest = len(prompt)
            for others, n in enumerate(alike[i:], 1):
                shortest = min(shortest, n)
                if shortest <= known[prompt]:
                    break
                if shortest <= longest and (saved := others * (shortest - known[prompt])) > most:
                    best, most = prompt[:shortest], saved
        return best

    def clear(self) -> None:
        """Forget everything."""
        self._root.children.clear()
        self.size = 0

    @property
    def _kept(self) -> int:
        """The bytes that are left at most when room was made."""
        return self.limit * 7 // 8

    def _walk(self, ids: Sequence[int]) -> Iterator[tuple[Run, int]]:
        """The runs along `ids`, and how many tokens of each agree."""
        now, run, at = next(self._clock), self._root, 0
        while at < len(ids) and (child := run.children.get(ids[at])) is not None:
            child.used = now
            n = agreement(child.tokens, ids[at:])
            yield child, n
            if n < len(child.tokens):
                return
            run, at = child, at + n

    def _split(self, run: Run, n: int) -> Run:
        """Cut a run after `n` tokens; returns the upper part.  Both go on sharing the memory they had."""
        assert run.parent is not None
        upper = Run(run.tokens[:n], run.keys[:, :, :n], run.values[:, :, :n], run.parent, run.used)
        run.parent.children[run.tokens[0]] = upper
        run.tokens, run.keys, run.values = run.tokens[n:], run.keys[:, :, n:], run.values[:, :, n:]
        run.parent, upper.children[run.tokens[0]] = upper, run
        return upper

    def _shrink(self) -> None:
        """Drop the leaves that were not read for longest until an eighth of the limit is free again."""
        while self.size > self._kept:
            leaves = sorted(self._leaves(self._root), key=lambda run: run.used)
            if not leaves:
                return
            for leaf in leaves[: max(1, len(leaves) // 8)]:
                assert leaf.parent is not None
                del leaf.parent.children[leaf.tokens[0]]
                self.size -= leaf.size

    def _leaves(self, run: Run) -> Iterator[Run]:
        for child in run.children.values():
            if child.children:
                yield from self._leaves(child)
            else:
                yield child
