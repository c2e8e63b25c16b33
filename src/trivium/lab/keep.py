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

from trivium.lab.code import combined, loaded, unchanged
from trivium.places import cache_root
from trivium.store.files import disk, write_json

ABOUT = "about.json"


@dataclass(frozen=True, slots=True)
class Kept:
    """A folder of something made: where it is, what was noted about it, and the seconds this call waited for another
    process to make it.
    """

    folder: Path
    about: Mapping[str, Any]
    waited: float = 0.0


def shelf(*parts: str) -> Path:
    """The folder that things of one kind are kept in."""
    return cache_root().joinpath("lab", *parts)


def find(where: Path, name: str) -> Kept | None:
    """What was kept under a name by code that is still the same."""
    for about in sorted(where.glob(f"{name}@*/{ABOUT}")):
        noted = json.loads(about.read_text(encoding="utf-8"))
        if unchanged(noted["code"]):
            return Kept(about.parent, noted)
    return None


def keep(where: Path, name: str, own: str, make: Callable[[Path], Mapping[str, Any]]) -> Kept:
    """What is kept under a name, made if it is not there: `make` fills a folder and returns what to note about it."""
    if found := find(where, name):
        return found
    with disk(where):
        where.mkdir(parents=True, exist_ok=True)
    with _alone(where / f".{name}.lock") as waited:
        if found := find(where, name):
            return Kept(found.folder, found.about, waited)
        part = where / f".{name}.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        loaded(own)  # what runs from here on is the code as it is now, whatever becomes of its files
        try:
            noted = dict(make(part))
            noted["code"] = loaded(own)
            with disk(part):
                write_json(part / ABOUT, noted)
            folder = where / f"{name}@{combined(noted['code'])}"
            shutil.rmtree(folder, ignore_errors=True)
            part.rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return Kept(folder, noted, waited)


@contextmanager
def _alone(path: Path) -> Iterator[float]:
    """Hold a file's lock; gives the seconds that had to be waited for it."""
    began = time.perf_counter()
    with open(path, "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield time.perf_counter() - began
