"""`scripted`: a policy without a model.  Tests, benchmarks and demonstrations of search run on it in microseconds.

A script writes the text; the policy turns it into tokens (one per byte, plus an end token), cuts it at stop strings and
at `max_tokens`, and counts honestly.  Sample `i` depends on the messages, the prefix and (`seed`, `i`) alone; with
temperature 0 on the messages and the prefix alone.
"""

from __future__ import annotations

import asyncio
import operator
import random
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from trivium.errors import Unsupported, UserError
from trivium.types import Completion, Finish, Message, Policy, Request, Sampling, Segment, Usage

END = 256
"""The id of the end token; ids below it are the bytes of the text in UTF-8."""

_LOGPROB = tuple(-0.05 - (token * 37 % 64) / 64 for token in range(END + 1))
_SUM = re.compile(r"-?\d+(?:\s*[-+*]\s*-?\d+)+")
_OPERATOR = re.compile(r"(?<=\d)\s*([-+*])\s*(?=-?\d)")
_INTEGER = re.compile(r"-?\d+")
_APPLY: Mapping[str, Callable[[int, int], int]] = {"+": operator.add, "-": operator.sub, "*": operator.mul}
_WORDS = ("so", "then", "we", "have", "a", "sum", "which", "is", "equal", "to", "answer", "not", "7", "12", "40", "93")


@dataclass(frozen=True, slots=True)
class Turn:
    """What a script may look at: the last user message, what was already said after it, the tokens left to say
    something, and this sample's own source of randomness.
    """

    question: str
    said: str
    room: int
    rng: random.Random


Script = Callable[[Turn], str]
"""Writes what comes next.  The text ends the sample unless it is longer than the room there is."""


@dataclass(frozen=True, slots=True)
class Scripted:
    """A policy that plays `script`.

    `delay`: each request waits a pseudo-random time up to this many seconds, so that answers arrive out of order.
    `fail_every=k`: one request in k raises `ConnectionError`; which ones depends on the requests, not on their order.
    Token log-probs come from a fixed table of tokens, so `score` agrees with `sample` but neither describes the script.
    """

    script: Script
    name: str = "scripted"
    delay: float = 0.0
    fail_every: int = 0

    @property
    def version(self) -> str:
        return self.name

    @property
    def capabilities(self) -> frozenset[str]:
        return frozenset({"logprobs", "ids", "seed", "prefix", "score"})

    def encode(self, messages: Sequence[Message]) -> tuple[int, ...]:
        """The prompt's token ids, up to where the assistant begins to speak."""
        return tuple(render(messages).encode())

    def encode_text(self, text: str) -> tuple[int, ...]:
        """Token ids of text inside a response, such as what a tool returned."""
        return tuple(text.encode())

    async def sample(self, request: Request) -> list[Completion]:
        sampling = request.sampling
        if sampling.top_k or sampling.top_p < 1:
            raise Unsupported(
                f"{self.name} draws whole texts, so top_k and top_p mean nothing to it; leave them out, or use "
                "--policy tiny, smollm2 or hf:FOLDER"
            )
        said = "".join(s.text for s in request.prefix)
        question = next((m.content for m in reversed(request.messages) if m.role == "user"), "")
        text = render(request.messages)
        key = zlib.crc32((text + said).encode())
        if sampling.temperature > 0:
            key ^= request.seed * 0x9E3779B1
        await self._weather(key)
        prompt = Segment("prompt", tuple(text.encode()), (), text, self.version)
        prompt_tokens = len(prompt.ids) + sum(len(s.ids) for s in request.prefix)
        out = []
        for i in range(request.n):
            rng = random.Random(key + i * 0x632BE59BD9B4E019 if sampling.temperature > 0 else key)
            segment, finish = self._segment(self.script(Turn(question, said, sampling.max_tokens, rng)), sampling)
            usage = Usage(0 if i else prompt_tokens, 0, len(segment.ids), 0 if i else 1)
            out.append(Completion(prompt, segment, finish, usage))
        return out

    async def score(self, request: Request, continuations: Sequence[Segment]) -> list[tuple[float, ...]]:
        await self._weather(request.seed)
        return [tuple(_LOGPROB[i] for i in c.ids) for c in continuations]

    async def close(self) -> None:
        """Nothing to close."""

    async def _weather(self, key: int) -> None:
        if self.fail_every and key % self.fail_every == 0:
            raise ConnectionError(f"{self.name} fails one request in {self.fail_every}, and this is one")
        if self.delay:
            await asyncio.sleep(self.delay * random.Random(key).random())

    def _segment(self, text: str, sampling: Sampling) -> tuple[Segment, Finish]:
        ends = [at + len(stop) for stop in sampling.stop if (at := text.find(stop)) >= 0]
        if ends:
            text = text[: min(ends)]
        ids = tuple(text.encode()) if ends else (*text.encode(), END)
        finish: Finish = "stop"
        if len(ids) > sampling.max_tokens:
            ids, finish = ids[: sampling.max_tokens], "length"
            text = decode(ids)
        return Segment("model", ids, tuple(map(_LOGPROB.__getitem__, ids)), text, self.version), finish


