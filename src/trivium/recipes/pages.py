"""Documentation written from recipes and the ledger: the board of all papers, a page a recipe, the README's table.

Everything here is a function from what is given to Markdown; equal input gives equal bytes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from trivium.errors import UserError
from trivium.lab.recipe import HEADINGS, Recipe
from trivium.recipes.numbers import Line, amount, compared, to_decide, unit, words
from trivium.recipes.papers import Entry
from trivium.store.ledger import latest

BEGIN, END = "<!-- claims -->", "<!-- /claims -->"
WRITTEN = "Written by `trivium board` from the recipes and the ledger: change those and run it again, not this file."
DECISIONS = ("confirmed", "refuted", "inconclusive")
COLUMNS = ("paper", "title", "recipe", "verdict", "effect", "seeds", "minutes")
NO_VERDICT, NO_RECIPE = "no verdict yet", "no recipe yet"
_CODE = re.compile(r"(`+)(.+?)\1", re.DOTALL)
_MARKUP = re.compile(r"[*\[\]$<]|(?<!\w)_|_(?!\w)|^#", re.MULTILINE)


def standing(recipes: Iterable[Recipe], lines: Sequence[Line]) -> list[Line]:
    """The newest line of every claim that the recipes make, in their order; a claim without one is left out."""
    found = latest(lines)
    return [line for made in recipes for claim in made.claims if (line := found.get((made.slug, claim.says)))]


def board(papers: Sequence[Entry], recipes: Mapping[str, Recipe], lines: Sequence[Line]) -> str:
    """All papers by family, each with the verdict on the headline of its recipe, which is its first claim."""
    found = latest(lines)
    heads = {slug: found.get((slug, made.claims[0].says)) for slug, made in recipes.items()}
    families: dict[str, list[Entry]] = {}
    for entry in papers:
        families.setdefault(entry.family, []).append(entry)
    parts = [
        f"# The board\n\n{_count(papers, heads)}, in {len(families)} families.",
        _totals(recipes, heads, lines),
        "The verdict on a recipe is that on its first claim. *Confirmed*: the whole 95% interval of the effect lies"
        " above the claim's margin; *refuted*: below it; else *inconclusive*. A point is a hundredth of the metric.",
        WRITTEN,
    ]
    for family in sorted(families):
        rows = [_board_row(entry, recipes, heads) for entry in families[family]]
        parts.append(f"## {family}\n\n{_count(families[family], heads)}.")
        parts.append(_table(COLUMNS, rows, right=(0, 5, 6)))
    return "\n\n".join(parts) + "\n"


def page(entry: Entry, made: Recipe, said: Mapping[str, str], lines: Sequence[Line]) -> str:
    """A recipe's page: what its file says (`said`, by heading), and what the ledger has on its claims.

    Raises UserError where a heading that every recipe has is missing, or there is one that none has.
    """
    _check_headings(entry, said)
    own = [line for line in lines if line["slug"] == made.slug]
    current = standing([made], own)
    parts = [
        f"# {_prose(entry.title)}",
        f"Paper {entry.number}, [arXiv:{made.paper.arxiv}](https://arxiv.org/abs/{made.paper.arxiv}), on"
        f" [the board](../board.md) under {entry.family}; recipe `{made.slug}` in `{entry.module}`.",
        _prose(made.says),
    ]
    if current:
        parts.append(f"![the effects of {made.slug}, seed by seed]({made.slug}.svg)")
    parts += [f"## {heading}\n\n{_prose(said[heading])}" for heading in HEADINGS]
    if current:
        parts += [_scores(current), _spent(current)]
    parts.append("## Claims")
    for claim in made.claims:
        history = [line for line in own if line["claim"] == claim.says]
        parts.append(_claim(history) if history else f"### {_prose(claim.says)}\n\n{NO_VERDICT.capitalize()}.")
    parts.append(_repeat(made, max(current, key=own.index) if current else None))
    if former := _former(made, own):
        parts.append(former)
    return "\n\n".join([*parts, WRITTEN]) + "\n"


def readme_table(recipes: Iterable[Recipe], lines: Sequence[Line], folder: str = "docs/recipes") -> str:
    """A row for every recipe whose first claim has a verdict; `folder` is where pages are, seen from the README."""
    rows, found = [], latest(lines)
    for made in recipes:
        line = found.get((made.slug, made.claims[0].says))
        if line is None:
            continue
        further = Counter(other["verdict"] for other in standing([made], lines) if other is not line)
        rows.append((
            f"[{made.slug}]({folder}/{made.slug}.md)", _prose(line["claim"]), line["verdict"], _effect(line),
            str(line["seeds"]), ", ".join(f"{further[said]} {said}" for said in DECISIONS if further[said]) or "-",
        ))  # fmt: skip
    return _table(("recipe", "first claim", "verdict", "effect", "seeds", "further claims"), rows, right=(4,))


def with_table(readme: str, table: str) -> str:
    """A README with what stands between its two markers replaced.  Raises UserError where they are missing."""
    before, begun, rest = readme.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not (begun and ended):
        raise UserError(f"the README has no place for the table; put {BEGIN} and, below it, {END} where it belongs")
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"


def _check_headings(entry: Entry, said: Mapping[str, str]) -> None:
    expected = f"its docstring needs exactly: {', '.join(HEADINGS)}"
    for heading in HEADINGS:
        if not said.get(heading):
            raise UserError(f"{entry.file}: nothing under the heading {heading!r}; {expected}")
    for heading in said:
        if heading and heading not in HEADINGS:
            raise UserError(f"{entry.file}: unknown heading {heading!r}; {expected}")


def _count(papers: Sequence[Entry], heads: Mapping[str, Line | None]) -> str:
    """`18 papers, 3 recipes, 2 verdicts`."""
    known = [heads[entry.slug] for entry in papers if entry.slug in heads]
    numbers = (("paper", len(papers)), ("recipe", len(known)), ("verdict", sum(line is not None for line in known)))
    return ", ".join(f"{n} {name}{'' if n == 1 else 's'}" for name, n in numbers)


def _totals(recipes: Mapping[str, Recipe], heads: Mapping[str, Line | None], lines: Sequence[Line]) -> str:
    found = latest(lines)
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
        return str(entry.number), _prose(entry.title), "-", NO_RECIPE, "-", "-", "-"
    title, line = f"[{_prose(entry.title)}](recipes/{entry.slug}.md)", heads[entry.slug]
    if line is None:
        return str(entry.number), title, entry.slug, NO_VERDICT, "-", "-", "-"
    measured = _effect(line), str(line["seeds"]), f"{line['minutes']:.1f}"
    return str(entry.number), title, entry.slug, line["verdict"], *measured


def _scores(lines: Sequence[Line]) -> str:
    """Every metric's mean by arm, and by seed."""
    parts = ["## Arms"]
    for metric, line in _by_metric(lines).items():
        shown = unit(line)
        seeds = sorted({seed for by_seed in line["scores"].values() for seed in by_seed}, key=int)
        rows = []
        for arm, by_seed in line["scores"].items():
            known = [score for score in by_seed.values() if score is not None]
            mean = sum(known) / len(known) if known else None
            rows.append([_prose(arm), shown.score(mean), *(shown.score(by_seed.get(seed)) for seed in seeds)])
        heads = ("arm", f"mean {words(metric)}", *(f"seed {seed}" for seed in seeds))
        parts.append(_table(heads, rows, right=range(1, len(heads))))
    return "\n\n".join(parts)


