"""One decoder-only transformer for the Llama, Qwen2, Qwen3 and GPT-2 families, over a flat list of tokens.

Hidden states are `[N, width]` with no batch axis and no padding: every matrix product works on real tokens only.  Who
attends to whom is the business of an `Attend` object, so that one forward serves left-to-right decoding with a cache,
prefill, and training in which a whole group of completions shares one copy of its prompt (`attention.py`).

Query, key and value projections are one matrix, gate and up projections another: fewer, larger products.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class DecoderConfig:
    """The shape of a decoder.  `convert.py` derives it from a Hugging Face configuration."""

    vocab: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp_width: int
    context: int
    norm: Literal["rms", "layer"] = "rms"
    eps: float = 1e-5
    positions: Literal["rope", "learned"] = "rope"
    rope_inv_freq: tuple[float, ...] = ()
    rope_scale: float = 1.0
    activation: Literal["silu", "gelu", "gelu_tanh"] = "silu"
    gated: bool = True
    qkv_bias: bool = False
    out_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    tied: bool = True


class Attend(Protocol):
    """Scaled dot-product attention over flat tokens; the implementation knows which tokens see which."""

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q [N, heads, head_dim], k and v [N, kv_heads, head_dim] (rotated) to [N, heads, head_dim]."""


_ACTIVATION: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
}


class Norm(nn.Module):
    """Root-mean-square norm (Zhang and Sennrich 2019) or layer norm over the last axis, computed in float32 for RMS."""

    def __init__(self, width: int, c: DecoderConfig) -> None:
        super().__init__()
        self.eps = c.eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width)) if c.norm == "layer" else None

    def forward(self, x: Tensor) -> Tensor:
        if self.bias is not None:
            return F.layer_norm(x, x.shape[-1:], self.weight, self.bias, self.eps)
        if x.is_cuda and torch.is_inference_mode_enabled():
            # To sample with: one kernel in place of eight, which rounds once where transformers rounds twice.
            return F.rms_norm(x, x.shape[-1:], self.weight, self.eps)
        if not torch.is_grad_enabled():  # an autograd function costs as much again where rows are few
            return _rms_norm(x, self.weight, self.eps)[0]
        out: Tensor = _RmsNorm.apply(x, self.weight, self.eps)  # type: ignore[no-untyped-call]
        return out


def _rms_norm(x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """w x / sqrt(mean(x^2) + eps) and the inverse root, with sums in float32 and rounding where transformers rounds."""
    z = _summable(x)
    r = z.square().mean(-1, keepdim=True).add_(eps).rsqrt_()
    return z.mul(r).to(x.dtype).mul_(weight), r


class _RmsNorm(torch.autograd.Function):
    """`_rms_norm` with its gradient.

    Autograd through `F.rms_norm` keeps several float32 copies of every hidden state, a third of all activations; this
    keeps x itself and one number a row, and is faster both ways.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        y, r = _rms_norm(x, weight, eps)
        ctx.save_for_backward(x, weight, r)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight, r = ctx.saved_tensors
        # With n = x r:  dx = r (g w - n mean(g w n)),  dw = sum over rows of g n.
        n, g = _summable(x) * r, _summable(grad)
        d_weight = (g * n).flatten(0, -2).sum(0).to(weight.dtype)
        g = g * weight
        return g.sub_(n.mul_((g * n).mean(-1, keepdim=True))).mul_(r).to(x.dtype), d_weight, None


def _summable(x: Tensor) -> Tensor:
    """`x` in a type that many numbers can be added in."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


class Block(nn.Module):
    """Pre-norm attention and feed-forward with residual connections."""

    def __init__(self, index: int, c: DecoderConfig) -> None:
        super().__init__()
        self.index, self.c = index, c
        self.attn_norm = Norm(c.width, c)
        self.qkv = nn.Linear(c.width, (c.heads + 2 * c.kv_heads) * c.head_dim, bias=c.qkv_bias)
        self.q_norm = Norm(c.head_dim, c) if c.qk_norm else None
        self.k_norm = Norm(c.head_dim, c) if c.qk_norm else None
        self.out = nn.Linear(c.heads * c.head_dim, c.width, bias=c.out_bias)
        self.mlp_norm = Norm(c.width, c)
        self.up = nn.Linear(c.width, (2 if c.gated else 1) * c.mlp_width, bias=c.mlp_bias)
        self.down = nn.Linear(c.mlp_width, c.width, bias=c.mlp_bias)

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor] | None, attend: Attend) -> Tensor:
        c = self.c
        qkv = self.qkv(self.attn_norm(x)).view(x.shape[0], c.heads + 2 * c.kv_heads, c.head_dim)
        qk, v = qkv.split((c.heads + c.kv_heads, c.kv_heads), dim=1)
        if self.q_norm is not None and self.k_norm is not None:
            q, k = qk.split((c.heads, c.kv_heads), dim=1)
            qk = torch.cat((self.q_norm(q), self.k_norm(k)), dim=1)
        if rope is not None:
            qk = rotate(qk, *rope)
        q, k = qk.split((c.heads, c.kv_heads), dim=1)
        x = x + self.out(attend(self.index, q, k, v).reshape(x.shape[0], -1))
        h = self.up(self.mlp_norm(x))
        act = _ACTIVATION[c.activation]
        if c.gated:
            gate, up = h.chunk(2, dim=-1)
            h = act(gate) * up
        else:
            h = act(h)
        out: Tensor = x + self.down(h)
        return out


