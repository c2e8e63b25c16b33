"""The report page: one HTML file, no network, every word from outside escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trivium.errors import UserError
from trivium.report.charts import learning_curve, small_charts, speed
from trivium.report.finding import interval, judge, percent
from trivium.report.text import text
from trivium.store import Run
from trivium.store.files import write_text

Row = Mapping[str, Any]
# The three roads that meet, in the three tones of the charts.
MARK = (
    '<svg viewBox="0 0 24 24" aria-hidden="true"><g fill="none" stroke-width="3" stroke-linecap="round">'
    '<path d="M12 13V22" stroke="var(--c)"/><path d="M12 13L4 4" stroke="var(--a)"/>'
    '<path d="M12 13L20 4" stroke="var(--b)"/></g></svg>'
)


def write_report(run: Run, result: Row | None = None) -> Path:
    """Write `report.html` into the run's folder, finished or not, and return its path.

    `result` is that of a run which is about to be finished; else it is what the run has.

    Raises:
        UserError: a run that trains nothing.
        RunError: the disk is full.
    """
    if run.verb == "gateway":
        raise UserError(f"{run.path} is the record of a gateway, which has no report; see: trivium show {run.path}")
    rows, result = list(run.rows()), run.result if result is None else result
    path = run.path / "report.html"
    if run.verb == "improve":
        from trivium.report.rounds import render_rounds  # which builds on this page

        write_text(path, render_rounds(run.about, rows, result))
    else:
        write_text(path, render(run.about, rows, result))
    return path


def render(about: Row, rows: Sequence[Row], result: Row | None) -> str:
    """The page as text, from run.json, the events and (once there is one) result.json."""
    rl = [row for row in rows if row["phase"] == "rl"]
    warmup = [row for row in rows if row["phase"] == "warmup"]
    evaluations = [row for row in rows if row["phase"] == "eval" and row["done"] == row["total"]]
    charts = small_charts(rl, warmup)
    body = [
        f'<p class="eyebrow">{MARK}<b>Trivium</b><span>{text(_what(about))}</span></p>',
        headline(rl, result),
        _intervals(evaluations, result),
        _facts(rl, warmup, result),
        learning_curve(rl, evaluations),
    ]
    if charts:
        body += [
            "<h2>What happened inside</h2><p>Each chart runs over the steps of training.</p>",
            f'<div class="charts">{"".join(charts)}</div>',
        ]
    if result and result.get("transcripts"):
        body.append(_transcripts(result["transcripts"]))
    body += [what_next(about, result), how_made(about)]
    footer = (
        "Intervals are 95%: Wilson scores for accuracies, paired bootstrap over problems for differences. "
        f"Made by trivium report {text(about['name'])}."
    )
    return document(f"{about['name']} - Trivium", "".join(body), footer)


def document(title: str, body: str, footer: str, rules: str = "") -> str:
    """A whole page that needs no network; `rules` follow those of report.css."""
    css = Path(__file__).with_name("report.css").read_text(encoding="utf-8") + rules
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{text(title)}</title><style>{css}</style></head><body><main>{body}"
        f"<footer>{footer}</footer></main></body></html>\n"
    )


def _what(about: Row) -> str:
    """`smollm2 learns sums:terms=3 by grpo, 2026-07-01 10:20`."""
    settings, when = about["settings"], str(about["created"])[:16].replace("T", " ")
    known = all(settings.get(key) for key in ("policy", "task", "objective"))
    what = "{policy} learns {task} by {objective}".format(**settings) if known else about["name"]
    return f"{what}, {when}"


def headline(rl: Sequence[Row], result: Row | None) -> str:
    """What was found, or how far an unfinished run is."""
    if result:
        finding = judge(result)
        return f'<h1>{text(finding.headline)}</h1><p class="lead">{text(" ".join(finding.sentences))}</p>'
    where = f"Step {rl[-1]['step']} of {rl[-1]['steps']} is done." if rl else "No training step is done yet."
    return (
        f'<h1>This run is not finished.</h1><p class="lead">{where} What follows is what has been recorded so far.</p>'
    )


def _intervals(evaluations: Sequence[Row], result: Row | None) -> str:
    found = {row["stage"]: row for row in evaluations} | {k: v for k, v in (result or {}).items() if v}
    samples = (found.get("vote_before") or {}).get("samples_per_problem")
    kinds = [
        ("before", "Untrained", "before"),
        ("after_warmup", "After the warm-up", "warm"),
        ("after", "After reinforcement learning", "after"),
        ("vote_before", "Untrained, vote" + (f" of {samples}" if samples else "") + ", same tokens", "vote"),
    ]
    lines = []
    for stage, label, tone in kinds:
        share = found.get(stage)
        if not share or share["accuracy"] is None:
            continue
        low, mid = (f"{100 * share[key]:.2f}%" for key in ("low", "accuracy"))
        width = f"{100 * (share['high'] - share['low']):.2f}%"
        number, _, bounds = interval(share).partition(" ")
        lines.append(
            f'<tr><th scope="row">{text(label)}</th><td aria-hidden="true"><div class="track t-{tone}">'
            f'<i style="left:{low};width:{width}"></i><b style="left:{mid}"></b></div></td>'
            f"<td><b>{number}</b> <small>{bounds}</small></td></tr>"
        )
    if not lines:
        return ""
    scale = "".join(f"<span>{share}%</span>" for share in (0, 25, 50, 75, 100))
    lines.append(f'<tr class="scale" aria-hidden="true"><th></th><td><div>{scale}</div></td><td></td></tr>')
    return f'<table class="intervals" aria-label="Held-out accuracy with 95% intervals">{"".join(lines)}</table>'


def _facts(rl: Sequence[Row], warmup: Sequence[Row], result: Row | None) -> str:
    facts: list[tuple[str, str]] = []
    if result:
        facts.append(("minutes in all", f"{result['minutes']:.1f}"))
    if warmup:
        facts.append(("warm-up tokens", f"{sum(row['tokens_trained'] for row in warmup):,}"))
    if result:
        facts.append(("tokens sampled", f"{result['sampled_tokens']:,}"))
        facts.append(("tokens trained on", f"{result['trained_tokens']:,}"))
    rates = speed(rl)
    if "generate" in rates:
        facts.append(("tokens/s sampled", f"{rates['generate']:,.0f}"))
    if result:
        facts.append(("verifier failures", percent(result["verifier_error_rate"])))
    cells = "".join(f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>" for name, value in facts)
    return f'<dl class="facts">{cells}</dl>' if cells else ""


def _transcripts(pairs: Sequence[Row]) -> str:
    parts = ["<h2>Before and after</h2><p>Unseen problems, greedy answers, in the order they were dealt.</p>"]
    for pair in pairs:
        sides = "".join(_side(name, pair[key]) for name, key in (("Untrained", "before"), ("Trained", "after")))
        ask = f'<p class="ask">{text(pair["question"])}</p>'
        gold = f'<p class="gold">Reference: <code>{text(pair["gold"])}</code></p>'
        parts.append(f'<article class="pair">{ask}{gold}<div class="sides">{sides}</div></article>')
    return "".join(parts)


def _side(name: str, answer: Row) -> str:
    kind, sign = ("right", "&#10003;") if answer["status"] == "correct" else ("not", "&#10007;")
    status = f'<span class="{kind}">{sign} {text(answer["status"])}</span>'
    return f'<section class="side"><h4>{name} {status}</h4><pre>{text(answer["response"])}</pre></section>'


def what_next(about: Row, result: Row | None, verb: str = "learn") -> str:
    """The commands to go on with, and where the model is."""
    commands = (result or {}).get("next") or [f"trivium {verb} --resume runs/{about['name']}"]
    blocks = "".join(f'<pre class="go">{text(command)}</pre>' for command in commands)
    where = (
        f"The trained model is in <code>{text(result['model'])}</code> and loads in transformers as it is."
        if result
        else ""
    )
    return f"<h2>Go on</h2><p>{where}</p>{blocks}"


def how_made(about: Row) -> str:
    """Settings, versions and machine."""
    settings = {name: value for name, value in about["settings"].items() if value is not None}
    made = {f"{name} version": version for name, version in about["versions"].items()}
    made |= {"commit": about["commit"] or "installed package", "command": " ".join(about["command"])}
    made |= {name.replace("_gib", ", GiB"): value for name, value in about["machine"].items()}
    return (
        "<h2>How it was made</h2><p>Every setting that was used, and what it ran on.</p>"
        f'<div class="columns">{table(settings)}{table(made)}</div>'
    )


def table(values: Row) -> str:
    """Names and values, a line each."""
    lines = "".join(f'<tr><th scope="row">{text(k)}</th><td>{text(v)}</td></tr>' for k, v in values.items())
    return f'<table class="plain">{lines}</table>'


def figures(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Rows of numbers under headings, their names first; a cell that says `real` stands out."""
    top = "".join(f"<th>{text(name)}</th>" for name in head)
    rows = "".join(
        "<tr>"
        + "".join(f"<td{' class=real' if value == 'real' else ''}>{text(value)}</td>" for value in line)
        + "</tr>"
        for line in lines
    )
    return (
        f'<div class="scroll"><table class="figures"><thead><tr>{top}</tr></thead><tbody>{rows}</tbody></table></div>'
    )
