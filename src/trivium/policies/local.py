"""A policy whose weights are here: tokenizer, `Decoder` and engine behind the `Policy` contract.

`tiny`, `smollm2` and `hf` are all this class over different folders.  Requests made concurrently share one running
batch: the engine advances only when every method that could ask for more is waiting (quiescence), and a finished
sample wakes its method before the next token is computed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from trivium.engine.engine import Engine, Job, Row
from trivium.errors import ContextFull, RunError, UserError
from trivium.models.convert import from_decoder
from trivium.models.decoder import Decoder
from trivium.models.logprob import completion_logprobs
from trivium.policies.chat import Chat
from trivium.policies.device import cache_bytes
from trivium.policies.lora import merged_state
from trivium.types import Completion, Request, Segment, Usage

QUIET_PASSES = 3
SCORED_TOKENS = 2048
"""Tokens of a scoring call computed at a time, which bounds the memory that logits take."""


@dataclass(eq=False, kw_only=True)
class LocalPolicy(Chat):
    """Sample from and score with a `Decoder` in this process.

    `config` is the transformers configuration the folder is written with.  `weights_version` counts updates; `version`
    adds the name, so that a segment tells which weights sampled it.
    """

    model: Decoder
    max_rows: int = 128
    weights_version: int = 0
    capabilities: frozenset[str] = frozenset({"logprobs", "ids", "seed", "top_k", "prefix", "score", "weights"})
    engine: Engine = field(init=False)
    _waiting: dict[Job, tuple[asyncio.Future[list[Row]], list[Row]]] = field(init=False, default_factory=dict)
    _asked: int = field(init=False, default=0)
    _pump: asyncio.Task[None] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.engine = Engine(self.model, **self._limits())

    def _limits(self) -> dict[str, Any]:
        """What ends a sample, and how much of the device the engine may take."""
        room = cache_bytes(self.model.device)
        return {
            "eos": self.eos, "decode": self.decode, "max_rows": self.max_rows, "cache_bytes": room, "prefix_bytes": room
        }  # fmt: skip

    @property
    def version(self) -> str:
        return f"{self.name}@{self.weights_version}"

    async def sample(self, request: Request) -> list[Completion]:
        """`request.n` completions, in order, through the shared batch.

        Raises ContextFull when the prompt does not fit into the model's context.
        """
        return await self._completed(self._job(request))

    def _job(self, request: Request) -> Job:
        """What the engine is asked for."""
        if request.n < 1:
            raise UserError(f"n={request.n} samples: expected at least 1")
        prompt = self.prompt(request, self.model.c.context)
        # A search that goes on from steps stops at them, or says how far it got, and a talk goes on from its turns.
        talk = any(message.role == "assistant" for message in request.messages)
        keep = bool(request.prefix or request.sampling.stop or talk)
        return Job(prompt, request.sampling, request.n, request.seed, keep)

    async def _completed(self, job: Job) -> list[Completion]:
        """The samples of a job once they are made; a call that is broken off takes them out of the batch."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Row]] = loop.create_future()
        if self._pump is None or self._pump.get_loop() is not loop or self._pump.cancelled():
            # Whatever is still here belongs to an event loop that is gone, or was broken off.
            self._waiting.clear()
            if self.engine.busy:
                self.engine.reset()
            else:
                self.engine.release()
            self._pump = loop.create_task(self._run())
        elif self._pump.done():
            # It ends whenever there is nothing to do; what was read before is still worth going on from.
            self._pump = loop.create_task(self._run())
        self._waiting[job] = (future, [])
        self._asked += 1
        self.engine.submit(job)
        try:
            rows = await future
        except asyncio.CancelledError:
            self._waiting.pop(job, None)
            self.engine.cancel(job)
            raise
        shared = self.prompt_segment(job.prompt, self.version)
        return [self._completion(shared, row) for row in rows]

    async def score(self, request: Request, continuations: Sequence[Segment]) -> list[tuple[float, ...]]:
        """Log-probabilities (temperature 1) of each continuation's ids after the request's prompt and prefix.

        Raises ContextFull when prompt and continuation do not fit into the model's context.
        """
        prompt = self.prompt(request, self.model.c.context)
        longest = max((len(c.ids) for c in continuations), default=0)
        if len(prompt) + longest > self.model.c.context:
            raise ContextFull(
                f"prompt and continuation have {len(prompt) + longest} tokens but {self.name} reads at most"
                f" {self.model.c.context}"
            )
        out: list[tuple[float, ...]] = [()] * len(continuations)
        for piece in _pieces([len(c.ids) for c in continuations], SCORED_TOKENS):
            with torch.inference_mode():
                logp, _, _ = completion_logprobs(self.model, [prompt], [(0, continuations[i].ids) for i in piece])
            for i, row in zip(piece, logp, strict=True):
                out[i] = tuple(row[: len(continuations[i].ids)].tolist())
        return out

    def save(self, folder: Path) -> None:
        """Write a folder that transformers loads without Trivium: configuration, tokenizer, safetensors.

        Adapters are merged into the weights they adapt.
        """
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        weights = from_decoder(merged_state(self.model), self.model.c)
        self.config.dtype = str(next(iter(weights.values())).dtype).removeprefix("torch.")
        self.config.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        generation = {"eos_token_id": sorted(self.eos), "pad_token_id": self.tokenizer.pad_token_id}
        (folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")
        save_file({k: v.clone() for k, v in weights.items()}, folder / "model.safetensors", metadata={"format": "pt"})

    def release(self) -> None:
        """Give back the memory that sampling holds, such as before learning; the next request takes it again."""
        self.engine.release()

    async def close(self) -> None:
        """End what is under way: whoever waits for it gets a RunError."""
        pump, self._pump = self._pump, None
        if pump is None:
            return
        pump.cancel()
        if pump.get_loop() is asyncio.get_running_loop():
            self._break_off(self._closed())

    def _completion(self, shared: Segment, row: Row) -> Completion:
        text = self.decode(row.ids) if row.text is None else row.text
        segment = Segment("model", tuple(row.ids), tuple(row.logprobs), text, shared.version)
        # The group's prompt was computed once, so its first sample alone pays for it.
        first = row.index == 0
        usage = Usage(len(shared.ids) if first else 0, row.reused if first else 0, len(row.ids), int(first))
        return Completion(shared, segment, row.finish, usage)

    async def _run(self) -> None:
        """Step the engine until it is idle, pausing whenever someone might want to join."""
        try:
            while True:
                await self._quiet()
                if not self.engine.busy:
                    return
                for row in self.engine.step():
                    future, rows = self._waiting[row.job]
                    rows.append(row)
                    if len(rows) == row.job.n:
                        del self._waiting[row.job]
                        if not future.done():
                            future.set_result(sorted(rows, key=_index))
        except Exception as error:
            self._break_off(error)
        except asyncio.CancelledError:
            # One that was replaced leaves alone what its successor has begun.
            if self._waiting and self._pump is asyncio.current_task():
                self._break_off(self._closed())
            raise

    def _break_off(self, error: Exception) -> None:
        """Tell whoever waits.  The batch in flight is lost, and the next request begins with an empty engine."""
        for future, _ in self._waiting.values():
            if not future.done():
                future.set_exception(error)
        self._clear()

    def _closed(self) -> RunError:
        return RunError(f"{self.name} was closed before it had answered")

    def _clear(self) -> None:
        self._waiting.clear()
        self.engine.reset()

    async def _quiet(self) -> None:
        """Let every ready coroutine run until a few passes in a row have added no request."""
        passes, asked = 0, -1
        while passes < QUIET_PASSES:
            await asyncio.sleep(0)
            passes, asked = (passes + 1, asked) if self._asked == asked else (0, self._asked)


def _index(row: Row) -> int:
    return row.index


def _pieces(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Places of the non-zero lengths, in runs that add up to at most `most` (always at least one place)."""
    piece: list[int] = []
    total = 0
    for i, n in enumerate(lengths):
        if n and piece and total + n > most:
            yield piece
            piece, total = [], 0
        if n:
            piece.append(i)
            total += n
    if piece:
        yield piece
