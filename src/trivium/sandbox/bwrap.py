"""The back end for full Python: bubblewrap, a program in namespaces of its own.

Inside there is no network, no other process, no home folder and no environment; the system and this interpreter are
read-only, `/tmp` is small, private and gone afterwards.  Time is limited from outside, everything else by rlimits that
the program cannot raise.  Memory is counted per process, on top of what the bare interpreter maps.

A program runs under a user of its own where this process is root, because the kernel exempts root from the limit on
processes; otherwise in a user namespace.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from trivium.errors import Unsupported
from trivium.sandbox.outcome import Limits, Outcome, shortened

INSTALL = "apt-get install bubblewrap"

# What a dynamically linked interpreter needs of the system, where it exists; all of it is mounted read-only.
_SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime")

# Root gives each program a user that nobody else has, so that the limit on processes counts this program's alone.
_USERS = itertools.count(os.getpid() % 10_000)
_FIRST_USER, _NUM_USERS = 400_000, 100_000

# The job arrives on standard input; the report leaves on what was standard error; the program prints to the rest.
# It runs with `-I`, so it imports nothing that the program could have replaced.
_RUNNER = """
import ast, json, os, resource, sys

started = os.getpid()
report = os.fdopen(os.dup(2), "w")
os.dup2(1, 2)
job = json.load(sys.stdin)
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
if job["user"] is not None:
    os.setgroups([])
    os.setresgid(job["user"], job["user"], job["user"])
    os.setresuid(job["user"], job["user"], job["user"])
mapped = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
job["limits"]["RLIMIT_AS"] += mapped
for name, limit in job["limits"].items():
    resource.setrlimit(getattr(resource, name), (limit, limit))


def run(code, scope):
    tree = ast.parse(code, "program")
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "program", "exec"), scope)
    return None if last is None else eval(compile(ast.Expression(last.value), "program", "eval"), scope)


def line_of(error):
    if isinstance(error, SyntaxError):
        return error.lineno
    line, trace = None, error.__traceback__
    while trace is not None:
        line = trace.tb_lineno if trace.tb_frame.f_code.co_filename == "program" else line
        trace = trace.tb_next
    return line


try:
    said = json.dumps({"value": run(job["code"], {"__name__": "__main__", **job["inputs"]})})
except MemoryError:
    said = json.dumps({"memory": True})
except SystemExit as error:
    left = {"error": "SystemExit", "message": str(error), "line": line_of(error)}
    said = json.dumps(left if error.code else {"value": None})
except BaseException as error:
    said = json.dumps({"error": type(error).__name__, "message": str(error)[:2000], "line": line_of(error)})
sys.stdout.flush()
if os.getpid() == started:
    report.write(said)
    report.flush()
os._exit(0)
"""


def run_full(code: str, *, inputs: Mapping[str, Any], limits: Limits) -> Outcome:
    """Run a full Python program under bubblewrap.  Inputs and value pass as JSON (a tuple comes back as a list).

    Raises `Unsupported` where bubblewrap is missing or may not make namespaces, and `TypeError` for inputs that are not
    JSON.
    """
    command = [*_isolation(limits.file_mb << 20), sys.executable, "-I", "-u", "-c", _RUNNER]
    job = {
        "code": code,
        "inputs": dict(inputs),
        "user": _FIRST_USER + next(_USERS) % _NUM_USERS if os.geteuid() == 0 else None,
        "limits": {
            "RLIMIT_AS": limits.memory_mb << 20,
            "RLIMIT_CPU": int(limits.seconds) + 1,
            "RLIMIT_NPROC": limits.processes,
            "RLIMIT_FSIZE": limits.file_mb << 20,
            "RLIMIT_NOFILE": 64,
            "RLIMIT_CORE": 0,
        },
    }
    with tempfile.TemporaryFile("w+") as stdin:
        json.dump(job, stdin)
        stdin.seek(0)
        process = subprocess.Popen(
            command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
    grace = 0.0
    try:
        printed, said, excess = _collect(process, limits)
        grace = 1.0 if excess is None else 0.0
    finally:
        _end(process, grace)
    stdout = printed[: limits.output_bytes].decode(errors="replace")
    if excess is not None:
        return Outcome(excess.status, None, stdout, message=excess.message)
    return _read_report(said, process.returncode, stdout, limits)


def _isolation(tmp_bytes: int) -> list[str]:
    """The bubblewrap command line up to the program, checked to work on this machine."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        raise Unsupported(
            f"running full Python needs bubblewrap, which is not on PATH. Install it with: {INSTALL}. "
            "Without isolation a program is never run."
        )
    _check_works(bwrap)
    return _command(bwrap, tmp_bytes)


