"""Who attends to whom: plain attention for flat tokens, in the two shapes that generation and training need.

Plain products and a softmax beat the fused CPU kernels at the lengths this library works at (a step of decoding, or
completions of some hundred tokens), above all in the backward pass, and they are exact.  Grouped-query attention never
copies keys: the query heads that share a key head are folded into the rows of one product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

MASKED = float("-inf")


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


def weights(scores: Tensor, mask: Tensor, scale: float) -> Tensor:
    """softmax(scale * scores + mask) over the last axis, summed in float32 whatever the type of `scores`."""
    return torch.softmax(scores.float().mul_(scale).add_(mask), dim=-1).to(scores.dtype)


@dataclass(frozen=True)
class GroupLayout:
    """Where every token of a batch of groups lives: prompts first, then completions, with no padding between.

    Group g has one prompt and any number of completions, each of which sees its prompt and its own past.  The last
    token of a completion predicts nothing and is left out.  Built once a batch by `layout`; the index tensors turn flat
    tokens into padded blocks and back.

    ids, positions   [N]        the flat tokens
    prompt_at        [G, P]     flat index of each prompt token, 0 where padded; prompt_real tells which are real
    own_at           [B, T - 1] the same for completions; own_real likewise
    group            [B]        the prompt of each completion
    prompt_mask      [G, P, P]  and own_mask [B, T - 1, P + T - 1]: additive, 0 or -inf
    predicts_at      [B, T]     flat index of the hidden state that predicts each completion token
    target_real      [B, T]     which of those exist
    """

    ids: Tensor
    positions: Tensor
    prompt_at: Tensor
    prompt_real: Tensor
    prompt_mask: Tensor
    own_at: Tensor
    own_real: Tensor
    own_mask: Tensor
    group: Tensor
    predicts_at: Tensor
    target_real: Tensor


def layout(prompts: Sequence[Sequence[int]], completions: Sequence[tuple[int, Sequence[int]]]) -> GroupLayout:
    """Lay out `completions` (each a prompt index and token ids, at least one) behind their shared `prompts`.

    Raises ValueError for an empty prompt or completion: neither can be predicted from.
    """
    if any(len(p) == 0 for p in prompts) or any(len(ids) == 0 for _, ids in completions):
        raise ValueError("prompts and completions need at least one token each")
    ids: list[int] = []
    positions: list[int] = []
    starts: list[int] = []
    for p in prompts:
        starts.append(len(ids))
        ids.extend(p)
        positions.extend(range(len(p)))
    own: list[int] = []
    for g, c in completions:
        own.append(len(ids))
        ids.extend(c[:-1])
        positions.extend(range(len(prompts[g]), len(prompts[g]) + len(c) - 1))
    prompt_lengths = torch.tensor([len(p) for p in prompts])
    lengths = torch.tensor([len(c) for _, c in completions])
    group = torch.tensor([g for g, _ in completions])
    prompt_at, prompt_real = _places(torch.tensor(starts), prompt_lengths)
    own_at, own_real = _places(torch.tensor(own), lengths - 1)
    last = torch.tensor(starts) + prompt_lengths - 1
    target_real = torch.arange(int(lengths.max())) < lengths[:, None]
    places, steps = prompt_at.shape[1], own_at.shape[1]
    sees_prompt = torch.ones(places, places, dtype=torch.bool).tril() & prompt_real[:, None, :]
    sees_own = torch.ones(steps, steps, dtype=torch.bool).tril() & own_real[:, None, :]
    sees = torch.cat((prompt_real[group][:, None, :].expand(-1, steps, -1), sees_own), dim=2)
    return GroupLayout(
        ids=torch.tensor(ids), positions=torch.tensor(positions), group=group, target_real=target_real,
        prompt_at=prompt_at, prompt_real=prompt_real, prompt_mask=_additive(sees_prompt),
        own_at=own_at, own_real=own_real, own_mask=_additive(sees),
        predicts_at=torch.cat((last[group][:, None], own_at), dim=1) * target_real,
    )  # fmt: skip


def _places(starts: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    offsets = torch.arange(int(lengths.max()))
    real = offsets < lengths[:, None]
    return (starts[:, None] + offsets) * real, real


def _additive(sees: Tensor) -> Tensor:
    return torch.zeros(sees.shape).masked_fill_(~sees, MASKED)


class GroupAttention:
    """Attention over a `GroupLayout`: each prompt attends to itself, each completion to its prompt and its past.

    Equal, in exact arithmetic, to running every prompt + completion as a row of its own: a completion's tokens never
    change its prompt's states, so the prompt is computed once for the group, forward and backward.
    """

    def __init__(self, where: GroupLayout, heads: int, kv_heads: int) -> None:
        self.where = where
        rep = heads // kv_heads
        self.prompt_mask = where.prompt_mask[:, None].repeat(1, 1, rep, 1)
        self.own_mask = where.own_mask[:, None].repeat(1, 1, rep, 1)
        self.prompt_index = where.prompt_at[where.prompt_real]
        self.own_index = where.own_at[where.own_real]
        self.order = torch.argsort(torch.cat((self.prompt_index, self.own_index)))

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        w = self.where
        kv, scale = k.shape[1], q.shape[-1] ** -0.5
        kp, vp = k[w.prompt_at].transpose(1, 2), v[w.prompt_at].transpose(1, 2)
        qp = fold(q[w.prompt_at], kv)
        op = weights(qp @ kp.transpose(-1, -2), self.prompt_mask, scale) @ vp
        out_p = unfold(op, q.shape[1])[w.prompt_real]
        kc = torch.cat((kp[w.group], k[w.own_at].transpose(1, 2)), dim=2)
        vc = torch.cat((vp[w.group], v[w.own_at].transpose(1, 2)), dim=2)
        qc = fold(q[w.own_at], kv)
        oc = weights(qc @ kc.transpose(-1, -2), self.own_mask, scale) @ vc
        out_c = unfold(oc, q.shape[1])[w.own_real]
        return torch.cat((out_p, out_c))[self.order]
