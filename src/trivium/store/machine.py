"""What a result was made with: versions, commit and machine, found without importing anything heavy."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("trivium", "torch", "transformers", "tokenizers", "safetensors", "numpy", "duckdb", "pyarrow")


def versions(packages: tuple[str, ...] = PACKAGES) -> dict[str, str]:
    """Installed versions by distribution name, and Python's; absent packages are left out."""
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> dict[str, Any]:
    """CPU model, cores this process may use, memory in GiB and the operating system; and the GPUs, if there are any."""
    found = {
        "cpu": _cpu_model(),
        "cores": cores(),
        "memory_gib": _memory_gib(),
        "system": platform.platform(terse=True),
    }
    return {**found, "gpus": gpus} if (gpus := _gpu_models()) else found


def commit() -> str | None:
    """The git commit of the source checkout Trivium runs from (`+` marks local changes), or `None` if installed."""
    package = Path(__file__).resolve().parents[1]
    root = package.parents[1]
    # An installed copy may sit inside somebody else's repository: only our own checkout has the package at src/.
    if not (root / ".git").exists() or package != root / "src" / "trivium":
        return None
    head = _git(root, "rev-parse", "HEAD")
    if head is None:
        return None
    return head + ("+" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")


def _git(root: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _cpu_model() -> str:
    """The processor's name, with its family and model: in a virtual machine one name stands for several generations."""
    try:
        said = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0]
    except OSError:
        said = ""
    known = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in said.splitlines())}
    name = known.get("model name")
    if name is None:
        return platform.processor() or platform.machine()
    return f"{name} (family {known['cpu family']}, model {known['model']})" if "cpu family" in known else name


def _gpu_models() -> list[str]:
    """The names of the GPUs that NVIDIA's driver knows, in its order."""
    names = []
    for about in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        model = re.search(r"^Model:\s*(.+)$", about.read_text(encoding="utf-8"), re.MULTILINE)
        names.append(model[1].strip() if model else "unknown")
    return names


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None