@functools.cache  # for good: a recorded step reads it where it is
@torch.inference_mode(False)
def _frequencies(inverse: tuple[float, ...], device: torch.device) -> Tensor:
    """Float32[d/2] on a device; sent there once, and fit for training whoever asks first."""
    return torch.tensor(inverse, dtype=torch.float32, device=device)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding (Su et al. 2021) in the half-split layout: x [N, h, d], cos and sin [N, 1, d/2]."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)


class Decoder(nn.Module):
    """Token ids and positions, both `[N]`, to final hidden states `[N, width]`; `head` holds the output matrix."""

    def __init__(self, c: DecoderConfig) -> None:
        super().__init__()
        self.c = c
        self.embed = nn.Embedding(c.vocab, c.width)
        self.position = nn.Embedding(c.context, c.width) if c.positions == "learned" else None
        self.blocks = nn.ModuleList(Block(i, c) for i in range(c.layers))
        self.norm = Norm(c.width, c)
        self.unembed = None if c.tied else nn.Linear(c.width, c.vocab, bias=False)

    @property
    def head(self) -> Tensor:
        """The matrix `[vocab, width]` that turns hidden states into logits."""
        return self.embed.weight if self.unembed is None else self.unembed.weight

    @property
    def device(self) -> torch.device:
        """Where the weights are, and all that is computed with them."""
        return self.embed.weight.device

    def logits(self, hidden: Tensor) -> Tensor:
        """Final hidden states `[N, width]` to logits `[N, vocab]`."""
        return F.linear(hidden, self.head)

    def forward(self, ids: Tensor, positions: Tensor, attend: Attend) -> Tensor:
        """`ids` and `positions` may be anywhere; `attend` is called with tensors of the weights' device."""
        x, positions = self.embed(ids.to(self.device)), positions.to(self.device)
        rope = None
        if self.position is not None:
            x = x + self.position(positions)
        else:
            # Angles in float32 whatever the weights' type: bf16 cannot tell position 257 from 258.
            angle = positions.to(torch.float32)[:, None, None] * _frequencies(self.c.rope_inv_freq, x.device)
            rope = ((angle.cos() * self.c.rope_scale).to(x.dtype), (angle.sin() * self.c.rope_scale).to(x.dtype))
        for block in self.blocks:
            x = block(x, rope, attend)
        out: Tensor = self.norm(x)
        return out
