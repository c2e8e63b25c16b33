"""From results to lines of the ledger."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from trivium.claims import Checked, Claim, Results, check
from trivium.errors import RunError
from trivium.lab.recipe import Recipe
from trivium.lab.runner import minutes
from trivium.store.machine import commit, machine, versions


def at_size(claim: Claim, size: str) -> Claim:
    """A claim as it is held: the smoke size decides nothing, and spends too little for budgets to match within 2%."""
    return replace(claim, matched=()) if size == "smoke" else claim


def verdicts(
    recipe: Recipe, results: Results, size: str, policy: str | None = None
) -> tuple[list[dict[str, Any]], list[str]]:
    """One line for every claim of a recipe, and why the others may not be decided at all.

    `policy` is what was trained at the full size.  `kept_from` are the commits of arms that ran before, by code that is
    the same.
    """
    now = commit()
    shared = {
        "kept_from": sorted({result.commit for result in results.values() if result.commit} - {now}),
        "minutes": round(minutes(results, policy), 2),
        "configurations_tried": recipe.tried,
        "commit": now,
        "versions": versions(),
        "machine": machine(),
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "size": size,
        "policy": policy,
        "settings": asdict(recipe.settings(size)),
    }
    lines, refused = [], []
    for claim in recipe.claims:
        try:
            lines.append(_line(recipe, claim, check(at_size(claim, size), results), results) | shared)
        except RunError as error:
            refused.append(f"{recipe.slug}, {claim.says!r}: {error}")
    return lines, refused


def _line(recipe: Recipe, claim: Claim, found: Checked, results: Results) -> dict[str, Any]:
    seeds = sorted({seed for _, seed in results})
    used = [
        arm for arm in recipe.arms if any(name == arm and claim.metric in r.scores for (name, _), r in results.items())
    ]
    means = {arm: {str(s): results[arm, s].mean(claim.metric) for s in seeds if (arm, s) in results} for arm in used}
    budget: dict[str, Mapping[str, float]] = {
        arm: _mean_spent([results[arm, seed].spent for seed in seeds if (arm, seed) in results]) for arm in used
    }
    return {
        "slug": recipe.slug, "paper": recipe.paper.number, "claim": claim.says, "verdict": found.verdict,
        "why": found.why, "effect": found.effect.mean, "low": found.effect.low, "high": found.effect.high,
        "margin": claim.margin, "better": claim.better, "worse": claim.worse, "metric": claim.metric,
        "unit": claim.unit, "lower_is_better": claim.lower, "seeds": len(seeds),
        "effects_by_seed": list(found.effect.by_seed), "pairs": found.effect.pairs,
        "questions": found.effect.questions, "scores": means, "budget": budget,
        "matched": list(claim.matched), "null": {claim.null: asdict(found.null)} if claim.null and found.null else {},
        "rivals": {name: asdict(e) for name, e in found.rivals.items()}, "paper_says": claim.paper,
        "curves": {arm: _curves([results[arm, s].curves for s in seeds if (arm, s) in results]) for arm in used},
        "notes": {arm: _mean_spent([results[arm, s].notes for s in seeds if (arm, s) in results]) for arm in used},
    }  # fmt: skip


def _mean_spent(rows: list[Mapping[str, float]]) -> dict[str, float]:
    """Means over seeds, unit by unit."""
    units = dict.fromkeys(unit for row in rows for unit in row)
    return {unit: sum(row.get(unit, 0.0) for row in rows) / len(rows) for unit in units}


def _curves(rows: list[Mapping[str, Any]]) -> dict[str, list[list[list[float]]]]:
    """Every curve by name: a list of points for each seed."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [[list(point) for point in row[name]] for row in rows if name in row] for name in names}
