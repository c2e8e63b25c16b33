"""Transformers' own `generate` for architectures that the fast engine does not run: correct, slower, not trainable.

Tokens are drawn by the engine's own `draw`, inside a logits processor, from streams that belong to (seed, index): so
sampling means the same here as there, and log-probs are those of the model before any filter.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trivium.engine.draw import Uniforms, draw
from trivium.engine.engine import Job, Row, judge_end
from trivium.errors import ContextFull, UserError
from trivium.policies.chat import Chat
from trivium.types import Completion, Policy, Request, Segment, Usage

UNBOUNDED = 1 << 20
"""The context of a model that names none, such as a recurrent one."""


@dataclass(eq=False, kw_only=True)
class FallbackPolicy(Chat):
    """A model that only transformers can run.  Requests are answered one after another, each as one batch of copies of
    its prompt, which needs no padding and so suits every architecture.
    """

    model: Any
    max_rows: int = 128
    capabilities: frozenset[str] = frozenset({"logprobs", "ids", "seed", "top_k", "prefix", "score"})

    @property
    def version(self) -> str:
        return self.name

    @property
    def context(self) -> int:
        """Most tokens the model can read, prompt and response together."""
        for key in ("max_position_embeddings", "n_positions", "max_seq_len"):
            if value := getattr(self.config, key, None):
                return int(value)
        return UNBOUNDED

    async def sample(self, request: Request) -> list[Completion]:
        """`request.n` completions, in order.  Raises ContextFull when the prompt does not fit into the context."""
        if request.n < 1:
            raise UserError(f"n={request.n} samples: expected at least 1")
        prompt = self.prompt(request, self.context)
        job = Job(prompt, request.sampling, request.n, request.seed)
        rows = [Row(job, i, Uniforms(job.seed, i)) for i in range(job.n)]
        for at in range(0, len(rows), self.max_rows):
            self._generate(job, rows[at : at + self.max_rows])
        shared = self.prompt_segment(prompt, self.version)
        return [self._completion(shared, row) for row in rows]

    async def score(self, request: Request, continuations: Sequence[Segment]) -> list[tuple[float, ...]]:
        """Log-probabilities (temperature 1) of each continuation's ids after the request's prompt and prefix."""
        prompt = self.prompt(request, self.context)
        return [tuple(self._logprobs(prompt, c.ids)) if c.ids else () for c in continuations]

    async def close(self) -> None:
        """Nothing to close."""

    @torch.inference_mode()
    def _generate(self, job: Job, rows: list[Row]) -> None:
        from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

        control = _Control(rows, self)
        settings = GenerationConfig(
            max_new_tokens=min(job.sampling.max_tokens, self.context - len(job.prompt)), do_sample=False,
            pad_token_id=self.tokenizer.pad_token_id or 0,
        )  # fmt: skip
        ids = torch.tensor([job.prompt] * len(rows), device=self.model.device)
        self.model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=settings,
            logits_processor=LogitsProcessorList([control.choose]),
            stopping_criteria=StoppingCriteriaList([control.over]),
        )  # fmt: skip

    @torch.inference_mode()
    def _logprobs(self, prompt: tuple[int, ...], ids: tuple[int, ...]) -> list[float]:
        if len(prompt) + len(ids) > self.context:
            raise ContextFull(
                f"prompt and continuation have {len(prompt) + len(ids)} tokens but {self.name} reads at most"
                f" {self.context}"
            )
        read = torch.tensor([prompt + ids], device=self.model.device)
        logits = self.model(input_ids=read).logits[0, len(prompt) - 1 : -1].float().cpu()
        found: list[float] = logits.log_softmax(-1).gather(1, torch.tensor(ids)[:, None]).squeeze(1).tolist()
        return found

    def _completion(self, shared: Segment, row: Row) -> Completion:
        text = self.decode(row.ids) if row.text is None else row.text
        first = row.index == 0
        usage = Usage(len(shared.ids) if first else 0, 0, len(row.ids), int(first))
        segment = Segment("model", tuple(row.ids), tuple(row.logprobs), text, shared.version)
        return Completion(shared, segment, row.finish, usage)


@dataclass(eq=False)
class _Control:
    """Takes part in one call of `generate`: `choose` leaves it one token a row to pick, `over` tells which rows end."""

    rows: list[Row]
    policy: FallbackPolicy
    _ended: list[bool] = field(init=False)

    def __post_init__(self) -> None:
        self._ended = [False] * len(self.rows)

    def choose(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        u = torch.tensor([row.uniforms.next() for row in self.rows], dtype=torch.float64)
        ids, logprobs = draw(scores, u, [row.job.sampling for row in self.rows])
        for i, (row, token, logprob) in enumerate(zip(self.rows, ids.tolist(), logprobs.tolist(), strict=True)):
            if not self._ended[i]:
                row.ids.append(token)
                row.logprobs.append(logprob)
                self._ended[i] = judge_end(row, self.policy.eos, self.policy.decode, self.policy.context)
        return torch.full_like(scores, float("-inf")).scatter_(1, ids[:, None], 0.0)

    def over(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        return torch.tensor(self._ended, device=input_ids.device)


def load_fallback(
    folder: Path, name: str, dtype: torch.dtype, device: torch.device, max_rows: int, chat: dict[str, Any], why: str
) -> Policy:
    """A `FallbackPolicy` over `folder`, and one warning that says so and why."""
    from transformers import AutoModelForCausalLM, GenerationConfig

    try:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).to(device).eval()
    except (ValueError, OSError, ImportError) as error:
        raise UserError(f"neither the fast engine nor transformers runs {name}: {why}; {error}") from error
    # What the checkpoint's own settings would add (penalties, filters) nobody has asked for.
    model.generation_config = GenerationConfig()
    warnings.warn(
        f"{name}: {why}; transformers' generate is used, which is correct but many times slower, and this model cannot"
        " be taught",
        stacklevel=2,
    )
    return FallbackPolicy(name=name, model=model, max_rows=max_rows, **chat)
