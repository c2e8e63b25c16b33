"""A policy whose weights are here: tokenizer, `Decoder` and engine behind the `Policy` contract.

`tiny`, `smollm2` and `hf` are all this class over different folders.  Requests made concurrently share one running
batch: the engine advances only when every method that could ask for more is waiting (quiescence), and a finished
sample wakes its method before the next token is computed.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from trivium.engine.engine import Engine, Job, Row
from trivium.errors import UserError
from trivium.models.convert import from_decoder
from trivium.models.decoder import Decoder
from trivium.models.logprob import completion_logprobs
from trivium.types import Completion, Message, Request, Segment, Usage

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

QUIET_PASSES = 3


@dataclass(eq=False)
class LocalPolicy:
    """Sample from and score with a `Decoder` in this process.

    `config` is the transformers configuration the folder is written with.  `weights_version` counts updates; `version`
    adds the name, so that a segment tells which weights sampled it.
    """

    name: str
    model: Decoder
    tokenizer: PreTrainedTokenizerFast
    config: Any
    max_rows: int = 128
    weights_version: int = 0
    capabilities: frozenset[str] = frozenset({"logprobs", "ids", "seed", "top_k", "prefix", "score", "weights"})
    engine: Engine = field(init=False)
    _waiting: dict[Job, tuple[asyncio.Future[list[Row]], list[Row]]] = field(init=False, default_factory=dict)
    _pump: asyncio.Task[None] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.engine = Engine(self.model, eos=self.eos, decode=self.decode, max_rows=self.max_rows)

    @property
    def version(self) -> str:
        return f"{self.name}@{self.weights_version}"

    @property
    def eos(self) -> frozenset[int]:
        """Every id that ends a response: some models have several, and missing one makes them ramble."""
        ids: set[int] = set()
        for source in (self.config, getattr(self.config, "generation_config", None)):
            value = getattr(source, "eos_token_id", None)
            ids.update(value if isinstance(value, list) else [] if value is None else [value])
        if self.tokenizer.eos_token_id is not None:
            ids.add(self.tokenizer.eos_token_id)
        return frozenset(ids)

    def encode(self, messages: Sequence[Message]) -> tuple[int, ...]:
        """The prompt's token ids, up to where the assistant begins to speak, through the model's own chat template.

        A base model without a template gets the messages' text, one per line.
        """
        if self.tokenizer.chat_template is None:
            text = "".join(f"{m.content}\n" for m in messages)
            return tuple(self.tokenizer.encode(text))
        turns = [{"role": m.role, "content": m.content} for m in messages]
        ids = self.tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=True, return_dict=False)
        return tuple(ids)

    def encode_response(self, text: str) -> tuple[int, ...]:
        """Token ids of a response a program wrote, closed by the end-of-sequence token."""
        return (*self.tokenizer.encode(text, add_special_tokens=False), self.tokenizer.eos_token_id)

    def decode(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    async def sample(self, request: Request) -> list[Completion]:
        """`request.n` completions, in order, through the shared batch.

        Raises UserError when the prompt does not fit into the model's context.
        """
        prompt = self._prompt(request)
        job = Job(prompt, request.sampling, request.n, request.seed)
        if len(prompt) >= self.model.c.context:
            raise UserError(
                f"the prompt has {len(prompt)} tokens but {self.name} reads at most {self.model.c.context - 1};"
                " shorten the question or choose a policy with a longer context"
            )
        future: asyncio.Future[list[Row]] = asyncio.get_running_loop().create_future()
        self._waiting[job] = (future, [])
        self.engine.submit(job)
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._run())
        try:
            rows = await future
        except asyncio.CancelledError:
            self._waiting.pop(job, None)
            self.engine.cancel(job)
            raise
        shared = Segment("prompt", prompt, text=self.tokenizer.decode(list(prompt)), version=self.version)
        return [self._completion(shared, row) for row in rows]

    async def score(self, request: Request, continuations: Sequence[Segment]) -> list[tuple[float, ...]]:
        """Log-probabilities (temperature 1) of each continuation's ids after the request's prompt."""
        prompt = self._prompt(request)
        with torch.inference_mode():
            logp, _, _ = completion_logprobs(self.model, [prompt], [(0, c.ids) for c in continuations])
        return [tuple(row[: len(c.ids)].tolist()) for row, c in zip(logp, continuations, strict=True)]

    def save(self, folder: Path, state: dict[str, Tensor] | None = None) -> None:
        """Write a folder that transformers loads without Trivium: configuration, tokenizer, safetensors.

        `state` replaces the model's own weights, such as by their float32 masters.
        """
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        weights = from_decoder(state or self.model.state_dict(), self.model.c)
        if self.config.model_type != "gpt2" and self.config.tie_word_embeddings:
            weights.pop("lm_head.weight", None)
        self.config.dtype = str(next(iter(weights.values())).dtype).removeprefix("torch.")
        self.config.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        generation = {"eos_token_id": sorted(self.eos), "pad_token_id": self.tokenizer.pad_token_id}
        (folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")
        save_file({k: v.clone() for k, v in weights.items()}, folder / "model.safetensors", metadata={"format": "pt"})

    def checksum(self) -> str:
        """A short hash of the weights, to tell whether two policies are the same."""
        digest = hashlib.blake2b(digest_size=8)
        for _, tensor in sorted(self.model.state_dict().items()):
            digest.update(tensor.detach().contiguous().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    async def close(self) -> None:
        if self._pump is not None:
            self._pump.cancel()

    def _prompt(self, request: Request) -> tuple[int, ...]:
        return self.encode(request.messages) + tuple(i for s in request.prefix for i in s.ids)

    def _completion(self, shared: Segment, row: Row) -> Completion:
        text = self.decode(row.ids) if row.text is None else row.text
        segment = Segment("model", tuple(row.ids), tuple(row.logprobs), text, shared.version)
        first = row.index == 0
        # The group's prompt was computed once: its first sample pays for it, the others read it from the cache.
        usage = Usage(
            prompt_tokens=len(shared.ids),
            cached_tokens=0 if first else len(shared.ids),
            sampled_tokens=len(row.ids),
            calls=int(first),
        )
        return Completion(shared, segment, row.finish, usage)

    async def _run(self) -> None:
        """Step the engine until it is idle, pausing whenever someone might want to join."""
        try:
            while self.engine.busy:
                await self._quiet()
                for row in self.engine.step():
                    future, rows = self._waiting[row.job]
                    rows.append(row)
                    if len(rows) == row.job.n:
                        del self._waiting[row.job]
                        if not future.done():
                            future.set_result(sorted(rows, key=_index))
        except Exception as error:
            for future, _ in self._waiting.values():
                if not future.done():
                    future.set_exception(error)
            self._waiting.clear()
            raise

    async def _quiet(self) -> None:
        """Let every ready coroutine run until a few passes in a row have added no request."""
        passes, queued = 0, -1
        while passes < QUIET_PASSES:
            await asyncio.sleep(0)
            now = len(self._waiting)
            passes, queued = (passes + 1, queued) if now == queued else (0, now)


def _index(row: Row) -> int:
    return row.index
