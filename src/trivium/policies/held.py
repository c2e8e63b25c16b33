"""Draws tokens that keep a sample on the way to one JSON object, from the model's distribution over just those.

A token that cannot come next is drawn again without it, which is exact, and cheap where the model means to write JSON.
Where it does not, all tokens of the vocabulary are looked at, once for each state.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from trivium.engine.draw import COLDEST, invert, nucleus
from trivium.engine.engine import Row
from trivium.policies.json_guide import State, follow

REDRAWS = 16
REMEMBERED = 256
"""States whose tokens are known."""


class JsonDraw:
    """For one policy: `eos` are the tokens that end a sample, `texts` gives the text of every token by its id."""

    def __init__(self, eos: frozenset[int], texts: Callable[[], Sequence[str]]) -> None:
        self._ends = sorted(eos)
        self._texts = functools.cache(texts)
        self._allowed = functools.lru_cache(REMEMBERED)(self._look_at_all)

    def draw(self, logits: Tensor, row: Row, state: State) -> tuple[int, float, State]:
        """A token for a row in `state`, given its logits [vocab]; its log-probability under the whole distribution at
        temperature 1; and the state after it.
        """
        z = logits.float().cpu()
        token, after = self._choose(z, row, state)
        return token, float(z[token] - z.logsumexp(-1)), after

    def _choose(self, z: Tensor, row: Row, state: State) -> tuple[int, State]:
        if state.done and self._ends:
            return self._ends[0], state
        s = row.job.sampling
        # A greedy row takes the likeliest each time, and so needs no random number.
        greedy = s.temperature == 0
        whole = torch.softmax(z / (1.0 if greedy else max(s.temperature, COLDEST)), dim=-1)
        p = nucleus(whole, s.top_k, s.top_p) if not greedy and (s.top_k or s.top_p < 1) else whole.clone()
        for _ in range(REDRAWS):
            if not bool(p.any()):
                break
            token = int(p.argmax()) if greedy else self._invert(p, row)
            after = self._after(token, state)
            if after is not None:
                return token, after
            p[token] = 0.0
        p = whole * self._allowed(state)
        if not bool(p.any()):  # all that could follow is too unlikely for a float
            p = self._allowed(state)
        token = int(p.argmax()) if greedy else self._invert(p, row)
        after = self._after(token, state)
        # A vocabulary that lacks a letter can have no way on; then the sample ends as it is, if it can end.
        return (token, after) if after is not None else ((self._ends or [token])[0], state)

    def _invert(self, p: Tensor, row: Row) -> int:
        u = torch.tensor([row.uniforms.next()], dtype=torch.float64)
        return int(invert(p[None], u))

    def _after(self, token: int, state: State) -> State | None:
        text = self._texts()[token]
        return follow(state, text) if text else None

    def _look_at_all(self, state: State) -> Tensor:
        """1 for every token that can come next, else 0."""
        return torch.tensor([float(bool(text) and follow(state, text) is not None) for text in self._texts()])
