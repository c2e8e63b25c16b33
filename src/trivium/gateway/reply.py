"""An answer as it is gathered: whole, or from the events of a stream."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from trivium.gateway.asked import Asked, dicts, strip
from trivium.gateway.turns import THOUGHTS, text_of
from trivium.types import Finish

FINISHES: Mapping[str, Finish] = {
    "stop": "stop", "tool_calls": "stop", "function_call": "stop", "length": "length",
}  # fmt: skip


@dataclass(slots=True)
class Choice:
    """One of the answers.  `ids` are all that was sampled, where the upstream tells; `logprobs` may come without."""

    message: dict[str, Any] = field(default_factory=lambda: {"role": "assistant", "content": ""})
    text: str = ""
    reason: str | None = None
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    own_logprobs: list[float] = field(default_factory=list)
    prompt_ids: list[int] | None = None

    @property
    def finish(self) -> Finish:
        return FINISHES.get(self.reason or "", "error")

    def sampled_logprobs(self) -> list[float]:
        """One for each id, or for each token where there are no ids; none where they do not agree."""
        if not self.ids:
            return self.logprobs
        return next((found for found in (self.own_logprobs, self.logprobs) if len(found) == len(self.ids)), [])

    @property
    def tokens(self) -> int:
        """How many were sampled: as ids or log-probs tell, and of what has neither as many as it has bytes."""
        if self.ids:
            return max(len(self.ids), len(self.logprobs))
        # Some servers give log-probs of the content, and none of thoughts and calls.
        uncounted = self.message | {"content": ""} if self.logprobs else self.message
        said = text_of(uncounted) + ("" if self.logprobs else self.text)
        return len(self.logprobs) + len(said.encode(errors="replace"))

    def said(self, route: str) -> str:
        return text_of(self.message) if route == "chat" else self.text

    def add(self, part: Mapping[str, Any]) -> None:
        """A whole choice, or what is new of one."""
        said = part.get("message") or part.get("delta")
        if isinstance(said, dict):
            self._say(said)
        if isinstance(part.get("text"), str):
            self.text += part["text"]
        reason = part.get("finish_reason")
        self.reason = reason if isinstance(reason, str) else self.reason
        self.ids += _ids(part.get("token_ids"))
        self.own_logprobs += _numbers(part.get("token_logprobs"))
        self.prompt_ids = _ids(part.get("prompt_token_ids")) or self.prompt_ids
        logprobs = part.get("logprobs")
        if isinstance(logprobs, dict):
            tokens = [token.get("logprob") for token in dicts(logprobs.get("content"))]
            self.logprobs += _numbers(tokens or logprobs.get("token_logprobs"))

    def _say(self, said: Mapping[str, Any]) -> None:
        for name in ("content", "refusal", *THOUGHTS):
            if isinstance(said.get(name), str):
                self.message[name] = (self.message.get(name) or "") + said[name]
        for call in dicts(said.get("tool_calls")):
            self._call(call)
        if isinstance(said.get("function_call"), dict):
            _join(self.message.setdefault("function_call", {}), said["function_call"])

    def _call(self, part: Mapping[str, Any]) -> None:
        """A tool call, or a further piece of one, which says by its index of which."""
        calls = self.message.setdefault("tool_calls", [])
        index = part.get("index")
        at = index if isinstance(index, int) and 0 <= index < len(calls) else len(calls)
        if at == len(calls):
            calls.append({"type": "function"})
        call = calls[at]
        call |= {name: part[name] for name in ("id", "type") if isinstance(part.get(name), str)}
        for kind in ("function", "custom"):
            if isinstance(part.get(kind), dict):
                _join(call.setdefault(kind, {}), part[kind])


def _join(have: dict[str, Any], part: Mapping[str, Any]) -> None:
    for name, value in part.items():
        if isinstance(value, str):
            have[name] = (have.get(name) or "") + value


def _numbers(found: Any) -> list[Any]:
    """A list of numbers; one with anything else in it tells nothing."""
    known = isinstance(found, list) and all(isinstance(x, int | float) for x in found)
    return found if known else []


def _ids(found: Any) -> list[int]:
    return found if isinstance(found, list) and all(type(x) is int for x in found) else []


@dataclass(slots=True)
class Reply:
    """All that an upstream said to one request."""

    id: str = ""
    model: str = ""
    fingerprint: str = ""
    choices: dict[int, Choice] = field(default_factory=dict)
    usage: dict[str, Any] = field(default_factory=dict)
    prompt_ids: list[int] | None = None
    failed: bool = False

    def add(self, event: Mapping[str, Any]) -> None:
        """A whole answer, or an event of one."""
        self.failed |= "error" in event and event["error"] is not None
        for name, at in (("id", "id"), ("model", "model"), ("system_fingerprint", "fingerprint")):
            if isinstance(event.get(name), str):
                setattr(self, at, event[name])
        if isinstance(event.get("usage"), dict):
            self.usage = event["usage"]
        self.prompt_ids = _ids(event.get("prompt_token_ids")) or self.prompt_ids
        for part in dicts(event.get("choices")):
            index = part.get("index")
            self.choices.setdefault(index if isinstance(index, int) else 0, Choice()).add(part)

    @property
    def total_tokens(self) -> int:
        """What the upstream counted; 0 where it did not."""
        total = self.usage.get("total_tokens")
        parts = [self.usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
        counted: list[Any] = [total] if total else parts
        return max(0, sum(counted)) if all(type(count) is int for count in counted) else 0

    @property
    def sampled_tokens(self) -> int:
        """How many were sampled, from what was said."""
        return sum(choice.tokens for choice in self.choices.values())

    def read_tokens(self, asked: Asked) -> int:
        """How many the prompts have, as their ids tell; without those as many as the request has bytes."""
        firsts = [self.choices.get(i * asked.n) for i in range(len(asked.prompts))]
        found = [first.prompt_ids or self.prompt_ids for first in firsts if first is not None]
        known = [ids for ids in found if ids]
        return sum(map(len, known)) if len(known) == len(firsts) else len(asked.body)

    @property
    def whole(self) -> bool:
        """Whether every choice said why it ended."""
        return bool(self.choices) and not self.failed and all(c.reason for c in self.choices.values())

    @property
    def tells_all(self) -> bool:
        return any(choice.own_logprobs for choice in self.choices.values())

    @property
    def missing_ids(self) -> bool:
        """Whether the upstream counted other tokens than it gave ids of, as some do around tool calls."""
        given = sum(len(choice.ids) for choice in self.choices.values())
        counted = self.usage.get("completion_tokens")
        return bool(given) and isinstance(counted, int) and counted != given


@dataclass(slots=True)
class Events:
    """Server-sent events on their way: each is read, cleared of what the client did not ask for, and passed on.

    `over` is called once, before the last event is passed on, so that what a client has heard to its end is recorded.
    """

    asked: Asked
    added: frozenset[str]
    reply: Reply
    over: Callable[[], None]
    _rest: bytes = b""

    def feed(self, data: bytes) -> bytes:
        """What the client gets now: all events that are complete."""
        self._rest += data
        out = []
        while (end := _end(self._rest)) is not None:
            block, self._rest = self._rest[:end], self._rest[end:]
            out.append(self._event(block))
        return b"".join(out)

    def end(self) -> bytes:
        """What is left when the upstream has ended."""
        rest, self._rest = self._rest, b""
        out = self._event(rest) if rest.strip() else rest
        self.over()
        return out

    def _event(self, block: bytes) -> bytes:
        data = b"\n".join(line[5:].lstrip() for line in block.splitlines() if line.startswith(b"data:"))
        if data.strip() == b"[DONE]":
            self.over()
            return block
        try:
            event = orjson.loads(data)
        except orjson.JSONDecodeError:
            return block
        if not isinstance(event, dict):
            return block
        self.reply.add(event)
        changed, empty = strip(event, self.added)
        if empty:
            return b""
        if not changed:
            return block
        head = b"".join(line for line in block.splitlines(keepends=True) if line[:1] not in b"d\r\n")
        return head + b"data: " + orjson.dumps(event) + b"\n\n"


def _end(data: bytes) -> int | None:
    """Where the first event ends, its empty line included."""
    ends = [at + len(mark) for mark in (b"\n\n", b"\r\n\r\n") if (at := data.find(mark)) >= 0]
    return min(ends, default=None)