@functools.lru_cache(maxsize=4)
def _check_works(bwrap: str) -> None:
    tried = subprocess.run(
        [*_command(bwrap, 1 << 20), sys.executable, "-I", "-c", "pass"], capture_output=True, text=True, timeout=30
    )
    if tried.returncode != 0:
        said = (tried.stderr.strip().splitlines() or ["no message"])[-1]
        raise Unsupported(
            f"running full Python needs bubblewrap, and {bwrap} cannot isolate a program here ({said}). "
            f"In a container, allow user namespaces or add CAP_SYS_ADMIN; on a machine of your own: {INSTALL}"
        )


def _command(bwrap: str, tmp_bytes: int) -> list[str]:
    words = [bwrap, "--die-with-parent", "--clearenv", "--setenv", "OMP_NUM_THREADS", "1"]
    words += ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    if os.geteuid() == 0:
        words += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        words += ["--unshare-user", "--disable-userns"]
    room = ["--size", str(tmp_bytes), "--perms", "1777", "--tmpfs"]
    # /dev is a file system in memory without a limit, which a program may fill that has the user who began it.
    words += ["--proc", "/proc", "--dev", "/dev", *room, "/dev/shm", "--remount-ro", "/dev", *room, "/tmp"]
    # After /tmp: this Python may itself live in a folder below it.
    for path in dict.fromkeys([*_SYSTEM, sys.base_prefix, sys.prefix, str(Path(sys.executable).resolve().parent)]):
        for parent in reversed(Path(path).parents[:-1]):
            if str(parent) == "/tmp":
                continue
            words += ["--perms", "0755", "--dir", str(parent)]  # else only root may pass through it
        if os.path.islink(path):
            words += ["--symlink", os.readlink(path), path]
        elif os.path.exists(path):
            words += ["--ro-bind", path, path]
    return [*words, "--remount-ro", "/", "--chdir", "/tmp"]


def _collect(process: subprocess.Popen[bytes], limits: Limits) -> tuple[bytes, bytes, Outcome | None]:
    """What the program printed, what the runner reported, and the limit that was passed, if any."""
    assert process.stdout is not None
    assert process.stderr is not None
    printed, said = bytearray(), bytearray()
    deadline = time.monotonic() + limits.seconds
    with selectors.DefaultSelector() as waiting:
        waiting.register(process.stdout, selectors.EVENT_READ, printed)
        waiting.register(process.stderr, selectors.EVENT_READ, said)
        while waiting.get_map():
            ready = waiting.select(max(0.0, deadline - time.monotonic()))
            if time.monotonic() >= deadline:
                return bytes(printed), b"", Outcome("timeout", message=f"still running after {limits.seconds:g} s")
            for key, _ in ready:
                stream: IO[bytes] = key.fileobj  # type: ignore[assignment]
                chunk = os.read(stream.fileno(), 65_536)
                if not chunk:
                    waiting.unregister(stream)
                key.data.extend(chunk)
                if len(key.data) > limits.output_bytes:
                    what = "printed" if key.data is printed else "returned"
                    over = Outcome("output-limit", message=f"{what} more than {limits.output_bytes} bytes")
                    return bytes(printed), b"", over
    return bytes(printed), bytes(said), None


def _end(process: subprocess.Popen[bytes], grace: float) -> None:
    """Wait `grace` seconds for the sandbox to end, then kill its process group and with it the process namespace."""
    try:
        process.wait(grace)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def _read_report(said: bytes, code: int, stdout: str, limits: Limits) -> Outcome:
    """The runner's report as an outcome.  The program shares the runner's process and could forge it: it is data."""
    try:
        report = json.loads(said)
        if "value" in report:
            return Outcome("ok", report["value"], stdout)
        if "memory" in report:
            return Outcome("memory", None, stdout, message=f"needs more than {limits.memory_mb} MiB")
        line = report["line"] if isinstance(report["line"], int) else None
        return Outcome("error", None, stdout, str(report["error"]), shortened(str(report["message"])), line)
    except (ValueError, TypeError, KeyError, RecursionError):
        if code == 128 + signal.SIGXCPU:
            return Outcome("timeout", None, stdout, message=f"used {limits.seconds:g} s of processor time")
        why = shortened(said.decode(errors="replace").strip()) or f"exit code {code}"
        return Outcome("error", None, stdout, "SystemExit", f"ended without a result ({why})")
