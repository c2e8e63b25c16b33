"""A child process that answers a line of JSON with a line of JSON, and may be killed at any time.

Both sides are here.  The parent keeps one process per worker module, starts it when first asked, and replaces it when
an answer does not come in time, is too long, or the child dies.  The child hashes strings the same way in every
process, so that what it computes does not depend on the run.
"""

from __future__ import annotations

import atexit
import json
import os
import resource
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from trivium.sandbox.outcome import Outcome

MAX_BYTES = 1_000_000
_STARTUP_SECONDS = 60.0
_KEPT = ("PATH", "PYTHONPATH", "HOME", "LANG")

_processes: dict[str, subprocess.Popen[bytes]] = {}
_lock = threading.Lock()


def ask(module: str, request: dict[str, Any], seconds: float) -> dict[str, Any] | Outcome:
    """What the worker `module` answers within `seconds` (once it has started), or how it failed."""
    with _lock:
        fresh = module not in _processes
        process = _process(module)
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            line = _read(process, seconds + (_STARTUP_SECONDS if fresh else 0.0))
        except BrokenPipeError:
            line = b""
        except BaseException:
            _stop(module)  # interrupted: a late answer must not be taken for the next one
            raise
        if isinstance(line, Outcome) or not line.endswith(b"\n"):
            _stop(module)
            return line if isinstance(line, Outcome) else Outcome("memory", message="the worker process died")
    answer: dict[str, Any] = json.loads(line)
    return answer


def serve(answer: Callable[..., dict[str, Any]]) -> None:
    """The child's side: call `answer(**request)` for every line, until the parent goes."""
    replies, sys.stdout = sys.stdout, sys.stderr  # what is called may print
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin:
        replies.write(json.dumps(answer(**json.loads(line))) + "\n")
        replies.flush()


def allow_memory(extra_mb: int | None) -> None:
    """In the child: let writable memory grow by `extra_mb` mebibytes from what it is now; `None` lifts the limit."""
    soft = resource.RLIM_INFINITY
    if extra_mb is not None:
        with open("/proc/self/statm") as file:
            soft = int(file.read().split()[5]) * resource.getpagesize() + (extra_mb << 20)
    resource.setrlimit(resource.RLIMIT_DATA, (soft, resource.RLIM_INFINITY))


def _process(module: str) -> subprocess.Popen[bytes]:
    if module not in _processes:
        if not _processes:
            atexit.register(_stop_all)
        _processes[module] = subprocess.Popen(
            [sys.executable, "-s", "-P", "-m", module],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0, start_new_session=True,
            env={"PYTHONHASHSEED": "0", **{key: os.environ[key] for key in _KEPT if key in os.environ}},
        )  # fmt: skip
    return _processes[module]


def _read(process: subprocess.Popen[bytes], seconds: float) -> bytes | Outcome:
    assert process.stdout is not None
    deadline = time.monotonic() + seconds
    read = bytearray()
    with selectors.DefaultSelector() as waiting:
        waiting.register(process.stdout, selectors.EVENT_READ)
        while not read.endswith(b"\n"):
            if not waiting.select(max(0.0, deadline - time.monotonic())):
                return Outcome("timeout", message=f"no answer after {seconds:g} s")
            chunk = os.read(process.stdout.fileno(), 1 << 16)
            if not chunk:
                break
            read += chunk
            if len(read) > MAX_BYTES:
                return Outcome("output-limit", message=f"returned more than {MAX_BYTES} bytes")
    return bytes(read)


def _stop(module: str) -> None:
    process = _processes.pop(module)
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


def _stop_all() -> None:
    for module in list(_processes):
        _stop(module)


def _forget() -> None:
    """In a forked child: the workers are the parent's, and another thread may have held the lock."""
    global _lock
    _processes.clear()
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_forget)
