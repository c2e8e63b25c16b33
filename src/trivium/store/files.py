"""Writing that survives a kill: synced files, atomic replacement, and one message for a full disk."""

from __future__ import annotations

import errno
import fcntl
import gc
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO

import orjson

from trivium.errors import DataError, RunError


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes the place of `path` in one step: a reader sees the old file or the new one, never a
    part.  Where writing fails, the old one stays.

    Raises:
        RunError: the disk is full.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with disk(path), open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.replace(temporary, path)
            sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Replace `path` in one step; lone surrogates become `?`."""
    with replacing(path) as file:
        file.write(text.encode(errors="replace"))


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Replace `path` in one step, as `json_line` writes values but with indents for people."""
    write_text(path, json.dumps(finite(data), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def json_line(row: Mapping[str, Any]) -> bytes:
    """One JSON object and its newline; NaN and infinity, which JSON has not, become null, and lone surrogates `?`."""
    try:
        return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # something in it that JSON or 64 bits have not: rare, and looking first takes far longer
        text = json.dumps(finite(row), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return (text + "\n").encode(errors="replace")


def own_folder(folder: Path, instead: str) -> IO[bytes]:
    """Take a folder's lock, held until what is returned is closed; `instead` says what else could be done.

    Raises:
        RunError: another process holds it.
    """
    lock = open(folder / ".lock", "ab")  # noqa: SIM115 - held until it is closed
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise RunError(f"another process is writing {folder}; wait for it to end, or {instead}") from error
    return lock


@contextmanager
def uncollected() -> Iterator[None]:
    """Make or read many objects without Python looking for cycles among them, which takes longer than all the rest."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def finite(value: Any) -> Any:
    """`value` with every NaN and infinity replaced by None, paths by text and tuples by lists."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return str(value) if isinstance(value, Path) else value


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The complete JSON lines of a file, oldest first; a torn last line (still being written, or cut) is skipped.

    Raises:
        DataError: a line is no JSON object.
    """
    if not path.exists():
        return
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            try:
                row = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise DataError(f"{path}, line {number}: {error}; expected one JSON object") from error
            if not isinstance(row, dict):
                raise DataError(f"{path}, line {number}: {type(row).__name__}; expected one JSON object")
            yield row


def whole_lines(file: BinaryIO) -> int:
    """How many bytes of a file are lines that end: what follows was cut off, and must not be appended to."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - (1 << 16))
        file.seek(start)
        if (at := file.read(end - start).rfind(b"\n")) >= 0:
            return start + at + 1
        end = start
    return 0


def sync_tree(folder: Path) -> None:
    """Flush every file and folder below `folder`, and itself, to the disk."""
    for parent, _, names in os.walk(folder):
        for name in names:
            handle = os.open(os.path.join(parent, name), os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        sync_folder(Path(parent))


def sync_folder(folder: Path) -> None:
    """Flush a folder's own entries (renames, new names) to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def disk(path: Path) -> Iterator[None]:
    """Turn "no space left", however a writer words it, into one `RunError`; other errors pass through.

    Raises:
        RunError: the disk that holds `path` is full.
    """
    try:
        yield
    except Exception as error:
        if not _is_full(error, path):
            raise
        raise RunError(
            f"the disk is full: could not write {path}. What was finished before is kept; "
            "free some space, then give the same command again"
        ) from error


def _is_full(error: BaseException, path: Path) -> bool:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    if "No space left" in str(error) or "os error 28" in str(error):  # safetensors reports Rust's words
        return True
    if "PytorchStreamWriter" in str(error):  # torch.save says only that a write failed
        return shutil.disk_usage(path.parent if path.parent.exists() else Path.cwd()).free < 1 << 20
    return False
