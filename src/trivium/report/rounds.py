"""Rounds of search and learning: as rows for a terminal, and as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trivium.report.charts import rounds_charts
from trivium.report.finding import interval, percent
from trivium.report.page import MARK, document, figures, headline, how_made, what_next
from trivium.report.text import text

Row = Mapping[str, Any]
HEADINGS = ("", "greedy, 95%", "the method, 95%", "tokens", "right")


def table_rows(result: Row) -> list[tuple[str, str, str, str, str]]:
    """Name, held-out accuracy of greedy and of the method, tokens a training problem and right responses, a round."""
    rows = [("start", interval(result["start"]["greedy"]), interval(result["start"]["method"]), "", "")]
    if result["before"]:
        rows.insert(0, ("untrained", interval(result["before"]), "", "", ""))
    for row in result["rounds"]:
        name = f"{'search' if row['arm'] == 'search' else 'no search'}, round {row['round']}"
        each = f"{row['sampled_tokens'] / max(1, row['problems']):,.0f}"
        right = percent(row["right"] / row["ends"]) if row["ends"] else "-"
        rows.append((name, interval(row["greedy"]), interval(row["method"]), each, right))
    return rows


def render_rounds(about: Row, rows: Sequence[Row], result: Row | None) -> str:
    """The page of a run of `trivium improve` as text, from run.json, the events and (once there is one) result.json."""
    settings, when = about["settings"], str(about["created"])[:16].replace("T", " ")
    what = f"{settings['policy']} learns {settings['task']} from {settings['method']}, {when}"
    fit = [row for row in rows if row["phase"] == "fit"]
    body = [
        f'<p class="eyebrow">{MARK}<b>Trivium</b><span>{text(what)}</span></p>',
        headline(fit, result),
    ]
    if result:
        body += [rounds_charts(result), "<h2>Round by round</h2>", figures(HEADINGS, table_rows(result))]
    body += [what_next(about, result, "improve"), how_made(about)]
    footer = (
        "Intervals are 95%: Wilson scores for accuracies, paired bootstrap over problems for differences. "
        "Tokens are those sampled for each training problem of a round; right is the share of the judged responses "
        f"to training problems. Made by trivium report {text(about['name'])}."
    )
    return document(f"{about['name']} - Trivium", "".join(body), footer)
