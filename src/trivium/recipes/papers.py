"""The 138 papers, with or without a recipe: `papers.tsv` beside this file."""

from __future__ import annotations

import csv
import functools
import re
from dataclasses import dataclass
from pathlib import Path

from trivium.errors import UnknownName, UserError

WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Entry:
    """A paper: number, slug, family, title, and its idea in our words."""

    number: int
    slug: str
    family: str
    title: str
    idea: str

    @property
    def file(self) -> Path:
        """Where its recipe is, or would be."""
        return Path(__file__).parent / self.family / f"{self.slug.replace('-', '_')}.py"

    @property
    def module(self) -> str:
        return f"trivium.recipes.{self.family}.{self.slug.replace('-', '_')}"

    @property
    def has_recipe(self) -> bool:
        return self.file.is_file()


@functools.cache
def papers() -> tuple[Entry, ...]:
    """All papers, by number."""
    with open(Path(__file__).parent / "papers.tsv", encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return tuple(Entry(int(row.pop("number")), **row) for row in rows)


def paper(name: str) -> Entry:
    """The paper of a slug or a number.  Raises UnknownName with the nearest slugs."""
    for entry in papers():
        if name in (entry.slug, str(entry.number)):
            return entry
    raise UnknownName("recipe", name, [entry.slug for entry in papers()], "See: trivium find WORDS")


def search(words: str, extra: dict[str, str] | None = None) -> list[Entry]:
    """Papers in which every word occurs (title, idea, family, slug, number, and `extra` text by slug), best first.

    A word counts where a word of the text begins with it: three times in slug or title, once elsewhere.  Raises
    UserError where there is no word to look for.
    """
    wanted = [word.lower() for word in WORD.findall(words)]
    if not wanted:
        raise UserError(f"nothing to look for in {words!r}; expected words, such as: trivium find preference tree")
    found = []
    for entry in papers():
        head = WORD.findall(f"{entry.slug} {entry.title}".lower())
        body = WORD.findall(f"{entry.idea} {entry.family} {entry.number} {(extra or {}).get(entry.slug, '')}".lower())
        hits = [3 * _starts(head, word) + _starts(body, word) for word in wanted]
        if all(hits):
            found.append((-sum(hits), entry.number, entry))
    return [entry for *_, entry in sorted(found, key=lambda row: row[:2])]


def _starts(words: list[str], start: str) -> int:
    return sum(word.startswith(start) for word in words)
