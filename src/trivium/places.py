"""Where Trivium keeps what it can make again: converted models, pretrained bases, finished arms."""

from __future__ import annotations

import os
from pathlib import Path


def cache_root() -> Path:
    """`$XDG_CACHE_HOME/trivium`, by default `~/.cache/trivium`."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "trivium"
