"""Papers and the verdicts on their claims, as the ledger has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trivium.errors import DataError
from trivium.store.ledger import Line, current, of_size, read, unit

DECISIONS = ("confirmed", "refuted", "inconclusive")
_SHOWN = (
    "claim", "verdict", "effect", "low", "high", "margin", "better", "worse", "metric", "lower_is_better", "seeds",
    "minutes", "date", "commit",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Paper:
    """A paper, with or without a recipe."""

    number: int
    slug: str
    family: str
    title: str
    idea: str
    recipe: bool


@dataclass(slots=True)
class Claims:
    """What is known of all papers; the ledger is read again whenever it has grown.

    `says` gives one sentence on what the recipe of a slug shows.
    """

    papers: Sequence[Paper]
    says: Callable[[str], str]
    ledger: Path
    error: str = ""
    """What is wrong with the ledger, in a sentence."""
    _state: tuple[float, int] = (0.0, -1)
    _lines: list[dict[str, Any]] = field(default_factory=list)

    def counts(self) -> dict[str, Any]:
        """How the claims that recipes make now were decided, and how many papers and recipes there are."""
        counted = Counter(line["verdict"] for line in current(self._read()).values())
        totals: dict[str, Any] = {"papers": len(self.papers), "recipes": sum(paper.recipe for paper in self.papers)}
        totals |= {"error": self.error} if self.error else {}
        return {decision: counted[decision] for decision in DECISIONS} | totals

    def families(self) -> dict[str, Any]:
        """All papers by family, each with the verdicts that stand."""
        standing = current(self._read())
        families: dict[str, list[dict[str, Any]]] = {}
        for paper in self.papers:
            lines = [line for (slug, _), line in standing.items() if slug == paper.slug]
            families.setdefault(paper.family, []).append({
                "paper": paper.number, "slug": paper.slug, "title": paper.title, "says": self._said(paper),
                "recipe": paper.recipe, "claims": list(map(_short, lines)),
            })  # fmt: skip
        found = [{"name": name, "papers": families[name]} for name in sorted(families)]
        return {"families": found, "error": self.error}

    def slugs(self) -> list[str]:
        """The papers that have a verdict."""
        return list(dict.fromkeys(line["slug"] for line in self._read()))

    def paper(self, slug: str) -> dict[str, Any] | None:
        """Everything ever found on one paper, the newest run first, the claims of a run in the order of its recipe.

        `None` for a paper that there is not.
        """
        paper = next((paper for paper in self.papers if paper.slug == slug), None)
        if paper is None:
            return None
        lines = self._read()
        now = {claim for at, claim in current(lines) if at == slug}
        own = sorted((line for line in lines if line["slug"] == slug), key=lambda line: str(line["date"]), reverse=True)
        # Sorting keeps the order of a date.
        told = [{**line, "unit": unit(line), "former": line["claim"] not in now} for line in of_size(own)]
        full = [{**line, "unit": unit(line)} for line in of_size(own, "full")]
        return {
            "slug": slug, "paper": paper.number, "title": paper.title, "family": paper.family, "idea": paper.idea,
            "says": self._said(paper), "recipe": paper.recipe, "claims": told, "full": full, "error": self.error,
        }  # fmt: skip

    def _said(self, paper: Paper) -> str:
        return self.says(paper.slug) if paper.recipe else paper.idea

    def _read(self) -> list[dict[str, Any]]:
        try:
            found = self.ledger.stat()
        except OSError:
            return []
        state = (found.st_mtime, found.st_size)
        if state != self._state:
            try:
                self._lines, self.error = read(self.ledger), ""
            except DataError as error:
                self._lines, self.error = [], str(error)
            except ValueError as error:
                self._lines, self.error = [], f"{self.ledger} is damaged ({error}); expected one JSON object a line"
            self._state = state
        return self._lines


def _short(line: Line) -> dict[str, Any]:
    return {key: line.get(key) for key in _SHOWN} | {"unit": unit(line)}
