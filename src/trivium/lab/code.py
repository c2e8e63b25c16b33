"""Which code a result depends on: a hash for every module of Trivium that was loaded when it was made.

Comments, docstrings and layout do not count, so that what is only said better need not be run again.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType

from trivium.store.machine import versions

NEUTRAL = ("cli", "report", "store", "lab.runner", "lab.keep", "recipes", "claims")
"""Parts that show, keep or compare results and cannot change one; a recipe counts by its own file alone."""
WORKER = "_worker.py"
"""How files end that run in processes of their own: never loaded here, they count with what their folder has loaded."""
LIBRARIES = (
    "torch", "transformers", "tokenizers", "reasoning-gym", "numpy", "duckdb", "pydantic-monty", "math-verify"
)  # fmt: skip
"""Distributions that results are computed with; another version of one is other code."""


def loaded(own: str) -> dict[str, str]:
    """The hash of every module loaded in this process that a result may depend on, and of the recipe `own`.

    It is that of the code which runs: a file that is changed after a module was met here first counts as it was.
    """
    names = {name for name in list(sys.modules) if name == own or _counts(name)}
    names |= {worker for name in names for worker in _workers(name.rpartition(".")[0])}
    return {name: found for name in sorted(names) if (found := _as_met(name))} | _libraries()


def unchanged(hashes: Mapping[str, str]) -> bool:
    """Whether all these modules are still as they were."""
    now = _libraries()
    return all((now[name] if name in now else module_hash(name)) == had for name, had in hashes.items())


def combined(hashes: Mapping[str, str]) -> str:
    """One short name for a set of module hashes."""
    return digest(f"{name}={value}" for name, value in sorted(hashes.items()))


def digest(parts: Iterable[str]) -> str:
    """16 hexadecimal digits of some texts."""
    return hashlib.blake2b("\x1f".join(parts).encode(), digest_size=8).hexdigest()


def module_hash(name: str) -> str | None:
    """The hash of a module's syntax tree without docstrings; `None` where it has no source file."""
    path = Path(__file__).parents[1].joinpath(*name.split(".")[1:])
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if not source.is_file():
        return None
    stat = source.stat()
    return _file_hash(source, stat.st_mtime_ns, stat.st_size)


@functools.cache
def _workers(package: str) -> tuple[str, ...]:
    """The modules of a package that run in processes of their own."""
    folder = Path(__file__).parents[1].joinpath(*package.split(".")[1:])
    return tuple(f"{package}.{path.stem}" for path in folder.glob(f"*{WORKER}"))


@functools.cache
def _libraries() -> dict[str, str]:
    return versions(LIBRARIES)


_MET: dict[str, tuple[ModuleType | None, str | None]] = {}


def _as_met(name: str) -> str | None:
    """The hash of a module when this process first asked for it, until it is loaded again."""
    module = sys.modules.get(name)
    if name not in _MET or _MET[name][0] is not module:
        _MET[name] = (module, module_hash(name))
    return _MET[name][1]


@functools.cache
def _file_hash(source: Path, changed_at: int, size: int) -> str:
    tree = ast.parse(source.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [statement for statement in node.body if not _is_text(statement)] or [ast.Pass()]
    return digest([ast.dump(tree)])


def _is_text(statement: ast.stmt) -> bool:
    """A docstring, of a function or of the constant above it."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _counts(name: str) -> bool:
    top, _, rest = name.partition(".")
    return top == "trivium" and not any(rest == part or rest.startswith(f"{part}.") for part in NEUTRAL)
