"""A decoding step on a GPU, recorded once and played back.

A step of a small model is a thousand kernels of a few microseconds, and to call each of them from Python takes longer
than to compute it.  A CUDA graph calls them all at once.  It is bound to its tensors: so there is one for every number
of rows, rounded up, and all are thrown away when the cache or a weight moves.  Seen on an H100: five times as fast.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trivium.engine.attend import TokenAttention
from trivium.engine.cache import Cache, doubled
from trivium.models.decoder import Decoder


class Recordings:
    """The steps of one model over one cache, for rows without a stem.  Weights may change, but not move."""

    def __init__(self, model: Decoder, own: Cache) -> None:
        self.model, self.own = model, own
        self._made: dict[int, _Recording] = {}
        self._moves = own.moves

    def logits(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """The logits [B, vocab] behind one more token in each of the first B rows, whose keys and values are written.

        ids and lengths (of the rows before them) are [B], on the processor.  The logits are good until the next call.
        """
        if self._moves != self.own.moves:
            self._made.clear()
            self._moves = self.own.moves
        live, rows = len(ids), doubled(len(ids))
        given = torch.zeros(2, rows, dtype=torch.long)
        given[0, :live], given[1, :live] = ids, lengths
        with torch.cuda.device(self.own.device):  # of several GPUs one is current, and graphs belong to that one
            if rows not in self._made:
                self._made[rows] = _Recording(self.model, self.own, given)
            return self._made[rows].play(given)[:live]


class _Recording:
    """One step for a number of rows.

    `given` [2, rows] are ids and the lengths before them, which without stems are their positions.  A row that is not
    live writes to the first place of a row of the cache that nobody uses, and whoever takes it writes there first.
    """

    def __init__(self, model: Decoder, own: Cache, given: Tensor) -> None:
        self.given = given.to(own.device)

        def step() -> Tensor:
            ids, lengths = self.given.unbind()
            return model.logits(model(ids, lengths, TokenAttention(own, lengths)))

        # Once apart, on the numbers of the step to come: what libraries set up at first cannot be recorded.
        apart = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        apart.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(apart):
            step()
        torch.cuda.current_stream().wait_stream(apart)
        self.graph = torch.cuda.CUDAGraph()
        # On this stream, as torch's own for recording is that of whichever GPU was first; and whatever other threads do
        # on the GPU meanwhile is no part of it.
        with torch.cuda.graph(self.graph, stream=apart, capture_error_mode="thread_local"):
            self.logits = step()

    def play(self, given: Tensor) -> Tensor:
        self.given.copy_(given)
        self.graph.replay()
        return self.logits
