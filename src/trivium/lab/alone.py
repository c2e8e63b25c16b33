"""A copied recipe run as a script: `python my_recipe.py --size smoke --seeds 2`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch

from trivium.claims import ArmResult, check
from trivium.errors import RunError
from trivium.lab.code import digest
from trivium.lab.lab import Lab
from trivium.lab.recipe import Recipe
from trivium.lab.runner import carry_out
from trivium.lab.verdicts import at_size


def main(recipe: Recipe, file: str) -> None:
    """Run every arm with every seed here, one after the other, and print arms and verdicts.

    Nothing is written to a ledger: what was changed is no longer the paper's recipe.  Things made once are kept under
    the hash of the script's text.
    """
    parser = argparse.ArgumentParser(description=recipe.says)
    parser.add_argument("--size", choices=[size for size in recipe.sizes if size != "full"], default="lab")
    parser.add_argument("--seeds", type=int, default=recipe.seeds, help=f"how many seeds (default {recipe.seeds})")
    asked = parser.parse_args()
    if asked.seeds < 1:
        parser.error(f"--seeds {asked.seeds}: expected at least 1")
    slug = f"{recipe.slug}-{digest([Path(file).read_text(encoding='utf-8')])}"
    torch.set_num_threads(1)
    results: dict[tuple[str, int], ArmResult] = {}
    for arm, run in recipe.arms.items():
        for seed in recipe.seeds_from(asked.seeds):
            lab: Lab[Any] = Lab(slug, "", recipe.settings(asked.size), asked.size, seed)
            results[arm, seed] = carry_out(arm, run, lab)
            found = results[arm, seed]
            shown = "  ".join(f"{metric} {found.mean(metric):.3f}" for metric in found.scores)
            print(f"{arm}, seed {seed}: {shown}", flush=True)
    for claim in recipe.claims:
        try:
            checked = check(at_size(claim, asked.size), results)
        except RunError as error:
            print(f"NOT DECIDED: {claim.says}: {error}")
            continue
        e = checked.effect
        print(f"{checked.verdict.upper()}: {claim.says}: {e.mean:+.3f} [{e.low:+.3f}, {e.high:+.3f}], {checked.why}")
