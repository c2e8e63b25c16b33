"""Recipes: one paper each, `recipes/<family>/<slug>.py`, found by being there.  Importing this loads none of them."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path
from typing import TYPE_CHECKING

from trivium.errors import UserError
from trivium.recipes.papers import Entry, paper, papers

if TYPE_CHECKING:
    from trivium.lab.recipe import Recipe


def entries() -> list[Entry]:
    """The papers that have a recipe, by number."""
    return [entry for entry in papers() if entry.has_recipe]


def recipe(name: str) -> Recipe:
    """The recipe of a slug or paper number.  Raises UnknownName, and UserError for a paper without a recipe yet."""
    entry = paper(name)
    if not entry.has_recipe:
        near = [other.slug for other in entries() if other.family == entry.family]
        known = f"; recipes of its family: {', '.join(near)}" if near else ""
        raise UserError(f"{entry.slug} (paper {entry.number}, {entry.title}) has no recipe yet{known}")
    made: Recipe = importlib.import_module(entry.module).RECIPE
    return made


def sections(entry: Entry) -> dict[str, str]:
    """The docstring of a recipe's file by heading; the first line is under ''."""
    text = ast.get_docstring(ast.parse(entry.file.read_text(encoding="utf-8"))) or ""
    found: dict[str, list[str]] = {"": []}
    heading, lines = "", text.splitlines()
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        if below and set(below) == {"-"}:
            heading = line
            found[heading] = []
        elif not (line and set(line) == {"-"}):
            found[heading].append(line)
    return {name: inspect.cleandoc("\n".join(body)).strip() for name, body in found.items()}


def parts(entry: Entry) -> list[str]:
    """The parts of the library a recipe is made of, such as `learn.sft`: what it imports, named specs aside."""
    tree = ast.parse(entry.file.read_text(encoding="utf-8"))
    used = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("trivium."):
            used.add(node.module.removeprefix("trivium."))
    return sorted(name for name in used if name.partition(".")[0] not in ("lab", "claims", "types", "errors"))


def source(entry: Entry) -> str:
    """The text of a recipe's file."""
    return Path(entry.file).read_text(encoding="utf-8")
