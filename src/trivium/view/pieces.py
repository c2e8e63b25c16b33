"""The text of each token, where the run's model folder has the tokenizer that read and wrote them."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

MOST = 20_000
"""Tokens of a node that are decoded one by one."""


def add_pieces(nodes: list[dict[str, Any]], run: Path) -> None:
    """Give each node with log-probs its `pieces`, one a token, that joined are its text.

    A node whose text they are not is left as it is: another policy's tokens, or text that was cut from them.
    """
    path = run / "model" / "tokenizer.json"
    try:
        changed = path.stat().st_mtime_ns
    except OSError:
        return
    tokenizer = _tokenizer(path, changed)
    for node in nodes if tokenizer is not None else ():
        ids = node["ids"]
        if 0 < len(ids) == len(node["logprobs"]) <= MOST and (pieces := _pieces(tokenizer, ids, node["text"])):
            node["pieces"] = pieces


def _pieces(tokenizer: Any, ids: list[Any], text: str) -> list[str] | None:
    from tokenizers.decoders import DecodeStream

    stream = DecodeStream(skip_special_tokens=False)
    try:
        pieces = [stream.step(tokenizer, i) or "" for i in ids]
    except Exception:  # ids that are none of this tokenizer's
        return None
    if "".join(pieces) != text:
        pieces[-1] = ""  # the token that ends a response is no part of its text
    return pieces if "".join(pieces) == text else None


@functools.lru_cache(maxsize=8)
def _tokenizer(path: Path, changed: int) -> Any:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(path))
    except Exception:  # the library raises nothing more specific for a file that is damaged
        return None
