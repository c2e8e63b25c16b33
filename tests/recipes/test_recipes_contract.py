"""What every recipe keeps, tested because its file is there: its text, its size, and a whole run in seconds."""

from __future__ import annotations

import ast
import io
import time
import tokenize
from pathlib import Path
from typing import Any

import pytest

from trivium.claims import POINTS
from trivium.errors import UserError
from trivium.lab.lab import Lab
from trivium.lab.recipe import HEADINGS
from trivium.lab.runner import jobs, run
from trivium.lab.verdicts import verdicts
from trivium.policies.tiny import byte_tokenizer, untrained
from trivium.recipes import entries, parts, recipe, sections
from trivium.recipes.papers import Entry, papers
from trivium.store.ledger import FIELDS

CODE_LINES = 130
LONGER = {"cogex": 149}
"""Recipes above the limit, which may only shrink: what two of them share belongs into a part."""
SMOKE_SECONDS = 10.0
EVERY = [pytest.param(entry, id=entry.slug) for entry in entries()]


def code_lines(path: Path) -> int:
    """Lines with code on them: no blanks, comments or docstrings."""
    text = path.read_text(encoding="utf-8")
    silent: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            silent.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    drawn = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    used: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in drawn:
            used.update(range(token.start[0], token.end[0] + 1))
    return len(used - silent)


def test_all_138_papers_are_known_each_once() -> None:
    known = papers()
    assert [entry.number for entry in known] == list(range(1, 139))
    assert len({entry.slug for entry in known}) == 138
    assert all(entry.title and 10 <= len(entry.idea.split()) <= 50 for entry in known)


def test_every_recipe_file_belongs_to_a_paper() -> None:
    folder = Path(papers()[0].file).parents[1]
    files = {path for path in folder.glob("*/*.py") if path.name != "__init__.py"}
    assert files == {entry.file for entry in entries()}


@pytest.mark.parametrize("entry", EVERY)
def test_its_text_says_what_it_must_and_it_is_short(entry: Entry) -> None:
    said = sections(entry)
    assert tuple(said) == ("", *HEADINGS)
    assert all(said.values())
    assert code_lines(entry.file) <= LONGER.get(entry.slug, CODE_LINES)
    made = recipe(entry.slug)
    assert (made.slug, made.paper.number) == (entry.slug, entry.number)
    assert set(made.sizes) == {"smoke", "lab", "full"}
    assert made.claims
    assert made.claims[0].null, "the headline claim needs an arm in which the mechanism is destroyed"
    assert made.claims[0].rivals, "the headline claim needs a trivial rival"
    assert made.seeds >= 3
    assert parts(entry)


@pytest.fixture(scope="module", autouse=True)
def libraries_loaded() -> None:
    """Loading torch and transformers takes seconds, which are no recipe's own: whichever came first would pay them."""
    untrained("30k", byte_tokenizer(), seed=0)


@pytest.mark.parametrize("entry", EVERY)
def test_its_smoke_size_runs_through_in_seconds(entry: Entry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = recipe(entry.slug)
    asked = jobs(entry.module, made, "smoke", [0])
    began = time.process_time()
    found = run(asked, workers=0)
    assert time.process_time() - began < SMOKE_SECONDS
    assert not any(result.overlap for result in found.values())
    lines, refused = verdicts(made, found, "smoke")
    assert not refused
    for line in lines:
        assert set(FIELDS) <= set(line)
        known = [abs(score) for by_seed in line["scores"].values() for score in by_seed.values()]
        assert line["unit"] != POINTS or max(known) < 2, f"{line['metric']} is no share: its claim needs a unit"
    again = time.process_time()
    assert run(asked, workers=0) == found
    assert time.process_time() - again < 1, "finished arms must come from the cache"


@pytest.mark.parametrize("entry", EVERY)
def test_a_policy_that_is_named_is_trained_or_refused(
    entry: Entry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A verdict of the full size is signed with its name: another model must not take its place unnoticed."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = recipe(entry.slug)
    lab: Lab[Any] = Lab(entry.slug, entry.module, made.settings("smoke"), "smoke", 0, "no-such-policy")
    with pytest.raises(UserError, match=r"unknown policy|--policy"):
        made.arms[made.claims[0].better](lab)
