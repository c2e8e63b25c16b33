"""API keys: given out once, kept as hashes, revoked by name.

A key holds 256 random bits, so its SHA-256 tells nothing about it: a slow hash is for what people can remember.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import re
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from trivium.errors import DataError, UnknownName, UserError
from trivium.store.files import own_folder, write_json

PREFIX = "tv-"
_NAME = re.compile(r"[\w.@-]{1,64}")


@dataclass(frozen=True, slots=True)
class Key:
    """Who may come in, and how much of it; `None` is unlimited."""

    name: str
    hash: str
    created: str
    requests_per_minute: int | None = None
    tokens_per_day: int | None = None
    revoked: str | None = None


def default_path() -> Path:
    """`$XDG_CONFIG_HOME/trivium/keys.json`, by default in `~/.config`."""
    root = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(root) / "trivium" / "keys.json"


def hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


@dataclass(slots=True)
class KeyFile:
    """The keys in a file.  A server looks at it again whenever it has changed, so a revoked key is out at once."""

    path: Path
    _seen: tuple[int, int, int] | None = field(init=False, default=None)
    _by_hash: dict[str, Key] = field(init=False, default_factory=dict)

    def keys(self) -> list[Key]:
        """All keys, revoked ones too.  Raises DataError for a file that cannot be read as keys."""
        self._look()
        return list(self._by_hash.values())

    def find(self, secret: str) -> Key | None:
        """The key that is not revoked and has this secret."""
        self._look()
        key = self._by_hash.get(hashed(secret))
        return key if key is not None and key.revoked is None else None

    def create(self, name: str, requests_per_minute: int | None = None, tokens_per_day: int | None = None) -> str:
        """Add a key; returns its secret, which nothing keeps.  Raises UserError for a name that is taken or no name."""
        if not _NAME.fullmatch(name):
            raise UserError(f"key name {name!r}: expected 1 to 64 letters, digits or any of . @ _ -")
        secret = PREFIX + secrets.token_urlsafe(32)

        def add(keys: list[Key]) -> list[Key]:
            if any(key.name == name and key.revoked is None for key in keys):
                raise UserError(f"there is already a key {name!r}; revoke it first: trivium key revoke {name}")
            return [*keys, Key(name, hashed(secret), _now(), requests_per_minute, tokens_per_day)]

        self._change(add)
        return secret

    def revoke(self, name: str) -> None:
        """Let a key in no more.  Raises UnknownName."""

        def out(keys: list[Key]) -> list[Key]:
            live = [key.name for key in keys if key.revoked is None]
            if name not in live:
                raise UnknownName("key", name, live, "See: trivium key list")
            return [replace(k, revoked=_now()) if k.name == name and k.revoked is None else k for k in keys]

        self._change(out)

    def _change(self, change: Callable[[list[Key]], list[Key]]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with own_folder(self.path.parent, "try again"):
            keys = change(self.keys())
            # Made here with its rights, so that nobody else can read it even for a moment.
            os.close(os.open(self.path.with_name(f".{self.path.name}.tmp"), os.O_CREAT | os.O_WRONLY, 0o600))
            write_json(self.path, {"keys": [asdict(key) for key in keys]})
            self._seen = None

    def _look(self) -> None:
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            self._seen, self._by_hash = None, {}
            return
        seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        if seen != self._seen:
            self._by_hash = {key.hash: key for key in _read(self.path)}
            self._seen = seen


def _read(path: Path) -> list[Key]:
    try:
        rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["keys"]
        return [Key(**row) for row in rows]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}, field keys: {error}; expected what trivium key create writes") from error


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
