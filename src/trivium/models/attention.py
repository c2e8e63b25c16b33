"""Who attends to whom in training: groups of completions behind shared prompts, over flat tokens.

Plain products and a softmax, over blocks that stay in the processor's cache, beat the fused CPU kernels at the lengths
this library works at, above all in the backward pass, and they are exact.  In grouped-query attention the query heads
that share a key head are rows of one product.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

MASKED = float("-inf")
QUERIES = 64
"""Queries of one span computed together, at most: they see every key before them, so little is computed in vain."""
SCORES = 1 << 17
"""Scores of a block for every thread, at most: with what they come from, they stay in the cache of one core."""
WASTE = 0.25
"""The most scores of padding in a block, as a share of the real ones."""
SMALL = 1 << 13
"""The most scores of padding that cost less than a block of its own."""
GPU_SCORES, GPU_SMALL = 1 << 26, 1 << 21
"""The same on a GPU, which computes that many scores in the time that the calls for a block take."""


def additive(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where `visible` and -inf elsewhere: what `probabilities` adds to scores."""
    return torch.zeros(visible.shape, dtype=dtype, device=visible.device).masked_fill_(~visible, MASKED)


def probabilities(q: Tensor, k: Tensor, mask: Tensor, scale: float) -> Tensor:
    """softmax(scale q k^T + mask): q [B, M, d], k [B, S, d] and additive mask [B, M, S] of one type, to [B, M, S].

    The product, the scale and the mask are one call; the softmax sums in float32 whatever the type.
    """
    return torch.softmax(torch.baddbmm(mask, q, k.transpose(1, 2), alpha=scale), dim=-1)


class Span(NamedTuple):
    """Consecutive flat tokens that see their own past, and before it the `seen` tokens from `prefix` on."""

    start: int
    length: int
    prefix: int = 0
    seen: int = 0


@dataclass(frozen=True)
class GroupLayout:
    """Where every token of a batch of groups lives: flat, with no padding between.

    A group has one prompt and any number of completions, each of which sees its prompt and its own past.  The last
    token of a completion predicts nothing and is left out.

    ids, positions   [N]     the flat tokens
    spans                    who sees whom
    predicts_at      [B, T]  flat index of the hidden state that predicts each completion token, 0 where there is none
    target_real      [B, T]  which of those exist
    """

    ids: Tensor
    positions: Tensor
    spans: tuple[Span, ...]
    predicts_at: Tensor
    target_real: Tensor


def layout(prompts: Sequence[Sequence[int]], completions: Sequence[tuple[int, Sequence[int]]]) -> GroupLayout:
    """Lay out `completions` (each a prompt index and token ids, at least one) behind their shared `prompts`.

    Raises ValueError for an empty prompt or completion: neither can be predicted from.
    """
    if any(len(p) == 0 for p in prompts) or any(len(ids) == 0 for _, ids in completions):
        raise ValueError("prompts and completions need at least one token each")
    members: list[list[int]] = [[] for _ in prompts]
    for i, (g, _) in enumerate(completions):
        members[g].append(i)
    ids: list[int] = []
    positions: list[int] = []
    spans: list[Span] = []
    predicts: list[tuple[int, ...]] = [()] * len(completions)
    for prompt, mine in zip(prompts, members, strict=True):
        begun = len(ids)
        ids += prompt
        positions += range(len(prompt))
        if len(mine) != 1:
            spans.append(Span(begun, len(prompt)))
        for i in mine:
            read = completions[i][1][:-1]
            start = len(ids)
            predicts[i] = (begun + len(prompt) - 1, *range(start, start + len(read)))
            ids += read
            positions += range(len(prompt), len(prompt) + len(read))
            # A prompt of one completion is read with it, as one text.
            alone = Span(begun, len(prompt) + len(read))
            spans.append(alone if len(mine) == 1 else Span(start, len(read), begun, len(prompt)))
    lengths = torch.tensor([len(c) for _, c in completions])
    real = torch.arange(int(lengths.max())) < lengths[:, None]
    at = torch.zeros(real.shape, dtype=torch.long)
    at[real] = torch.tensor([place for places in predicts for place in places])
    return GroupLayout(torch.tensor(ids), torch.tensor(positions), tuple(spans), at, real)


class _Part(NamedTuple):
    """The queries `first` to `end` of a span."""

    span: Span
    first: int
    end: int

    @property
    def queries(self) -> int:
        return self.end - self.first

    @property
    def keys(self) -> int:
        return self.span.seen + self.end