def decode(ids: Sequence[int]) -> str:
    """The text of `ids`; the end token has none, and a character cut in half becomes U+FFFD."""
    return bytes(i for i in ids if i != END).decode(errors="replace")


def render(messages: Sequence[Message]) -> str:
    """The chat template: one line per turn, then the opening of the answer."""
    return "".join(f"{m.role}: {m.content}\n" for m in messages) + "assistant: "


def sums(p: float = 1.0) -> Script:
    """Answers the last sum in the question, one operation a line; all of it is right with probability `p`.

    A wrong answer has one wrong step and carries it through.  What was already said is taken over, errors included.
    """

    def script(turn: Turn) -> str:
        found = _SUM.findall(turn.question.replace("\u00d7", "*"))
        if not found:
            return "There is no sum in this question."
        done, _, cut = turn.said.rpartition("\n")
        if "Answer:" in done:
            return ""
        terms = [int(t) for t in _OPERATOR.sub(r" \1 ", found[-1]).split(" ")[::2]]
        signs = _OPERATOR.findall(found[-1])
        lines: list[str] = []
        for said in done.splitlines():
            if "=" in said and signs:
                _step(terms, signs, int((_INTEGER.findall(said) or ["0"])[-1]))
        slip = turn.rng.randrange(len(signs)) if signs and turn.rng.random() >= p else -1
        while signs:
            off = turn.rng.choice((-10, -2, -1, 1, 2, 10)) if slip == len(lines) else 0
            lines.append(_step(terms, signs, None, off))
        rest = "\n".join([*lines, f"Answer: {terms[0]}"])
        return rest[len(cut) :] if rest.startswith(cut) else "\n" + rest

    return script


def _step(terms: list[int], signs: list[str], result: int | None, off: int = 0) -> str:
    """Do the next operation in place (products first) and return its line; `result` overrules the true value."""
    at = signs.index("*") if "*" in signs else 0
    sign = signs.pop(at)
    left, right = terms[at], terms.pop(at + 1)
    terms[at] = _APPLY[sign](left, right) + off if result is None else result
    return f"{left} {sign} {right} = {terms[at]}"


def rambling(turn: Turn) -> str:
    """Up to thirty random words, some of them numbers."""
    return " ".join(turn.rng.choices(_WORDS, k=turn.rng.randint(1, 30)))


def endless(turn: Turn) -> str:
    """Never stops."""
    return "and so on " * (turn.room // 10 + 1)


def replies(lines: Mapping[str, str | Sequence[str]]) -> Script:
    """Looks the last user message up in `lines`; of several replies one is drawn.  Unknown questions get silence."""

    def script(turn: Turn) -> str:
        known = lines.get(turn.question, "")
        return known if isinstance(known, str) else turn.rng.choice(known)

    return script


def scripted(
    script: Literal["sums", "random", "endless"] = "sums", *, p: float = 1.0, fail_every: int = 0, delay: float = 0.0
) -> Policy:
    """No model: adds up sums (right with probability p), rambles, or never stops; for trying things out."""
    if not 0 <= p <= 1:
        raise UserError(f"policy scripted: p={p} is no probability; expected a number from 0 to 1")
    if fail_every < 0 or delay < 0:
        raise UserError("policy scripted: fail_every and delay must be 0 (never) or more")
    scripts: Mapping[str, Script] = {"sums": sums(p), "random": rambling, "endless": endless}
    name = f"scripted:{script}" + (f",p={p:g}" if script == "sums" and p < 1 else "")
    return Scripted(scripts[script], name, delay, fail_every)
