"""The comparison of methods as sentences, as one HTML page that needs nothing but a browser, and as drawings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trivium.report.comparison_charts import DRAWN, curve_chart, intervals_chart, label_of, standalone
from trivium.report.finding import percent, points
from trivium.report.page import MARK, document, figures, table
from trivium.report.text import text
from trivium.store.files import write_text

Row = Mapping[str, Any]


def write_comparison(folder: Path, comparison: Row) -> list[Path]:
    """Write comparison.html, accuracy.svg and (of several budgets) curve.svg into `folder`.

    Raises:
        RunError: the disk is full.
    """
    files = {"comparison.html": render_comparison(comparison)}
    if any(row["accuracy"] is not None for row in comparison["rows"]):
        files["accuracy.svg"] = standalone(intervals_chart(comparison["rows"], _title(comparison)))
    if _curved(comparison):
        files["curve.svg"] = standalone(curve_chart(comparison["curve"], f"{_what(comparison)}: accuracy over tokens"))
    for name, words in files.items():
        write_text(folder / name, words)
    return [folder / name for name in files]


def headline(comparison: Row) -> str:
    """Whether any method is worth its tokens, at the largest budget, in one sentence."""
    where = f"at {allowance(comparison, comparison['budget'])} a problem"
    honest = [r for r in comparison["rows"] if r["accuracy"] is not None and not r["oracle_calls"]]
    if not honest:
        return f"No method could be measured {where}."
    best = max(honest, key=lambda row: row["accuracy"])["method"]
    over_vote = [p["better"] for p in comparison["pairs"] if p["worse"] == "vote" and p["real"]]
    winners = [row["method"] for row in sorted(honest, key=lambda r: -r["accuracy"]) if row["method"] in over_vote]
    if winners:
        return f"{_listed(winners)} {'beats' if len(winners) == 1 else 'beat'} a plain vote {where}."
    if not any(p["worse"] == "vote" or p["better"] == "vote" for p in comparison["pairs"]):
        return f"{best} is the most accurate {where}."
    return f"No method beats a plain vote {where}."


def findings(comparison: Row, at: Row) -> list[str]:
    """Which differences at one budget are real, and which are not."""
    pairs, labels = at["pairs"], {row["method"]: label_of(row) for row in at["rows"]}
    references = ["greedy", "vote"] if "all" in comparison["against"] else list(comparison["against"])
    said = [sentence for name in references if (sentence := _against(name, pairs, labels))]
    others = [p for p in pairs if not {p["better"], p["worse"]} & set(references)]
    if others:
        real = [f"{p['better']} beats {p['worse']} ({_points(p)})" for p in others if p["real"]]
        rest = len(others) - len(real)
        told = f"{'; '.join(real)}. " if real else ""
        said.append(f"Among the others: {told}{rest} of {len(others)} pairs cannot be told apart.")
    if doubtful := [f"{p['better']} over {p['worse']}" for p in pairs if p["low"] > 0 and not p["real"]]:
        said.append(
            f"{_listed(doubtful)}: the interval excludes 0, but of {len(pairs)} pairs one may do so by chance, and "
            "corrected for that (Holm) the difference is not real."
        )
    return said


def notes(comparison: Row) -> list[str]:
    """How the differences were judged, and what one must know to read them: errors, bounds, what did not run."""
    said, pairs = [], [pair for at in comparison["curve"] for pair in at["pairs"]]
    rows = [row for at in comparison["curve"] for row in at["rows"]]
    if pairs:
        most = max(len(at["pairs"]) for at in comparison["curve"])
        said.append(
            f"Real means: under 5% chance of a single false difference among the {most} pairs of a budget (exact "
            "sign-flip tests, Holm's correction). The intervals are 95% for each pair alone."
        )
    if left_out := max((p["left_out"] for p in pairs), default=0):
        said.append(f"Problems on which one of a pair had an error are left out of it: at most {left_out}.")
    for name in dict.fromkeys(row["method"] for row in rows if row["oracle_calls"]):
        calls = sum(row["oracle_calls"] for row in rows if row["method"] == name)
        said.append(f"{name} asked the verifier {calls:,} times: its accuracy is a bound, and no method's.")
    said += dict.fromkeys(f"{row['method']} did not run: {row['refused']}" for row in rows if row["refused"])
    return said


def allowance(comparison: Row, amount: float) -> str:
    """`2,048 sampled tokens`."""
    return f"{amount:,g} {comparison['unit'].replace('_', ' ')}"


def latency_note(comparison: Row) -> str:
    """What the seconds of a comparison mean, given how many attempts ran at a time."""
    if comparison["concurrency"] == 1:
        return "Attempts ran one at a time, so seconds per problem are what one question waits for its answer."
    many = "all attempts" if comparison["concurrency"] is None else f"up to {comparison['concurrency']} attempts"
    return (
        f"With {many} at a time, seconds per problem are the time of the whole run divided by its problems; latency, "
        "from the start of one attempt to its answer, includes waiting for the others."
    )


def amortised_note(training: Row) -> str:
    """What each problem bears of the training, and where that is counted."""
    return (
        f"Each problem bears {training['tokens_per_problem']:,.1f} tokens of training ({training['training_tokens']:,} "
        f"shared by {training['problems']:,} problems): the tokens of the curve and tokens_per_problem include them, "
        "sampled and prompt do not."
    )


def pass_lines(rows: Sequence[Row]) -> dict[str, dict[int, Row]]:
    """pass@k by the names of the methods and by k; methods that drew the very same samples share a line."""
    by_method: dict[str, dict[int, Row]] = {}
    for row in rows:
        by_method.setdefault(row["method"], {})[row["k"]] = row
    shared: dict[tuple[tuple[int, float], ...], list[str]] = {}
    for name, found in by_method.items():
        shared.setdefault(tuple((k, row["pass_at_k"]) for k, row in found.items()), []).append(name)
    return {", ".join(names): by_method[names[0]] for names in shared.values()}


def pass_note(comparison: Row) -> str:
    """How far pass@k may be trusted."""
    counts = sorted({row["samples"] for row in comparison["pass_at_k"]})
    samples = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else str(counts[0])
    return (
        f"Unbiased, from {samples} independent samples a problem. The verifier picks the right one after the fact: a "
        "bound on what a perfect choice among k samples could reach, and no method's accuracy."
    )


def render_comparison(comparison: Row) -> str:
    """The page as text."""
    at = comparison["curve"][-1]
    lead = "".join(f"<p>{text(s)}</p>" for s in [*findings(comparison, at), *notes(comparison)])
    when = str(comparison["created"])[:16].replace("T", " ")
    body = [
        f'<p class="eyebrow">{MARK}<b>Trivium</b><span>{text(_what(comparison))}, {text(when)}</span></p>',
        f'<h1>{text(headline(comparison))}</h1><div class="lead">{lead}</div>',
    ]
    if any(row["accuracy"] is not None for row in at["rows"]):
        note = f"{_problems(comparison)}, {allowance(comparison, at['budget'])} each at most. 95% intervals."
        body.append(
            _figure("Accuracy", note, *(intervals_chart(at["rows"], _title(comparison), w) for w in (880, 380)))
        )
    if _curved(comparison):
        note = "Each dot is a budget, at the tokens that were really used; whiskers are 95% intervals."
        charts = (curve_chart(comparison["curve"], "Accuracy over tokens", size) for size in ((880, 400), (380, 380)))
        body.append(_figure("What more tokens buy", note, *charts))
    body.append(f"<h2>What it cost</h2><p>{text(_cost_note(comparison))}</p>")
    body += [_costs(comparison, each) for each in reversed(comparison["curve"])]
    body.append("<h2>Differences</h2><p>In points of accuracy, on the problems that both methods were judged on.</p>")
    body += [_differences(comparison, each) for each in reversed(comparison["curve"])]
    if comparison["pass_at_k"]:
        body.append(f"<h2>pass@k</h2><p>{text(pass_note(comparison))}</p>{_passes(comparison['pass_at_k'])}")
    settings = {k: _plain(v) for k, v in comparison["settings"].items() if v is not None}
    made = {f"{k} version": v for k, v in comparison["versions"].items()}
    made |= {"commit": comparison["commit"] or "installed package", "command": " ".join(comparison["command"])}
    made |= {k.replace("_gib", ", GiB"): v for k, v in comparison["machine"].items()}
    body.append(f'<h2>How it was made</h2><div class="columns">{table(settings)}{table(made)}</div>')
    footer = (
        "Intervals are 95%: Wilson scores for accuracies, paired bootstrap over questions within seeds for "
        "differences. "
        "Made by trivium compare."
    )
    return document(f"{_what(comparison)} - Trivium", "".join(body), footer, DRAWN)


def _against(reference: str, pairs: Sequence[Row], labels: Mapping[str, str]) -> str:
    """`Against vote: mcts is better (+5.0 points [1.0, 9.0]); beam and greedy cannot be told apart.`"""
    above = [p for p in pairs if p["worse"] == reference and p["real"]]
    below = [p for p in pairs if p["better"] == reference and p["real"]]
    rest = [
        p["worse"] if p["better"] == reference else p["better"]
        for p in pairs
        if reference in (p["better"], p["worse"]) and not p["real"]
    ]
    parts = [f"{labels[p['better']]} is better ({_points(p)})" for p in above]
    parts += [f"{labels[p['worse']]} is worse ({_points(p, -1)})" for p in below]
    if rest:
        parts.append(f"{_listed(rest)} cannot be told apart from it")
    return f"Against {reference}: {'; '.join(parts)}." if parts else ""


def _points(pair: Row, sign: int = 1) -> str:
    ends = sorted((sign * pair["low"], sign * pair["high"]))
    return points({"mean": sign * pair["difference"], "low": ends[0], "high": ends[1]})


def _cost_note(comparison: Row) -> str:
    note = latency_note(comparison)
    if comparison["amortised"]:
        note += " " + amortised_note(comparison["amortised"])
    return note


def _costs(comparison: Row, at: Row) -> str:
    head = (
        allowance(comparison, at["budget"]), "accuracy", "sampled", "prompt", "of it cached", "calls", "seconds",
        "latency", "abstained", "errors", "oracle calls",
    )  # fmt: skip
    lines = [
        (
            label_of(row), percent(row["accuracy"]), f"{row['sampled_per_problem']:,.1f}",
            f"{row['prompt_per_problem']:,.1f}", f"{row['cached_per_problem']:,.1f}", f"{row['calls_per_problem']:.1f}",
            f"{row['seconds_per_problem']:.3g}", f"{row['latency']:.3g}", percent(row["abstention_rate"]),
            percent(row["error_rate"]), f"{row['oracle_calls']:,}",
        )
        for row in at["rows"]
        if not row["refused"]
    ]  # fmt: skip
    return figures(head, lines)


def _differences(comparison: Row, at: Row) -> str:
    head = (allowance(comparison, at["budget"]), "difference", "problems", "left out", "p", "p, Holm", "")
    lines = [
        (
            f"{p['better']} over {p['worse']}", _points(p), str(p["n"]), str(p["left_out"]), f"{p['p']:.2g}",
            f"{p['p_holm']:.2g}", "real" if p["real"] else "not told apart",
        )
        for p in sorted(at["pairs"], key=lambda p: -p["difference"])
    ]  # fmt: skip
    return figures(head, lines) if lines else ""


def _passes(rows: Sequence[Row]) -> str:
    ks = sorted({row["k"] for row in rows})
    lines = [
        (name, *(percent(found[k]["pass_at_k"]) if k in found else "-" for k in ks))
        for name, found in pass_lines(rows).items()
    ]
    return figures(("samples", *(f"pass@{k}" for k in ks)), lines)


def _figure(title: str, note: str, wide: str, narrow: str) -> str:
    return (
        f'<figure class="full"><figcaption><h3>{text(title)}</h3><p>{text(note)}</p></figcaption>'
        f'<div class="wide">{wide}</div><div class="narrow">{narrow}</div></figure>'
    )


def _curved(comparison: Row) -> bool:
    measured = (row["accuracy"] for at in comparison["curve"] for row in at["rows"])
    return len(comparison["curve"]) > 1 and any(accuracy is not None for accuracy in measured)


def _what(comparison: Row) -> str:
    return f"{comparison['policy']} on {comparison['task']}"


def _title(comparison: Row) -> str:
    return f"{_what(comparison)}: accuracy at {allowance(comparison, comparison['budget'])}"


def _problems(comparison: Row) -> str:
    seeds = len(comparison["settings"]["seeds"])
    return f"{comparison['settings']['n']:,} problems" + (f" of each of {seeds} seeds" if seeds > 1 else "")


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
