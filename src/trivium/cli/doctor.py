"""`trivium doctor`: is this machine fit, and can this run learn?"""

from __future__ import annotations

import math
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import typer

from trivium.cli.output import bytes_text, print_json, printable
from trivium.errors import Unsupported
from trivium.store import machine

NEEDED_BYTES = 3_000_000_000
"""A demo run keeps the converted model, one checkpoint with its optimiser, and the trained model."""


@dataclass(frozen=True, slots=True)
class Check:
    """One finding; `fix` says what to do where it is not `ok`."""

    name: str
    value: str
    ok: bool = True
    fix: str = ""


def command(
    task: str | None = typer.Option(None, help="Also check this task, and whether a run on it can learn."),
    policy: str | None = typer.Option(None, help="Also sample from this policy, on --task or the default task."),
    objective: str | None = typer.Option(None, help="The objective the run would use."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object with a list of checks."),
) -> int | None:
    """Check this machine; with --task or --policy, sample a few answers and refuse a run that cannot learn."""
    found: list[Check] = []
    for check in _checks(task, policy, objective):
        found.append(check)
        if not as_json:
            print(f"{'ok  ' if check.ok else 'FAIL'}  {check.name}: {printable(check.value)}", flush=True)
            if not check.ok and check.fix:
                print(f"      fix: {check.fix}", flush=True)
    if as_json:
        print_json({"ok": all(check.ok for check in found), "checks": [asdict(check) for check in found]})
    return 0 if all(check.ok for check in found) else 1


def _checks(task: str | None, policy: str | None, objective: str | None) -> Iterator[Check]:
    yield _machine()
    yield from _versions()
    yield from _torch()
    yield from _sandboxes()
    yield _disk()
    if task is not None:
        yield from _task(task)
    if task is not None or policy is not None:
        yield from _preflight(task, policy, objective)


def _machine() -> Check:
    found = machine.machine()
    return Check("machine", f"{found['cpu']}, {found['cores']} cores, {found['memory_gib']} GiB, {found['system']}")


def _versions() -> Iterator[Check]:
    """Installed against tested versions; another version is a remark, a missing package is a failure."""
    found = machine.versions()
    yield Check("python", found.pop("python"))
    tested = _constraints()
    for name in machine.PACKAGES:
        if name not in found:
            yield Check(name, "not installed", False, "make .venv")
            continue
        same = name not in tested or found[name].partition("+")[0] == tested[name].partition("+")[0]
        yield Check(name, found[name] + ("" if same else f" (tested with {tested[name]})"))


def _constraints() -> dict[str, str]:
    """The exact versions in the checkout's constraints.txt; none where Trivium is installed without it."""
    path = Path(__file__).resolve().parents[3] / "constraints.txt"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    matches = (re.match(r"([\w.-]+)==(\S+)", line) for line in lines)
    return {match[1].lower(): match[2] for match in matches if match}


def _torch() -> Iterator[Check]:
    import torch

    from trivium.policies.device import resolve_device
    from trivium.policies.folder import fastest_dtype, resolve_dtype

    yield Check("torch threads", str(torch.get_num_threads()))
    for dtype in (torch.float32, torch.bfloat16):
        rate = _products(torch, dtype)
        yield Check(f"{_short(dtype)} products", f"{two_digits(rate / 1e9)} GFLOP/s (1024 x 1024)")
    fast = fastest_dtype()
    why = "the faster one here" if fast == torch.bfloat16 else "as bfloat16 is slower here, or hardly faster"
    if torch.cuda.is_available():
        gpu = torch.cuda.get_device_properties(0)
        yield Check("gpu", f"{gpu.name}, {bytes_text(gpu.total_memory)}; device=cpu in a spec does without it")
        fast, why = resolve_dtype("auto", resolve_device("cuda")), "on the GPU"
    else:
        yield Check("gpu", f"none that torch {torch.__version__} can use")
    yield Check("pretrained policies use", f"{_short(fast)}, {why}; dtype=fp32 or dtype=bf16 in a spec decides")


def _short(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")


def two_digits(value: float) -> str:
    """A positive number with two significant digits: `420`, `1.5`, `0.034`."""
    places = 1 - math.floor(math.log10(value))
    return f"{round(value, places):,.{max(0, places)}f}"


def _products(torch: Any, dtype: Any, size: int = 1024, seconds: float = 0.3) -> float:
    """Floating-point operations a second of square matrix products, the best of the repeats."""
    a = torch.randn(size, size).to(dtype)
    a @ a
    best, until = float("inf"), time.perf_counter() + seconds
    while best == float("inf") or time.perf_counter() < until:  # one product may take longer than all are given
        start = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - start)
    return float(2 * size**3 / best)


def _sandboxes() -> Iterator[Check]:
    """Which isolating back ends work here; either alone is enough for what its users need."""
    from trivium.sandbox import Backend, run_program

    backends: tuple[Backend, ...] = ("monty", "bubblewrap")
    for backend in backends:
        try:
            outcome = run_program("6 * 7", backend=backend)
        except Unsupported as error:
            yield Check(f"sandbox {backend}", f"not available: {error}")
            continue
        works = outcome.value == 42
        yield Check(f"sandbox {backend}", "isolates" if works else f"broken: {outcome}", works, "reinstall its package")


def _disk() -> Check:
    free = shutil.disk_usage(Path.cwd()).free
    return Check("free disk here", bytes_text(free), free > NEEDED_BYTES, f"free {bytes_text(NEEDED_BYTES)} for a run")


def _task(spec: str) -> Iterator[Check]:
    from trivium.tasks import task
    from trivium.tasks.contract import check_task

    findings = check_task(task(spec))
    for finding in findings:
        yield Check(f"task {spec}", finding, False, "correct the task, or its data")
    if not findings:
        yield Check(f"task {spec}", "keeps the contract of tasks")


def _preflight(task: str | None, policy: str | None, objective: str | None) -> Iterator[Check]:
    """What the run itself finds when it samples a few answers."""
    from trivium.teach import LearnSettings, preflight

    options = {"task": task, "policy": policy, "objective": objective}
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    report = preflight(LearnSettings(**given))
    for check in report["checks"]:
        yield Check(**check)
