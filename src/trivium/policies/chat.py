"""What every Hugging Face model shares, whoever runs it: tokenizer, chat template, tokens that end a response."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from trivium.errors import ContextFull, UserError
from trivium.types import Message, Request, Segment

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

REMEMBERED, SHORT = 4096, 2000
"""Prompts whose ids are remembered before all are forgotten, and their characters at most."""


@dataclass(eq=False, kw_only=True)
class Chat:
    """Messages to token ids and back.

    `config` is the transformers configuration; `generation_eos` are end tokens that only generation_config.json names.
    """

    name: str
    tokenizer: PreTrainedTokenizerFast
    config: Any
    generation_eos: frozenset[int] = frozenset()
    _known: dict[tuple[Message, ...], tuple[int, ...]] = field(init=False, default_factory=dict, repr=False)
    _said: dict[int, str] = field(init=False, default_factory=dict, repr=False)

    @property
    def eos(self) -> frozenset[int]:
        """Every id that ends a response: some models have several, and missing one makes them ramble."""
        return (
            self.generation_eos
            | id_set(getattr(self.config, "eos_token_id", None))
            | id_set(self.tokenizer.eos_token_id)
        )

    def encode(self, messages: Sequence[Message]) -> tuple[int, ...]:
        """The prompt's token ids, up to where the assistant begins to speak, through the model's own chat template.

        A base model without a template gets the messages' text, one per line.  Short prompts are remembered, as the
        same questions are asked in every round of learning.
        """
        talk = tuple(messages)
        ids = self._known.get(talk)
        if ids is None:
            ids = self._encode(talk)
            if sum(len(m.content) for m in talk) <= SHORT:
                if len(self._known) >= REMEMBERED:
                    self._known.clear()
                self._known[talk] = ids
        return ids

    def _encode(self, messages: tuple[Message, ...]) -> tuple[int, ...]:
        if self.tokenizer.chat_template is None:
            return tuple(self.tokenizer.encode("".join(f"{m.content}\n" for m in messages)))
        turns = [{"role": m.role, "content": m.content} for m in messages]
        ids = self.tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=True, return_dict=False)
        return tuple(ids)

    def encode_response(self, text: str) -> tuple[int, ...]:
        """Token ids of a response a program wrote, closed by the end-of-sequence token where the model has one."""
        end = self.tokenizer.eos_token_id
        ends = sorted(self.eos)[:1] if end is None else [end]
        return (*self.encode_text(text), *ends)

    def encode_text(self, text: str) -> tuple[int, ...]:
        """Token ids of text inside a response, such as what a tool returned."""
        return tuple(self.tokenizer.encode(text, add_special_tokens=False))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, special ones left out.  Single tokens are remembered: stop strings ask for each."""
        if len(ids) != 1:
            return self._decode(ids)
        if ids[0] not in self._said:
            self._said[ids[0]] = self._decode(ids)
        return self._said[ids[0]]

    def _decode(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    def prompt(self, request: Request, context: int) -> tuple[int, ...]:
        """All ids that a request's samples continue.  A prefix from a source without ids is read by its text.

        Raises ContextFull when they leave no room in a context of `context` tokens.
        """
        ids = self.encode(request.messages)
        for s in request.prefix:
            ids += s.ids or self.encode_text(s.text)
        if not ids:
            raise UserError(f"the prompt is empty, and {self.name} needs at least one token to continue")
        if len(ids) >= context:
            raise ContextFull(
                f"the prompt has {len(ids)} tokens but {self.name} reads at most {context - 1};"
                " shorten the question or choose a policy with a longer context"
            )
        return ids

    def prompt_segment(self, ids: tuple[int, ...], version: str) -> Segment:
        return Segment("prompt", ids, text=str(self.tokenizer.decode(list(ids))), version=version)


def id_set(value: Any) -> frozenset[int]:
    """One id, a list of ids or `None`, as configurations have it."""
    return frozenset(value if isinstance(value, list | tuple) else [] if value is None else [value])
