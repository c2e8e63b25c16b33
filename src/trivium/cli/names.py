"""What has a name on the command line, by kind, described without importing what is heavy."""

from __future__ import annotations

import ast
import importlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trivium.errors import UnknownName, UserError
from trivium.recipes.papers import papers
from trivium.registry import Registry

REGISTRIES = {
    "tasks": "trivium.tasks:TASKS",
    "policies": "trivium.policies:POLICIES",
    "methods": "trivium.search:METHODS",
    "objectives": "trivium.learn:OBJECTIVES",
    "rewards": "trivium.rewards:REWARDS",
    "datasets": "trivium.data:DATASETS",
}
FUNCTIONS = ("verifiers", "parsers")
"""Kinds of functions without options."""
KINDS = (*REGISTRIES, *FUNCTIONS, "recipes")


def registry(kind: str) -> Registry[Any]:
    """The registry of a kind, given in the plural."""
    if kind not in REGISTRIES:
        raise UnknownName("kind", kind, KINDS)
    module, attribute = REGISTRIES[kind].split(":")
    found: Registry[Any] = getattr(importlib.import_module(module), attribute)
    return found


def described(kind: str) -> list[tuple[str, str]]:
    """Name and summary of everything of one kind.

    Raises:
        UnknownName: there is no such kind.
    """
    if kind == "parsers":
        from trivium.verify import PARSERS

        return [(name, _first_line(parser.__doc__)) for name, parser in sorted(PARSERS.items())]
    if kind == "verifiers":
        from trivium.verify import VERIFIERS

        return [(name, judge.summary) for name, judge in sorted(VERIFIERS.items())]
    known = registry(kind)
    return [(name, _summary(known, name)) for name in known.names()]


def find(spec: str) -> tuple[str, Registry[Any], str]:
    """Kind, registry and name of a registered thing, by its name or spec.

    Raises:
        UserError: several kinds have that name (write `KIND/NAME`).
        UnknownName: none has.
    """
    kind, slash, rest = spec.partition("/")
    if slash and kind in REGISTRIES:
        known = registry(kind)
        name = rest.partition(":")[0]
        known.factory(name)
        return kind, known, name
    name = spec.partition(":")[0]
    found = [(kind, known) for kind in REGISTRIES if name in (known := registry(kind)).where]
    if not found:
        everything = {name for kind in REGISTRIES for name in registry(kind).names()} | {p.slug for p in papers()}
        everything |= {name for kind in FUNCTIONS for name, _ in described(kind)}
        raise UnknownName("name or run", name, everything, f"See: trivium list {'|'.join(KINDS)}")
    if len(found) > 1:
        choices = " or ".join(f"{kind}/{name}" for kind, _ in found)
        raise UserError(f"{name!r} names several things; write {choices}")
    return found[0][0], found[0][1], name


def function(spec: str) -> tuple[str, str, str] | None:
    """Kind, name and summary of a verifier or parser, by its name where no registry has it, or by `KIND/NAME`."""
    kind, slash, name = spec.partition("/")
    if not slash:
        name = spec
        if any(name in registry(kind).where for kind in REGISTRIES):
            return None
    for listed in FUNCTIONS:
        summary = dict(described(listed)).get(name) if not slash or kind == listed else None
        if summary:
            return listed.removesuffix("s"), name, summary
    return None


def _summary(known: Registry[Any], name: str) -> str:
    """First line of the docstring, read from the source: importing an objective loads torch, for one line of text."""
    module, attribute = known.where[name].split(":")
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return known.summary(name)
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    for node in _definitions(tree):
        if node.name == attribute and (docstring := ast.get_docstring(node)):
            return _first_line(docstring)
    return known.summary(name)


def _definitions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    return (node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef))


def _first_line(docstring: str | None) -> str:
    return (docstring or "").strip().partition("\n")[0]


def named_voices(given: list[str]) -> list[tuple[str, str]]:
    """`judge=smollm2` as a name and the spec of a policy."""
    pairs = [(name, spec) for name, _, spec in (text.partition("=") for text in given)]
    for text, (name, spec) in zip(given, pairs, strict=True):
        if not name or not spec:
            raise UserError(f"--voice {text}: expected NAME=POLICY, such as judge=smollm2")
        if sum(name == other for other, _ in pairs) > 1:
            raise UserError(f"--voice {name} is given twice; give each voice a name of its own")
    return pairs
