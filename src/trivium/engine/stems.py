"""Which beginnings the rows of a batch should share as stems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate

from trivium.engine.cache import NONE, Past

WORTHWHILE = 1_500_000
"""Numbers of a layer's keys that sharing must spare a step: its extra calls cost about as much as reading those."""
FULL = 4
"""One in so many places of the table of stems and rows is taken at least when a stem is made."""
Ids = tuple[int, ...]


def live_stem(prompt: Ids, stems: Sequence[Ids]) -> int:
    """The longest of the stems that the prompt goes on from and that is at least half of it, or NONE."""
    fit = [i for i, ids in enumerate(stems) if _covers(ids, prompt) and prompt[: len(ids)] == ids]
    return max(fit, key=lambda i: len(stems[i]), default=NONE)


def new_stems(
    prompts: Mapping[Ids, int], pasts: Sequence[Past], live: Mapping[Ids, int], token_size: int
) -> dict[Ids, Ids]:
    """The stems worth making for `prompts`, each with its number of rows: prompt to stem, for those that get one.

    `pasts` is what is known of each, in pieces that end where others went another way.  A stem is the shortest such
    piece that is at least half of a prompt, where several prompts have it, else all of a prompt but its last token,
    whose hidden state the first draw needs.  `live` are the stems there are, with their rows, and `token_size` is the
    numbers in one token's keys of one layer.
    """
    heads = dict(zip(prompts, (_forked(p, past) for p, past in zip(prompts, pasts, strict=True)), strict=True))
    alike = list(heads.values())
    heads = {p: head if head and alike.count(head) > 1 else p[:-1] for p, head in heads.items()}
    rows: dict[Ids, int] = {}
    for prompt, head in heads.items():
        rows[head] = rows.get(head, 0) + prompts[prompt]
    spared = sum(len(head) * (n - 1) for head, n in rows.items())
    if not live and spared * token_size < WORTHWHILE:
        return {}
    # What is its own is as long in every row as in the longest, so a long beginning is a stem even for a single row.
    longest = max(map(len, (*rows, *live)))
    counts, chosen = list(live.values()), set()
    for head in sorted((head for head in rows if 2 * len(head) >= longest), key=lambda h: -rows[h]):
        # The table of stems times the most rows of any is computed whole, so it must not be mostly empty.
        if (len(counts) + 1) * max(*counts, rows[head], 0) <= FULL * (sum(counts) + rows[head]):
            counts.append(rows[head])
            chosen.add(head)
    return {p: head for p, head in heads.items() if head in chosen}


def _covers(stem: Ids, prompt: Ids) -> bool:
    return len(prompt) - 1 <= 2 * len(stem) and len(stem) < len(prompt)


def _forked(prompt: Ids, past: Past) -> Ids:
    """The shortest beginning that ends with a piece and covers the prompt, or nothing."""
    ends = accumulate(keys.shape[2] for keys, _ in past)
    return next((prompt[:end] for end in ends if _covers(prompt[:end], prompt)), ())
