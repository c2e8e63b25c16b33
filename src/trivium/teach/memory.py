"""How much memory learning takes, and how many tokens at a time fit into what there is."""

from __future__ import annotations

from trivium.models.decoder import Decoder
from trivium.policies.device import GPU_SHARE, free_bytes
from trivium.registry import parse_spec
from trivium.teach.settings import RunSettings

ON_GPU = 16384
"""Tokens at a time from which on a GPU is busy with them and not with being called."""
LEAST = 512
SPARE = 5e8
"""Bytes of everything that is not counted."""


def micro_tokens(settings: RunSettings, model: Decoder) -> int:
    """The tokens that are computed at a time when learning: as many as told, or as suit the model and its device."""
    if settings.micro_tokens:
        return settings.micro_tokens
    if model.device.type == "cpu":
        return 8192 if parse_spec(settings.policy)[0] == "tiny" else LEAST
    # What the sampler may take for keys and values, and keep for later, is not there.
    room = free_bytes(model.device) * (1 - 2 * GPU_SHARE) - _fixed(model) - SPARE
    return int(min(ON_GPU, max(LEAST, room // _each(model))))


def needed_bytes(model: Decoder, at_a_time: int) -> float:
    """Bytes a run needs: weights, float32 masters, gradients and two moments, and one micro-batch of activations."""
    return _fixed(model) + at_a_time * _each(model) + SPARE


def _fixed(model: Decoder) -> int:
    size = model.head.element_size()
    return sum(p.numel() for p in model.parameters()) * (4 + 4 + 8 + (2 * size if size < 4 else 0))


def _each(model: Decoder) -> int:
    """Bytes a token: what the backward pass keeps of norms, projections, attention and the feed-forward, and logits."""
    c, size = model.c, model.head.element_size()
    return size * (c.layers * (6 * c.width + 4 * c.heads * c.head_dim + 5 * c.mlp_width) + c.vocab)
