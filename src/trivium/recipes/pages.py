"""A recipe's page, written from what its file says and from the ledger; equal input gives equal bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trivium.errors import UserError
from trivium.lab.recipe import HEADINGS, Recipe
from trivium.recipes.markdown import prose, table
from trivium.recipes.numbers import Line, amount, by_metric, compared, headline, margin, to_decide, unit, words
from trivium.recipes.papers import Entry
from trivium.recipes.standing import NO_VERDICT, WRITTEN, standing
from trivium.store.ledger import latest, of_size


def page(entry: Entry, made: Recipe, said: Mapping[str, str], lines: Sequence[Line]) -> str:
    """A recipe's page: what its file says (`said`, by heading), and what the ledger has on its claims.

    Raises UserError where a heading that every recipe has is missing, or there is one that none has.
    """
    _check_headings(entry, said)
    every = [line for line in lines if line["slug"] == made.slug]
    own = of_size(every)
    found = standing([made], own)
    current = list(found.values())
    parts = [
        f"# {prose(entry.title)}",
        f"Paper {entry.number}, [arXiv:{made.paper.arxiv}](https://arxiv.org/abs/{made.paper.arxiv}), on"
        f" [the board](../board.md) under {entry.family}; recipe `{made.slug}` in `{entry.module}`.",
        prose(made.says),
    ]
    if current:
        parts.append(f"![the effects of {made.slug}, seed by seed]({made.slug}.svg)")
    parts += [f"## {heading}\n\n{prose(said[heading])}" for heading in HEADINGS]
    if current:
        parts += [_scores(current), _spent(current)]
    parts.append("## Claims")
    for claim in made.claims:
        line, history = found.get((made.slug, claim.says)), [line for line in own if line["claim"] == claim.says]
        told = _claim(line, history[:-1]) if line else f"### {prose(claim.says)}\n\n{NO_VERDICT.capitalize()}."
        parts.append(told)
    parts.append(_repeat(made, own[-1] if current else None))
    if former := _former(made, own):
        parts.append(former)
    if large := _large(every):
        parts.append(large)
    return "\n\n".join([*parts, WRITTEN]) + "\n"


def _check_headings(entry: Entry, said: Mapping[str, str]) -> None:
    expected = f"its docstring needs exactly: {', '.join(HEADINGS)}"
    for heading in HEADINGS:
        if not said.get(heading):
            raise UserError(f"{entry.file}: nothing under the heading {heading!r}; {expected}")
    for heading in said:
        if heading and heading not in HEADINGS:
            raise UserError(f"{entry.file}: unknown heading {heading!r}; {expected}")


def _scores(lines: Sequence[Line]) -> str:
    """Every metric's mean by arm, and by seed."""
    parts = ["## Arms"]
    for metric, line in by_metric(lines).items():
        shown = unit(line)
        seeds = sorted({seed for by_seed in line["scores"].values() for seed in by_seed}, key=int)
        rows = []
        for arm, by_seed in line["scores"].items():
            rows.append([prose(arm), shown.mean(by_seed), *(shown.score(by_seed.get(seed)) for seed in seeds)])
        heads = ("arm", f"mean {words(metric)}", *(f"seed {seed}" for seed in seeds))
        parts.append(table(heads, rows, right=range(1, len(heads))))
    return "\n\n".join(parts)


def _spent(lines: Sequence[Line]) -> str:
    """What every arm cost, unit by unit."""
    budget: dict[str, Mapping[str, float]] = {}
    for line in lines:
        budget |= line["budget"]
    units = list(dict.fromkeys(name for spent in budget.values() for name in spent))
    rows = [[prose(arm), *(amount(spent.get(name, 0.0)) for name in units)] for arm, spent in budget.items()]
    heads = ("arm", *map(words, units))
    return f"## What each arm spent\n\nMeans over the seeds.\n\n{table(heads, rows, right=range(1, len(heads)))}"


def _claim(line: Line, earlier: Sequence[Line]) -> str:
    """The newest verdict on a claim, everything it rests on, and how often it was held before."""
    shown = unit(line)
    before = f": {', '.join(old['verdict'] for old in earlier)}" if earlier else ""
    smaller = "; smaller is better, and a positive effect is a smaller number" if line["lower_is_better"] else ""
    facts = [
        f"metric: {words(line['metric'])}, margin {margin(line)}{smaller}",
        f"measured: {line['seeds']} seeds, {line['pairs']:,} pairs of answers"
        + (f" to {line['questions']:,} questions" if "questions" in line else ""),
        f"held equal: {', '.join(map(words, line['matched'])) or 'nothing'}",
        f"the paper: {prose(line['paper_says']) or '-'}",
        f"earlier lines in the ledger: {len(earlier)}{before}",
    ]
    if needed := to_decide(line):
        facts.insert(2, f"to decide it: {needed}")
    rows = [
        (
            prose(f"{row.arm} over {row.over}" + (f" ({row.role})" if row.role else "")), shown.span(row.effect),
            ", ".join(map(shown.difference, row.effect["by_seed"])),
        )
        for row in compared(line)
    ]  # fmt: skip
    return "\n\n".join(
        [
            f"### {prose(line['claim'])}",
            f"**{line['verdict'].capitalize()}**: {prose(line['why'])}.",
            table(("compared", "effect", "each seed"), rows),
            "\n".join(f"- {fact}" for fact in facts),
        ]
    )


def _repeat(made: Recipe, line: Line | None) -> str:
    """The command, and what the newest verdict was reached with."""
    if line is None:
        return f"## Run it\n\n    {_command(made.slug, made.seeds)}"
    cpu = line["machine"]
    at = line["commit"] or "an installed copy"
    facts = [
        f"date: {line['date']}",
        f"commit: `{at.removesuffix('+')}`" + (", with local changes" if at.endswith("+") else ""),
        *([f"arms kept from: {', '.join(f'`{one}`' for one in kept)}"] if (kept := line.get("kept_from")) else []),
        f"machine: {cpu['cores']} cores of {cpu['cpu']}, {cpu['memory_gib']} GiB, {cpu['system']};"
        f" {line['minutes']:.1f} minutes",
        f"versions: {', '.join(f'{name} {version}' for name, version in line['versions'].items())}",
        f"settings: `{', '.join(f'{name}={value}' for name, value in line['settings'].items())}`",
        f"configurations tried before these were frozen: {line['configurations_tried']}",
    ]
    command = _command(made.slug, line["seeds"])
    return f"## Repeat it\n\n    {command}\n\n" + "\n".join(f"- {fact}" for fact in facts)


def _command(slug: str, seeds: int) -> str:
    return f"trivium claim {slug} --size lab --seeds {seeds}"


def _former(made: Recipe, own: Sequence[Line]) -> str:
    """Verdicts on claims that the recipe has since dropped or worded anew: they were reached, so they stay."""
    now = {claim.says for claim in made.claims}
    past = [line for (_, claim), line in latest(own).items() if claim not in now]
    if not past:
        return ""
    rows = [(prose(line["claim"]), line["verdict"], headline(line), str(line["date"])[:10]) for line in past]
    return f"## Claims it made before\n\n{table(('claim', 'verdict', 'effect', 'date'), rows)}"


def _large(every: Sequence[Line]) -> str:
    """What was reached at the full size, with policies that users named: every line, for policies differ."""
    rows = [
        (prose(line["claim"]), prose(line["policy"]), line["verdict"], headline(line), str(line["date"])[:10])
        for line in of_size(every, "full")
    ]
    return f"## At the full size\n\n{table(('claim', 'policy', 'verdict', 'effect', 'date'), rows)}" if rows else ""