def _spent(lines: Sequence[Line]) -> str:
    """What every arm cost, unit by unit."""
    budget: dict[str, Mapping[str, float]] = {}
    for line in lines:
        budget |= line["budget"]
    units = list(dict.fromkeys(name for spent in budget.values() for name in spent))
    rows = [[_prose(arm), *(amount(spent.get(name, 0.0)) for name in units)] for arm, spent in budget.items()]
    heads = ("arm", *map(words, units))
    return f"## What each arm spent\n\nMeans over the seeds.\n\n{_table(heads, rows, right=range(1, len(heads)))}"


def _claim(history: Sequence[Line]) -> str:
    """The newest verdict on a claim, everything it rests on, and how often it was held before."""
    line, earlier = history[-1], history[:-1]
    shown = unit(line)
    margin = f"{shown.difference(line['margin'])} {shown.word}"
    before = f": {', '.join(old['verdict'] for old in earlier)}" if earlier else ""
    smaller = "; smaller is better, and a positive effect is a smaller number" if line["lower_is_better"] else ""
    facts = [
        f"metric: {words(line['metric'])}, margin {margin}{smaller}",
        f"measured: {line['seeds']} seeds, {line['pairs']:,} pairs of answers",
        f"held equal: {', '.join(map(words, line['matched'])) or 'nothing'}",
        f"the paper: {_prose(line['paper_says']) or '-'}",
        f"earlier lines in the ledger: {len(earlier)}{before}",
    ]
    if needed := to_decide(line):
        facts.insert(2, f"to decide it: {needed}")
    rows = [
        (
            _prose(f"{row.arm} over {row.over}" + (f" ({row.role})" if row.role else "")), shown.span(row.effect),
            ", ".join(map(shown.difference, row.effect["by_seed"])),
        )
        for row in compared(line)
    ]  # fmt: skip
    return "\n\n".join(
        [
            f"### {_prose(line['claim'])}",
            f"**{line['verdict'].capitalize()}**: {_prose(line['why'])}.",
            _table(("compared", "effect", "each seed"), rows),
            "\n".join(f"- {fact}" for fact in facts),
        ]
    )