def _parts(spans: Sequence[Span]) -> Iterator[_Part]:
    """Spans cut into equal parts of at most `QUERIES`."""
    for span in spans:
        count = -(-span.length // QUERIES)
        for i in range(count):
            yield _Part(span, i * span.length // count, (i + 1) * span.length // count)


def _alike(parts: Sequence[_Part], heads: int, most: int, small: int) -> Iterator[list[_Part]]:
    """Parts of about as many queries and keys together, at most `most` scores, and few of them padding or `small`."""
    block: list[_Part] = []
    queries = real = 0
    for part in sorted(parts, key=lambda part: (part.keys, part.queries)):  # so its keys are the most so far
        queries, own = max(queries, part.queries), part.queries * part.keys * heads
        area = (len(block) + 1) * queries * part.keys * heads
        if block and (area > most or area - real - own > max(WASTE * (real + own), small)):
            yield block
            block, queries, real = [], part.queries, 0
        block.append(part)
        real += own
    if block:
        yield block


class _Block:
    """Where the queries [R * kv, rep * M] and keys [R * kv, S] of R parts are among the rows of all tokens' heads.

    `reads` and `sees` are what to take there; `writes` sends what belongs to no query to a row behind the last.  All of
    it is made where the heads are, whose type and device are those of `like`.
    """

    def __init__(self, parts: Sequence[_Part], tokens: int, heads: int, kv: int, like: Tensor) -> None:
        rep, dtype, device = heads // kv, like.dtype, like.device
        spans = torch.tensor([(*p.span, p.first, p.end) for p in parts], device=device)
        start, _, prefix, seen, first, end = spans[..., None].unbind(1)
        most = max(p.queries for p in parts)
        query = first + torch.arange(most, device=device)
        key = torch.arange(max(p.keys for p in parts), device=device)
        real, there = query < end, key < seen + end
        at = torch.where(real, start + query, 0)[:, None, None, :] * heads
        reads = at + torch.arange(heads, device=device).view(kv, rep, 1)
        real_of = real[:, None, None, :].expand_as(reads)
        self.shape = (len(parts) * kv, rep * query.shape[1], len(key))
        self.reads = reads.flatten()
        self.writes = torch.where(real_of, reads, tokens * heads).flatten()
        full = all(p.queries == most for p in parts)
        self.real = None if full else real_of.reshape(*self.shape[:2], 1).to(dtype)
        from_prefix = key < seen
        token = torch.where(there, torch.where(from_prefix, prefix + key, start + key - seen), 0)
        self.sees = (token[:, None, :] * kv + torch.arange(kv, device=device)[:, None]).flatten()
        visible = (key <= (seen + query)[..., None])[:, None, None].expand(-1, kv, rep, -1, -1)
        self.mask = additive(visible, dtype).view(self.shape)

    def queries(self, rows: Tensor) -> Tensor:
        return rows.index_select(0, self.reads).view(*self.shape[:2], -1)

    def keys(self, rows: Tensor) -> Tensor:
        return rows.index_select(0, self.sees).view(self.shape[0], self.shape[2], -1)


class GroupAttention:
    """Attention over a `GroupLayout`: each prompt attends to itself, each completion to its prompt and its past.

    Equal, in exact arithmetic, to running every prompt + completion as a row of its own: a completion's tokens never
    change its prompt's states, so the prompt is computed once for the group, forward and backward.  `like` is of the
    type and on the device of what is to be attended to.
    """

    def __init__(self, where: GroupLayout, heads: int, kv_heads: int, like: Tensor) -> None:
        on_cpu = like.device.type == "cpu"
        most, small = (SCORES * torch.get_num_threads(), SMALL) if on_cpu else (GPU_SCORES, GPU_SMALL)
        blocks = _alike(list(_parts(where.spans)), heads, most, small)
        self.blocks = [_Block(block, len(where.ids), heads, kv_heads, like) for block in blocks]

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        out: Tensor = _Blockwise.apply(q, k, v, self.blocks)  # type: ignore[no-untyped-call]
        return out


class _Blockwise(torch.autograd.Function):
    """softmax(q k^T / sqrt(d)) v, block after block, and its gradient.

    What a block needs stays in the processor's cache from its first product to its last; of its results only the
    probabilities are kept for the way back.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, blocks: Sequence[_Block]) -> Tensor:
        scale = q.shape[-1] ** -0.5
        queries, keys, values = (x.reshape(-1, x.shape[-1]) for x in (q, k, v))
        out = q.new_empty(len(queries) + 1, q.shape[-1])
        kept = []
        for block in blocks:
            kept.append(probabilities(block.queries(queries), block.keys(keys), block.mask, scale))
            out.index_copy_(0, block.writes, torch.bmm(kept[-1], block.keys(values)).flatten(0, 1))
        ctx.save_for_backward(queries, keys, values, *kept)
        ctx.blocks, ctx.scale = blocks, scale
        return out[:-1].view(q.shape)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        queries, keys, values, *kept = ctx.saved_tensors
        tokens, d = grad.shape[0], grad.shape[-1]
        grads = grad.reshape(-1, d)
        d_queries = queries.new_empty(len(queries) + 1, d)
        d_keys, d_values = torch.zeros_like(keys), torch.zeros_like(values)
        for block, p in zip(ctx.blocks, kept, strict=True):
            g = block.queries(grads)
            if block.real is not None:
                g.mul_(block.real)
            d_values.index_add_(0, block.sees, torch.bmm(p.transpose(1, 2), g).flatten(0, 1))
            d_p = torch.bmm(g, block.keys(values).transpose(1, 2))
            # What autograd calls for a softmax: one pass, with sums in float32 whatever the type.
            d_scores = torch.ops.aten._softmax_backward_data(d_p, p, -1, p.dtype).mul_(ctx.scale)
            d_queries.index_copy_(0, block.writes, torch.bmm(d_scores, block.keys(keys)).flatten(0, 1))
            d_keys.index_add_(0, block.sees, torch.bmm(d_scores.transpose(1, 2), block.queries(queries)).flatten(0, 1))
        return d_queries[:-1].view(grad.shape), d_keys.view(tokens, -1, d), d_values.view(tokens, -1, d), None
