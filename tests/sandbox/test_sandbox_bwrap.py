"""Full Python under bubblewrap where it works; where it does not, every one of these programs must be refused."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trivium.errors import Unsupported
from trivium.sandbox import Limits, Outcome, run_program
from trivium.sandbox.bwrap import INSTALL

LIMITS = Limits(seconds=60, memory_mb=64, output_bytes=5_000)


@functools.cache
def isolates() -> bool:
    """Whether bubblewrap can make namespaces here, found out without the code under test."""
    bwrap = shutil.which("bwrap")
    command = [bwrap or "", "--ro-bind", "/", "/", "--unshare-pid", "--unshare-net", "--proc", "/proc", "true"]
    return bwrap is not None and subprocess.run(command, capture_output=True).returncode == 0


def outcome_of(code: str, limits: Limits = LIMITS, **inputs: Any) -> Outcome | None:
    """The outcome, or `None` after checking that a machine without isolation refuses."""
    if isolates():
        return run_program(code, backend="bubblewrap", limits=limits, inputs=inputs)
    with pytest.raises(Unsupported, match=INSTALL):
        run_program(code, backend="bubblewrap", limits=limits, inputs=inputs)
    return None


def test_full_python_runs_with_imports_and_inputs() -> None:
    code = (
        "import heapq\nprint('hi')\ndef squares():\n    for v in x:\n        yield v * v\nheapq.nsmallest(2, squares())"
    )
    assert outcome_of(code, x=[3, 1, 2]) in (None, Outcome("ok", [1, 4], "hi\n"))


@pytest.mark.parametrize(
    ("code", "status", "says"),
    [
        ("a = [0]\nwhile True: a = a + a", "memory", "64 MiB"),
        ("while True: print('x' * 100)", "output-limit", "printed more than 5000"),
        ("'x' * 100000", "output-limit", "returned more than 5000"),
        ("def f(n): return f(n + 1)\nf(0)", "error", "RecursionError"),
        ("import socket\nsocket.create_connection(('1.1.1.1', 80), timeout=5)", "error", "Network is unreachable"),
        ("open('/etc/passwd').read()", "error", "FileNotFoundError"),
        ("open('/x', 'w')", "error", "Read-only file system"),
        ("f = open('/tmp/a', 'w')\nwhile True: f.write('x' * 1000000)", "error", "OSError"),
        ("import resource\nresource.setrlimit(resource.RLIMIT_AS, (-1, -1))", "error", "not allowed"),
        ("from threading import *\nwhile True: Thread(target=Event().wait, daemon=True).start()", "error", "thread"),
        ("import os\nos._exit(3)", "error", "ended without a result"),
        ("exit(3)", "error", "SystemExit: 3"),
        ("{1}", "error", "not JSON serializable"),
        ("x = = 1", "error", "SyntaxError"),
        ("undefined(1)", "error", "NameError: name 'undefined' is not defined (line 1)"),
        ("import os\nos.write(2, b'to stderr')\n5", "ok", "ok"),
    ],
)  # fmt: skip
def test_hostile_programs_end_in_a_named_way(code: str, status: str, says: str) -> None:
    outcome = outcome_of(code)
    assert outcome is None or (outcome.status == status and says in outcome.reason), outcome


def test_an_endless_program_is_killed_with_all_that_it_started() -> None:
    code = """
import os, time
if os.fork() == 0:
    os.setsid()
    open('/proc/self/comm', 'w').write('trivium-stray')
    time.sleep(600)
while True: pass"""
    begun = time.monotonic()
    outcome = outcome_of(code, Limits(seconds=2))
    assert outcome is None or outcome.status == "timeout"
    assert time.monotonic() - begun < 60
    gone_by = time.monotonic() + 20
    while "trivium-stray" in living() and time.monotonic() < gone_by:
        time.sleep(0.05)
    assert "trivium-stray" not in living()


def living() -> str:
    """Names and states of this machine's processes, those that have ended left out."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            found.append(entry.read_text())
        except OSError:
            continue
    return "\n".join(line for line in found if ") Z " not in line)


def test_a_fork_bomb_is_held_to_its_number_of_processes() -> None:
    code = """
import os, time
count = 0
try:
    while True:
        if os.fork() == 0:
            time.sleep(60)
        count += 1
except BlockingIOError:
    pass
count"""
    outcome = outcome_of(code, Limits(seconds=60, processes=8))
    assert outcome is None or (outcome.ok and 1 <= outcome.value <= 8), outcome
    bomb = outcome_of("import os\nwhile True:\n    os.fork()", Limits(seconds=60, processes=8))
    assert bomb is None or bomb.status in ("error", "timeout"), bomb


def test_nothing_of_this_machine_is_visible(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    code = f"import os\n[os.path.exists({str(secret)!r}), os.listdir('/tmp'), 'PATH' in os.environ, os.getuid() == 0]"
    # A Python that lives below /tmp must stay visible, and nothing beside it.
    python = sorted({Path(p).parts[2] for p in (sys.prefix, sys.base_prefix) if p.startswith("/tmp/")})
    assert outcome_of(code) in (None, Outcome("ok", [False, python, False, False]))
    code = "import os\nlen([p for p in os.listdir('/proc') if p.isdigit()])"
    alone = outcome_of(code)
    assert alone is None or alone.value <= 2


def test_there_is_no_room_but_what_is_limited() -> None:
    code = (
        "mounts = [line.split() for line in open('/proc/mounts')]\n"
        "[[m[1], *sorted({'ro', *(o for o in m[3].split(',') if o.startswith('size='))} & set(m[3].split(',')))]"
        " for m in mounts if m[2] == 'tmpfs']"
    )
    outcome = outcome_of(code, replace(LIMITS, file_mb=2))
    if outcome is not None:
        kinds = {place: options for place, *options in outcome.value}
        assert {"/", "/dev", "/dev/shm", "/tmp"} <= kinds.keys()
        assert all("ro" in options or "size=2048k" in options for options in kinds.values()), kinds


def test_without_bubblewrap_it_refuses_and_says_what_to_type(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unsupported, match=f"not on PATH. Install it with: {INSTALL}"):
        run_program("1", backend="bubblewrap")


def test_a_bubblewrap_that_cannot_isolate_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text(f"#!{sys.executable}\nimport sys\nsys.exit('bwrap: No permissions to create new namespace')\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unsupported, match="No permissions to create new namespace"):
        run_program("1", backend="bubblewrap")
