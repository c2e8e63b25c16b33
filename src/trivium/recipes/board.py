"""Tables of many recipes, written from them and the ledger: the board of all papers, and the one in the README.

Everything here is a function from what is given to Markdown; equal input gives equal bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from trivium.errors import UserError
from trivium.lab.recipe import Recipe
from trivium.recipes.markdown import prose, table
from trivium.recipes.numbers import Line, headline, margin
from trivium.recipes.papers import Entry
from trivium.recipes.standing import NO_VERDICT, WRITTEN, standing

BEGIN, END = "<!-- claims -->", "<!-- /claims -->"
DECISIONS = ("confirmed", "refuted", "inconclusive")
COLUMNS = ("paper", "title", "recipe", "verdict", "effect", "margin", "seeds", "minutes")
NO_RECIPE = "no recipe yet"

Found = Mapping[tuple[str, str], Line]
"""By slug and claim."""


def board(papers: Sequence[Entry], recipes: Mapping[str, Recipe], lines: Sequence[Line]) -> str:
    """All papers by family, each with the verdict on the headline of its recipe, which is its first claim."""
    found = standing(recipes.values(), lines)
    heads = {slug: found.get((slug, made.claims[0].says)) for slug, made in recipes.items()}
    families: dict[str, list[Entry]] = {}
    for entry in papers:
        families.setdefault(entry.family, []).append(entry)
    parts = [
        f"# The board\n\n{_count(papers, heads)}, in {len(families)} families.",
        _totals(recipes, heads, found),
        "The verdict on a recipe is that on its first claim. *Confirmed*: the whole 95% interval of the effect lies"
        " above the claim's margin; *refuted*: below it; else *inconclusive*. What would be confirmed stays"
        " inconclusive where the interval of the null arm, in which the mechanism is destroyed, lies above the margin"
        " too, or where the better arm is not surely better than the null arm; with one seed everything does. A point"
        " is a hundredth of the metric.",
        WRITTEN,
    ]
    for family in sorted(families):
        rows = [_board_row(entry, recipes, heads) for entry in families[family]]
        parts.append(f"## {family}\n\n{_count(families[family], heads)}.")
        parts.append(table(COLUMNS, rows, right=(0, 6, 7)))
    return "\n\n".join(parts) + "\n"


def readme_table(recipes: Iterable[Recipe], lines: Sequence[Line], folder: str = "docs/recipes") -> str:
    """A row for every recipe whose first claim has a verdict; `folder` is where pages are, seen from the README."""
    rows = []
    for made in recipes:
        found = standing([made], lines)
        line = found.pop((made.slug, made.claims[0].says), None)
        if line is None:
            continue
        further = Counter(other["verdict"] for other in found.values())
        rows.append((
            f"[{made.slug}]({folder}/{made.slug}.md)", prose(line["claim"]), line["verdict"], headline(line),
            margin(line), str(line["seeds"]),
            ", ".join(f"{further[said]} {said}" for said in DECISIONS if further[said]) or "-",
        ))  # fmt: skip
    return table(("recipe", "first claim", "verdict", "effect", "margin", "seeds", "further claims"), rows, right=(5,))


def with_table(readme: str, rows: str) -> str:
    """A README with what stands between its two markers replaced.  Raises UserError where they are missing."""
    before, begun, rest = readme.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not (begun and ended):
        raise UserError(f"the README has no place for the table; put {BEGIN} and, below it, {END} where it belongs")
    return f"{before}{BEGIN}\n\n{rows}\n\n{END}{after}"


def _count(papers: Sequence[Entry], heads: Mapping[str, Line | None]) -> str:
    """`18 papers, 3 recipes, 2 verdicts`."""
    known = [heads[entry.slug] for entry in papers if entry.slug in heads]
    numbers = (("paper", len(papers)), ("recipe", len(known)), ("verdict", sum(line is not None for line in known)))
    return ", ".join(f"{n} {name}{'' if n == 1 else 's'}" for name, n in numbers)


def _totals(recipes: Mapping[str, Recipe], heads: Mapping[str, Line | None], found: Found) -> str:
    every = [found.get((made.slug, claim.says)) for made in recipes.values() for claim in made.claims]
    minutes = sum(line["minutes"] for line in heads.values() if line)
    totals = [
        f"first claims: {_verdicts(heads.values())}",
        f"all {len(every)} claims: {_verdicts(every)}",
        f"minutes it took, each on the machine its page names: {minutes:,.0f}",
    ]
    return "\n".join(f"- {total}" for total in totals)


def _verdicts(lines: Iterable[Line | None]) -> str:
    """`3 confirmed, 1 refuted, 0 inconclusive, 2 no verdict yet`."""
    counted = Counter(line["verdict"] if line else NO_VERDICT for line in lines)
    return ", ".join(f"{counted[verdict]} {verdict}" for verdict in (*DECISIONS, NO_VERDICT))


def _board_row(entry: Entry, recipes: Mapping[str, Recipe], heads: Mapping[str, Line | None]) -> Sequence[str]:
    if entry.slug not in recipes:
        return str(entry.number), prose(entry.title), "-", NO_RECIPE, "-", "-", "-", "-"
    title, line = f"[{prose(entry.title)}](recipes/{entry.slug}.md)", heads[entry.slug]
    if line is None:
        return str(entry.number), title, entry.slug, NO_VERDICT, "-", "-", "-", "-"
    measured = headline(line), margin(line), str(line["seeds"]), f"{line['minutes']:.1f}"
    return str(entry.number), title, entry.slug, line["verdict"], *measured
