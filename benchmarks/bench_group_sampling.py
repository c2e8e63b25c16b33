"""Sampling groups against transformers' `generate` at its best batch size, number type and cache.

Both sides sample from the full distribution at temperature 1, and every row gets exactly the same number of tokens (no
end of sequence).  Ours also returns the log-probability of every token; the rival is not asked to.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import partial
from typing import Any

from benchmarks.lesson import Lesson
from benchmarks.pairing import Row, Settings, alternate, fastest, row
from benchmarks.worker import Facts, Worker
from trivium.errors import RunError
from trivium.store.machine import cores

PROMPTS, SAMPLES, TOKENS = 16, 8, 64
TRIAL_TOKENS = 24
"""Tokens a row while the rival's settings are compared: the order of the settings shows long before the end."""
START = {"mode": "bf16 weights", "attention": "sdpa", "batch": 64, "cache": None}
AXES: dict[str, Sequence[Any]] = {
    "mode": ("fp32",),
    "batch": (16, 32, 128),
    "cache": ("static",),
    "attention": ("eager",),
}


def rows(pairs: int = 5) -> list[Row]:
    """SmolLM2-135M, 16 prompts x 8 samples of 64 tokens."""
    with tempfile.TemporaryDirectory() as folder:
        return race("group sampling, SmolLM2-135M", "smollm2", folder, PROMPTS, TOKENS, pairs)


def race(name: str, spec: str, folder: str, prompts: int, tokens: int, pairs: int) -> list[Row]:
    """The row for one policy.  Raises RunError if a side did not sample exactly `tokens` tokens a row."""
    texts = [p.question.messages[-1].content for p in Lesson(steps=1, prompts=prompts).problems]
    task: dict[str, Any] = {"prompts": texts, "samples": SAMPLES}
    with Worker("ours:export", spec=spec, folder=folder) as worker:
        where = worker.turn()["folder"]
    with Worker("theirs:generate", folder=where, **task) as theirs:
        theirs.turn(settings=START, rows=4, tokens=4)
        settings, tried = fastest(START, AXES, partial(_rate, theirs))
        with Worker("ours:generate", spec=spec, tokens=tokens, **task) as ours:
            ours.turn(), theirs.turn(settings=settings, rows=settings["batch"], tokens=TRIAL_TOKENS)
            taken = alternate(ours.turn, partial(theirs.turn, settings=settings, tokens=tokens), pairs)
    if any(side["lengths"] != [tokens] for pair in taken for side in pair):
        raise RunError(f"group sampling: not every row has {tokens} tokens, so the rates do not compare")
    note = (
        f"rival in {settings['mode']}, {settings['attention']} attention, batches of {settings['batch']},"
        f" {settings['cache'] or 'dynamic'} cache; ours in {taken[0][0]['dtype']}, log-probs included"
    )
    return [
        row(
            f"{name}, {prompts} x {SAMPLES}, {tokens} tokens", "transformers generate", "tokens/s",
            [(tokens_a_second(a), tokens_a_second(b)) for a, b in taken], better="higher", reach=5.0,
            settings=settings, tried=tried, note=note, dtype=taken[0][0]["dtype"], threads=cores(),
            peak_mb_ours=taken[-1][0]["peak_mb"], peak_mb_theirs=taken[-1][1]["peak_mb"],
        )
    ]  # fmt: skip


def tokens_a_second(facts: Facts) -> float:
    return float(facts["tokens"] / facts["seconds"])


def _rate(worker: Worker, settings: Settings) -> float:
    """The rival's rate for one batch."""
    return tokens_a_second(worker.turn(settings=settings, rows=settings["batch"], tokens=TRIAL_TOKENS))
