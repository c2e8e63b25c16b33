"""The rival's side of the tree race: the MCTS of llm-reasoners, driven through its own classes over transformers.

A state is the response so far, and an action is its next line.  Its own Hugging Face model class is not used: it
imports a dozen packages that the search has no need of, and leaves no choice of number type, attention and cache.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from reasoners import GenerateOutput, LanguageModel, Reasoner, SearchConfig, WorldModel
from reasoners.algorithm import MCTS
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, LogitsProcessor, LogitsProcessorList

from benchmarks.worker import Facts, Turns
from trivium.policies.folder import DTYPES


def search(
    turns: Turns,
    *,
    folder: str,
    chats: Sequence[list[dict[str, Any]]],
    branch: int,
    depth: int,
    max_tokens: int,
    temperature: float,
) -> None:
    """Trees for the chats that a command numbers, one after the other, of as many iterations as it says."""
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    prompts = [tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False) for chat in chats]

    @functools.lru_cache(maxsize=1)
    def load(dtype: str, attention: str) -> Any:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=DTYPES[dtype], attn_implementation=attention)
        model.eval().generate(torch.ones(branch, 8, dtype=torch.long), max_new_tokens=2)  # the first touch of weights
        return model

    def step(number: int, command: Facts) -> Facts:
        settings, asked = command["settings"], command["problems"]
        model = Sampler(load(settings["dtype"], settings["attention"]), tokenizer, settings["cache"])
        config = NextLines(model, branch, max_tokens, temperature)
        reasoner = Reasoner(Growing(max_tokens), config, MCTS(depth_limit=depth, n_iters=command["iterations"]))
        torch.manual_seed(number)
        sampled, began = [], time.perf_counter()
        for i in asked:
            before = model.sampled
            reasoner(prompts[i])
            sampled.append(model.sampled - before)
        return {
            "seconds": time.perf_counter() - began, "sampled": sampled, "calls": model.calls, "steps": model.steps,
            "prompts": [tokenizer.encode(prompts[i], add_special_tokens=False) for i in asked],
        }  # fmt: skip

    turns.each(step)


class Sampler(LanguageModel):  # type: ignore[misc]
    """Samples lines with `generate`, and counts calls, the steps they took and the tokens sampled.

    A line ends with the first token that holds a line break: as ends of sequence these cost one comparison a token,
    where `stop_strings` matches text.  No line begins with one, which spares the rival the empty lines that ours draws
    and pays for.
    """

    def __init__(self, model: Any, tokenizer: Any, cache: str | None) -> None:
        self.model, self.tokenizer, self.cache = model, tokenizer, cache
        words = tokenizer.batch_decode([[i] for i in range(len(tokenizer))])
        self.breaks = [i for i, word in enumerate(words) if "\n" in word]
        self.ends = [*self.breaks, tokenizer.eos_token_id]
        self.calls = self.steps = self.sampled = 0

    def generate(
        self, inputs: list[str], *, max_new_tokens: int, temperature: float, num_return_sequences: int
    ) -> GenerateOutput:
        """Lines after each input, with the log-probability (temperature 1) of every token."""
        wanted = self.model.generation_config = GenerationConfig(
            max_new_tokens=max_new_tokens, do_sample=True, temperature=temperature, top_k=0, top_p=1.0,
            num_return_sequences=num_return_sequences, eos_token_id=self.ends,
            pad_token_id=self.tokenizer.pad_token_id, bos_token_id=self.tokenizer.bos_token_id, use_cache=True,
            cache_implementation=self.cache, return_dict_in_generate=True, output_logits=True,
        )  # fmt: skip
        encoded = self.tokenizer(inputs, return_tensors="pt", padding=True, add_special_tokens=False)
        start = encoded["input_ids"].shape[1]
        first = LogitsProcessorList([NoBreakFirst(self.breaks, start)])
        with torch.inference_mode():
            made = self.model.generate(**encoded, generation_config=wanted, logits_processor=first)
            ids = made.sequences[:, start:]
            losses = map(functools.partial(torch.nn.functional.cross_entropy, reduction="none"), made.logits, ids.T)
            logprobs = -torch.stack(list(losses), dim=1)
        ended = torch.isin(ids, torch.tensor(self.ends)).tolist()
        lengths = [row.index(True) + 1 if True in row else len(row) for row in ended]
        self.calls, self.steps, self.sampled = self.calls + 1, self.steps + ids.shape[1], self.sampled + sum(lengths)
        texts = [self.tokenizer.decode(row[:n], skip_special_tokens=True) for row, n in zip(ids, lengths, strict=True)]
        return GenerateOutput(texts, [row[:n].numpy() for row, n in zip(logprobs, lengths, strict=True)])

    # The base class wants these two; a search that scores lines by what was sampled asks for neither.
    def get_next_token_logits(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    def get_loglikelihood(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError


class NoBreakFirst(LogitsProcessor):  # type: ignore[misc]
    """Keeps a line from being empty.  `begin_suppress_tokens` does so too, but looks for its tokens at every step."""

    def __init__(self, breaks: list[int], start: int) -> None:
        self.breaks, self.start = torch.tensor(breaks), start

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        return scores if input_ids.shape[1] > self.start else scores.index_fill(1, self.breaks, -math.inf)


class Line(NamedTuple):
    """An action.  `over`: the response ended with it.  `likelihood` is exp of its mean log-probability."""

    text: str
    tokens: int
    over: bool
    likelihood: float


class Response(NamedTuple):
    """A state: what was said so far."""

    text: str = ""
    tokens: int = 0
    over: bool = False


class Growing(WorldModel):  # type: ignore[misc]
    """Responses grow by lines, to `max_tokens` tokens at most."""

    def __init__(self, max_tokens: int) -> None:
        super().__init__()
        self.max_tokens = max_tokens

    def init_state(self) -> Response:
        return Response()

    def step(self, state: Response, action: Line) -> tuple[Response, dict[str, Any]]:
        tokens = state.tokens + action.tokens
        return Response(state.text + action.text, tokens, action.over or tokens >= self.max_tokens), {}

    def is_terminal(self, state: Response) -> bool:
        return state.over


class NextLines(SearchConfig):  # type: ignore[misc]
    """Up to `branch` distinct next lines, drawn in one batch; a line's reward is its likelihood."""

    def __init__(self, model: LanguageModel, branch: int, max_tokens: int, temperature: float) -> None:
        super().__init__()
        self.model, self.branch, self.max_tokens, self.temperature = model, branch, max_tokens, temperature

    def get_actions(self, state: Response) -> list[Line]:
        made = self.model.generate(
            [self.example + state.text], max_new_tokens=self.max_tokens - state.tokens, temperature=self.temperature,
            num_return_sequences=self.branch,
        )  # fmt: skip
        lines: dict[str, Line] = {}
        for text, logp in zip(made.text, made.log_prob, strict=True):
            lines.setdefault(text.strip(), Line(text, len(logp), "\n" not in text, math.exp(logp.mean())))
        return list(lines.values())

    def fast_reward(self, state: Response, action: Line) -> tuple[float, dict[str, Any]]:
        return action.likelihood, {}

    def reward(self, state: Response, action: Line, **_: Any) -> tuple[float, dict[str, Any]]:
        return action.likelihood, {}
