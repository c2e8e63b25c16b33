"""Things that are made once and kept: pretrained bases, warmed-up policies, shared samples, finished arms.

Each lives in a folder under a name that says what it was made from, with the hashes of the code that made it and what
making it cost.  It is used again only while that code is unchanged.  One process makes it while others wait.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trivium.lab.code import combined, digest, loaded, unchanged
from trivium.places import cache_root
from trivium.store.files import disk, write_json

ABOUT = "about.json"


@dataclass(frozen=True, slots=True)
class Kept:
    """A folder of something made: where it is, and what was noted about it."""

    folder: Path
    about: Mapping[str, Any]


def shelf(*parts: str) -> Path:
    """The folder that things of one kind are kept in."""
    return cache_root().joinpath("lab", *parts)


def of_policy(spec: str | None) -> str:
    """What a name gets for the policy that a user named: a hash of its spec and of its folder's files as they are."""
    if spec is None:
        return ""
    said = spec.partition(",")[0]
    folders = [Path(path) for path in (said, said.partition(":")[2]) if path and Path(path).is_dir()]
    files = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    stats = [path.stat() for path in files]
    return "-" + digest([spec, *(f"{f} {s.st_size} {s.st_mtime_ns}" for f, s in zip(files, stats, strict=True))])


def find(where: Path, name: str, since: float = 0.0) -> Kept | None:
    """What was kept under a name by code that is still the same, and not before `since` (a time in seconds)."""
    for about in sorted(where.glob(f"{name}@*/{ABOUT}")):
        noted = json.loads(about.read_text(encoding="utf-8"))
        if noted.get("kept_at", 0.0) >= since and unchanged(noted["code"]):
            return Kept(about.parent, noted)
    return None


def keep(
    where: Path, name: str, own: str, make: Callable[[Path], Mapping[str, Any]], since: float = 0.0
) -> Kept:  # fmt: skip
    """What is kept under a name, made if it is not there: `make` fills a folder and returns what to note about it.

    What was kept before `since` stays until another has been made in its place.
    """
    if found := find(where, name, since):
        return found
    with disk(where):
        where.mkdir(parents=True, exist_ok=True)
    with _alone(where / f".{name}.lock"):
        if found := find(where, name, since):
            return found
        part = where / f".{name}.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        loaded(own)  # what runs from here on is the code as it is now, whatever becomes of its files
        try:
            noted = dict(make(part))
            noted |= {"code": loaded(own), "kept_at": time.time()}
            with disk(part):
                write_json(part / ABOUT, noted)
            folder = where / f"{name}@{combined(noted['code'])}"
            shutil.rmtree(folder, ignore_errors=True)
            part.rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return Kept(folder, noted)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a file's lock."""
    with open(path, "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