def _repeat(made: Recipe, line: Line | None) -> str:
    """The command, and what the newest verdict was reached with."""
    if line is None:
        return f"## Run it\n\n    {_command(made.slug, 'lab', made.seeds)}"
    cpu = line["machine"]
    at = line["commit"] or "an installed copy"
    facts = [
        f"date: {line['date']}",
        f"commit: `{at.removesuffix('+')}`" + (", with local changes" if at.endswith("+") else ""),
        f"machine: {cpu['cores']} cores of {cpu['cpu']}, {cpu['memory_gib']} GiB, {cpu['system']};"
        f" {line['minutes']:.1f} minutes",
        f"versions: {', '.join(f'{name} {version}' for name, version in line['versions'].items())}",
        f"settings: `{', '.join(f'{name}={value}' for name, value in line['settings'].items())}`",
        f"configurations tried before these were frozen: {line['configurations_tried']}",
    ]
    command = _command(made.slug, line["size"], line["seeds"])
    return f"## Repeat it\n\n    {command}\n\n" + "\n".join(f"- {fact}" for fact in facts)


def _command(slug: str, size: str, seeds: int) -> str:
    policy = " --policy hf:FOLDER" if size == "full" else ""
    return f"trivium claim {slug} --size {size} --seeds {seeds}{policy}"


def _former(made: Recipe, own: Sequence[Line]) -> str:
    """Verdicts on claims that the recipe has since dropped or worded anew: they were reached, so they stay."""
    now = {claim.says for claim in made.claims}
    past = [line for (_, claim), line in latest(own).items() if claim not in now]
    if not past:
        return ""
    rows = [(_prose(line["claim"]), line["verdict"], _effect(line), str(line["date"])[:10]) for line in past]
    return f"## Claims it made before\n\n{_table(('claim', 'verdict', 'effect', 'date'), rows)}"


def _by_metric(lines: Sequence[Line]) -> dict[str, Line]:
    """A line for every metric; all lines of one run hold the same scores of it."""
    return {line["metric"]: line for line in lines}


def _effect(line: Line) -> str:
    return unit(line).span(compared(line)[0].effect)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = ()) -> str:
    """A Markdown table; the columns in `right` hold numbers."""
    at_right = set(right)
    rule = ["---:" if i in at_right else "---" for i in range(len(heads))]
    return "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in [heads, rule, *rows])


def _cell(value: str) -> str:
    return " ".join(value.replace("|", "\\|").split())


def _prose(value: str) -> str:
    """Plain text as Markdown that shows it unchanged: code in backticks and indented formulas stay as they are."""
    return "\n\n".join(map(_paragraph, value.split("\n\n")))


def _paragraph(value: str) -> str:
    if all(line.startswith("    ") for line in value.splitlines()):
        return value
    parts, end = [], 0
    for code in _CODE.finditer(value):
        parts += [_escaped(value[end : code.start()]), code[0]]
        end = code.end()
    return "".join([*parts, _escaped(value[end:])])


def _escaped(value: str) -> str:
    return _MARKUP.sub(lambda found: "&lt;" if found[0] == "<" else f"\\{found[0]}", value)
