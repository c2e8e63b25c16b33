"""Who attends to whom: plain attention for flat tokens, in the two shapes that generation and training need.

Plain products and a softmax beat the fused CPU kernels at the lengths this library works at (a step of decoding, or
completions of some hundred tokens), above all in the backward pass, and they are exact.  Grouped-query attention never
copies keys: the query heads that share a key head are folded into the rows of one product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, scale: float) -> Tensor:
    """softmax(scale q k^T + mask) v.

    q [B, kv, M, d], k and v [B, kv, S, d], additive mask [B * kv, M, S] of the same type, to [B, kv, M, d].  The
    product, the scale and the mask are one call; the softmax sums in float32 whatever the type.
    """
    b, kv, m, d = q.shape
    keys, values = k.reshape(b * kv, -1, d), v.reshape(b * kv, -1, d)
    scores = torch.baddbmm(mask, q.reshape(b * kv, m, d), keys.transpose(1, 2), alpha=scale)
    return torch.bmm(torch.softmax(scores, dim=-1), values).view(b, kv, m, d)


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


class _Place(torch.autograd.Function):
    """Flat tokens [N, ...] to padded places [M, ...]: row `at[m]` goes to place m, and token n lives in place
    `home[n]`.

    Every token has one place, so the gradient is a selection too: no sum, no zeros, no atomics.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, at: Tensor, home: Tensor) -> Tensor:
        ctx.save_for_backward(home)
        return x.index_select(0, at)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return grad.index_select(0, ctx.saved_tensors[0]), None, None


class _Unplace(torch.autograd.Function):
    """The inverse of `_Place`: padded places to flat tokens.  Padding has no gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, at: Tensor, home: Tensor, real: Tensor) -> Tensor:
        ctx.save_for_backward(at, real)
        return x.index_select(0, home)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        at, real = ctx.saved_tensors
        return grad.index_select(0, at).mul_(real[:, None, None]), None, None, None


class GroupAttention:
    """Attention over a `GroupLayout`: each prompt attends to itself, each completion to its prompt and its past.

    Equal, in exact arithmetic, to running every prompt + completion as a row of its own: a completion's tokens never
    change its prompt's states, so the prompt is computed once for the group, forward and backward.
    """

    def __init__(self, where: GroupLayout, heads: int, kv_heads: int, dtype: torch.dtype) -> None:
        self.where, self.kv = where, kv_heads
        rep = heads // kv_heads
        self.at = torch.cat((where.prompt_at.flatten(), where.own_at.flatten()))
        real = torch.cat((where.prompt_real.flatten(), where.own_real.flatten()))
        self.home = torch.empty_like(where.ids)
        self.home[self.at[real]] = real.nonzero().flatten()
        self.real = real.to(dtype)
        self.prompts = where.prompt_at.numel()
        self.prompt_mask = _per_head(where.prompt_mask, kv_heads, rep, dtype)
        self.own_mask = _per_head(where.own_mask, kv_heads, rep, dtype)

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scale = q.shape[-1] ** -0.5
        (qp, qc), (kp, kc), (vp, vc) = (self._placed(x) for x in (q, k, v))
        kp, kc, vp, vc = (x.transpose(1, 2) for x in (kp, kc, vp, vc))
        group = self.where.group
        kc = torch.cat((kp.index_select(0, group), kc), dim=2)
        vc = torch.cat((vp.index_select(0, group), vc), dim=2)
        out_p = unfold(attention(fold(qp, self.kv), kp, vp, self.prompt_mask, scale), q.shape[1])
        out_c = unfold(attention(fold(qc, self.kv), kc, vc, self.own_mask, scale), q.shape[1])
        places = torch.cat((out_p.flatten(0, 1), out_c.flatten(0, 1)))
        out: Tensor = _Unplace.apply(places, self.at, self.home, self.real)  # type: ignore[no-untyped-call]
        return out

    def _placed(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Flat [N, h, d] to prompts [G, P, h, d] and completions [B, T - 1, h, d]."""
        w = self.where
        placed = _Place.apply(x, self.at, self.home)  # type: ignore[no-untyped-call]
        prompts, own = placed[: self.prompts], placed[self.prompts :]
        return prompts.view(*w.prompt_at.shape, *x.shape[1:]), own.view(*w.own_at.shape, *x.shape[1:])


def _per_head(mask: Tensor, kv_heads: int, rep: int, dtype: torch.dtype) -> Tensor:
    """[B, T, S] to [B * kv_heads, rep * T, S], once for all layers."""
    return mask.to(dtype)[:, None].repeat(1, kv_heads, rep, 1).flatten(0, 1)
