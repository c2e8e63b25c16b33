"""`tiny:<size>`: a Llama-architecture model with random weights and a byte tokenizer, for learning from nothing.

It is an ordinary Hugging Face model in every way but size: `save` writes a folder that transformers loads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch

from trivium.errors import UserError
from trivium.models.convert import decoder_config
from trivium.models.decoder import Decoder
from trivium.policies.device import resolve_device
from trivium.policies.folder import resolve_dtype
from trivium.policies.local import LocalPolicy

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

CONTEXT = 1024
HEAD_DIM = 32
SPECIALS = ("<|pad|>", "<|end|>", "<|user|>", "<|assistant|>")
TEMPLATE = (
    "{% for m in messages if m['role'] != 'system' %}"
    "{{ ('<|assistant|>' if m['role'] == 'assistant' else '<|user|>') + m['content'] }}"
    "{% if m['role'] == 'assistant' %}{{ '<|end|>' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
"""Leaves instructions out: weights that start at random cannot follow them, and every byte is a token to pay for."""


INIT_STD = 0.02
"""What `tiny` starts from; the lessons of `trivium learn` were measured with it."""


def tiny(
    size: str = "1M", *, seed: int = 0, dtype: str = "fp32", max_rows: int = 256, device: str = "cpu"
) -> LocalPolicy:
    """A small Llama-style model with random weights and one token per byte.

    `size` is a parameter count such as `300k`, `1M` or `6M`; the nearest shape is built (about 32 times as wide as
    deep).  `device` is `cpu`, `cuda`, `cuda:1` or `auto`, a GPU where there is one; the weights start alike on all.
    """
    return untrained(
        size, byte_tokenizer(), seed=seed, dtype=dtype, max_rows=max_rows, std=INIT_STD, device=device
    )  # fmt: skip


def untrained(
    size: str,
    tokenizer: PreTrainedTokenizerFast,
    *,
    seed: int = 0,
    dtype: str = "fp32",
    max_rows: int = 256,
    std: float | None = None,
    device: str = "cpu",
) -> LocalPolicy:
    """Random weights of a size (the layers' and a byte's share of it) that speak through any tokenizer.

    `std` is the deviation that matrices start with; `None` is by fan-in, 1 / sqrt(inputs) (LeCun et al. 1998).
    """
    from transformers import LlamaConfig

    width, layers = shape_for(parse_size(size))
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=width, num_hidden_layers=layers, num_attention_heads=width // HEAD_DIM,
        num_key_value_heads=width // HEAD_DIM, head_dim=HEAD_DIM, intermediate_size=mlp_width(width),
        max_position_embeddings=CONTEXT, tie_word_embeddings=True, bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, architectures=["LlamaForCausalLM"],
    )  # fmt: skip
    model = Decoder(decoder_config(config))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() > 1:
                # The usual 0.02 suits widths in the thousands.  At a width of 64 to 128 it leaves attention flat, and
                # chained sums took twice as many steps to learn or more than by fan-in.  Residual branches start
                # smaller by sqrt(2 * layers) (Radford et al. 2019), so depth does not grow them.
                spread, branch = std or p.shape[1] ** -0.5, name.endswith(("out.weight", "down.weight"))
                p.normal_(0.0, spread / (2 * layers) ** 0.5 if branch else spread, generator=generator)
    where = resolve_device(device)
    model.to(resolve_dtype(dtype, where)).to(where)
    return LocalPolicy(name=f"tiny:{size}", model=model, tokenizer=tokenizer, config=config, max_rows=max_rows)


def parse_size(text: str) -> int:
    """`300k`, `1M`, `1.5M` or a plain number to a parameter count from 10 thousand to 200 million."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kKmM]?)", text)
    count = int(float(match[1]) * {"": 1, "k": 1_000, "m": 1_000_000}[match[2].lower()]) if match else 0
    if not 10_000 <= count <= 200_000_000:
        raise UserError(f"tiny:{text}: expected a size from 10k to 200M, such as tiny:1M")
    return count


def mlp_width(width: int) -> int:
    """Two thirds of four widths, as a gated feed-forward has three matrices, in whole multiples of 32."""
    return -(-8 * width // 3 // 32) * 32


def shape_for(parameters: int) -> tuple[int, int]:
    """The (width, layers) nearest in size, preferring about one layer for 32 of width."""

    def miss(shape: tuple[int, int]) -> float:
        width, layers = shape
        count = layers * (4 * width**2 + 3 * width * mlp_width(width)) + (256 + len(SPECIALS)) * width
        return abs(count / parameters - 1) + 0.2 * abs(width / layers / 32 - 1)

    return min(((32 * w, n) for w in range(1, 33) for n in range(2, 33)), key=miss)


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """One token a byte and four special tokens: any text goes in and comes back unchanged."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: i for i, token in enumerate((*SPECIALS, *alphabet))}
    core = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return _tokenizer(core)


def trained_tokenizer(texts: Iterable[str], vocab: int) -> PreTrainedTokenizerFast:
    """Byte-pair encoding (Sennrich et al. 2016, arXiv:1508.07909) learnt from texts, of at most `vocab` tokens.

    Every digit is a token of its own, so that arithmetic is on digits; any other text still comes back unchanged.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=vocab, initial_alphabet=alphabet, special_tokens=list(SPECIALS), show_progress=False
    )
    core.train_from_iterator(texts, trainer)
    return _tokenizer(core)


def _tokenizer(core: Tokenizer) -> PreTrainedTokenizerFast:
    from tokenizers import decoders
    from transformers import PreTrainedTokenizerFast

    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(list(SPECIALS))
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<|pad|>", eos_token="<|end|>", chat_template=TEMPLATE,
        extra_special_tokens=["<|user|>", "<|assistant|>"], clean_up_tokenization_spaces=False,
    )  # fmt: skip
