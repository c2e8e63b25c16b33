"""A made-up recipe and the ledger lines that real code makes of made-up results, the same at every call."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trivium.claims import ArmResult, Claim, Results
from trivium.lab.recipe import HEADINGS, Paper, Recipe
from trivium.lab.verdicts import verdicts
from trivium.recipes.papers import Entry
from trivium.store.files import json_line

ENTRY = Entry(133, "masked-thought", "distill", "Masked Thought: Simply Masking | Tokens", "Hides tokens.")
SAID = {"": "A summary.", **{heading: f"What is under {heading}." for heading in HEADINGS}}
MADE = {
    "minutes": 7.25, "commit": "0123abc", "date": "2026-01-02T03:04:05+0000", "versions": {"python": "3.11.2"},
    "machine": {"cpu": "a CPU", "cores": 2, "memory_gib": 8.0, "system": "Linux"},
}  # fmt: skip
MAIN = Claim(
    "masking beats plain tuning", better="masked", worse="sft", margin=0.03, matched=("trained_tokens",),
    null="loss-dropped", rivals=("weight-decay",), paper="from 41.6 to 47.1",
)  # fmt: skip
SHORTER = Claim(
    "masking makes answers shorter",
    better="masked",
    worse="sft",
    margin=5.0,
    metric="tokens_an_answer",
    lower=True,
    unit="tokens an answer",
)
RATES = {"sft": 0.5, "masked": 0.75, "loss-dropped": 0.5, "weight-decay": 0.6}


@dataclass(frozen=True)
class Size:
    steps: int = 1800
    lr: float = 2e-3


def recipe(claims: Sequence[Claim] = (MAIN, SHORTER), arms: Sequence[str] = tuple(RATES)) -> Recipe:
    return Recipe(
        slug=ENTRY.slug, paper=Paper(ENTRY.number, arxiv="2403.02178"), says="Masking beats plain fine-tuning.",
        arms=dict.fromkeys(arms, _never), sizes={"lab": Size(), "full": Size(steps=9000)}, claims=claims, seeds=5,
        tried=4,
    )  # fmt: skip


def results(rates: Mapping[str, float] = RATES, *, seeds: int = 5, n: int = 200, curves: bool = True) -> Results:
    """Answers that are right at the arms' rates, and take fewer tokens the higher these are."""
    return {(arm, seed): _result(arm, seed, rate, n, curves) for arm, rate in rates.items() for seed in range(seeds)}


def lines(made: Recipe, found: Results, size: str = "lab", **changes: Any) -> list[dict[str, Any]]:
    """What the ledger holds of these results; `changes` are made to every line."""
    return [json.loads(json_line(line | MADE | changes)) for line in verdicts(made, found, size)[0]]


def _result(arm: str, seed: int, rate: float, n: int, curves: bool) -> ArmResult:
    rng = random.Random(f"{arm} {seed}")
    rate += rng.gauss(0, 0.015)
    accuracy = [float(rng.random() < rate) for _ in range(n)]
    tokens = [240 - 120 * rate + rng.gauss(0, 20) for _ in range(n)]
    steps = range(200, 2000, 200)
    drawn = {
        "dev accuracy": [(step, rate * (1 - 0.5 ** (step / 400)) + rng.gauss(0, 0.02)) for step in steps],
        "loss by tokens": [(900 * step + rng.randrange(9000), 2 - rate * step / 1800) for step in steps],
    }
    return ArmResult(
        arm, seed, tuple(f"q{i}" for i in range(n)), {"accuracy": accuracy, "tokens_an_answer": tokens},
        {"trained_tokens": 1_234_567.0, "optimiser_steps": 1800.0, "labels": 12.5}, curves=drawn if curves else {},
    )  # fmt: skip


def _never(lab: Any) -> Any:
    raise AssertionError("no arm of a made-up recipe is ever run")
