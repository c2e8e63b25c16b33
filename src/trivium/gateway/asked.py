"""What a client asked for, and what the gateway asks for beside it.

An answer has token ids and log-probs only where they were asked for.  So the gateway asks for them, takes out of the
answer what its client did not ask for, and never lets a request fail that would not have failed without it: a request
that is refused is put again with less, and what an upstream does not take is not asked of it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

Route = Literal["chat", "text"]
ROUTES: Mapping[str, Route] = {"/chat/completions": "chat", "/completions": "text"}
"""What is recorded, by the path after `/v1`, decoded."""
REFUSING = frozenset({400, 422, 500, 501})
"""The statuses by which servers say that they do not know a field, or not together with another."""
IDS, LOGPROBS, USAGE = "return_token_ids", "logprobs", "stream_options"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for completions, read; `body` is what the client sent."""

    route: Route
    body: bytes
    fields: Mapping[str, Any]

    @property
    def model(self) -> str:
        return str(self.fields.get("model", ""))

    @property
    def stream(self) -> bool:
        return self.fields.get("stream") is True

    @property
    def tools(self) -> list[Any] | None:
        """What the model may call, which is a part of its prompt."""
        found = self.fields.get("tools") or self.fields.get("functions")
        return found if isinstance(found, list) else None

    @property
    def prompts(self) -> list[list[Any]]:
        """The messages of each prompt.  A raw prompt is one message without a role."""
        if self.route == "chat":
            return [self.fields["messages"]]
        prompt = self.fields["prompt"]
        several = isinstance(prompt, list) and not all(isinstance(part, int) for part in prompt)
        return [[raw] for raw in prompt] if several else [[prompt]]

    @property
    def n(self) -> int:
        """Choices for each prompt."""
        n = self.fields.get("n")
        return n if isinstance(n, int) and n > 0 else 1

    @property
    def most_sampled(self) -> int:
        """Tokens that may be sampled, in all; 0 where the request does not say."""
        said = (self.fields.get(name) for name in ("max_completion_tokens", "max_tokens"))
        return next((most for most in said if type(most) is int and most > 0), 0) * self.n * len(self.prompts)

    def settings(self) -> dict[str, Any]:
        """How was sampled: every other field."""
        known = ("messages", "prompt", "tools", "functions", "model", "stream", "stream_options", "user", "metadata")
        return {name: value for name, value in self.fields.items() if name not in known}


def read(route: Route, body: bytes) -> Asked | None:
    """`None` for what no upstream would answer: no JSON object, or one without what is to be gone on from."""
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(fields, dict):
        return None
    wanted = fields.get("messages" if route == "chat" else "prompt")
    if not (isinstance(wanted, list) or (route == "text" and isinstance(wanted, str))):
        return None
    return Asked(route, body, fields)


Kind = tuple[Route, str, bool, bool]
"""What an upstream may take differently: the route, the model, tools or none, a stream or not."""


@dataclass(slots=True)
class Additions:
    """What is known of which fields an upstream takes."""

    _left_out: dict[Kind, set[str]] = field(init=False, default_factory=dict)
    _taken: set[Kind] = field(init=False, default_factory=set)

    def wanted(self, asked: Asked) -> frozenset[str]:
        """What to ask for beside what the client did."""
        fields, found = asked.fields, set[str]()
        if fields.get(IDS) is not True:
            found.add(IDS)
        silent = fields.get(LOGPROBS) is not True if asked.route == "chat" else fields.get(LOGPROBS) is None
        if silent and not fields.get("top_logprobs"):
            found.add(LOGPROBS)
        options = fields.get(USAGE)
        if asked.stream and not (isinstance(options, dict) and options.get("include_usage") is True):
            found.add(USAGE)
        return frozenset(found - self._left_out.get(_kind(asked), set()))

    def without(self, asked: Asked, added: frozenset[str], refusal: bytes) -> frozenset[str] | None:
        """What to ask for after a refusal; `None` where it has nothing to do with what was added.

        A refusal that names a field is of that field.  One that names none may be of any, unless the upstream has taken
        them before.
        """
        named = {name for name in added if name.encode() in refusal}
        if named:
            return added - named
        return None if _kind(asked) in self._taken or not added else frozenset()

    def learn(self, asked: Asked, tried: frozenset[str], taken: frozenset[str], tells_all: bool = False) -> None:
        """An answer came with `taken` of what was `tried`.

        `tells_all`: ids come with their log-probs, as `trivium serve` sends them, and the latter need not be asked for.
        """
        kind = _kind(asked)
        self._taken.add(kind)
        left_out = (tried - taken) | ({LOGPROBS} if tells_all else set())
        if left_out:
            self._left_out.setdefault(kind, set()).update(left_out)


def _kind(asked: Asked) -> Kind:
    return asked.route, asked.model, asked.tools is not None, asked.stream


def with_added(asked: Asked, added: frozenset[str]) -> bytes:
    """The client's request with what is added; its own bytes stay as they are where that can be."""
    if not added:
        return asked.body
    values: dict[str, Any] = {IDS: True, LOGPROBS: True if asked.route == "chat" else 0}
    options = asked.fields.get(USAGE)
    values[USAGE] = (options if isinstance(options, dict) else {}) | {"include_usage": True}
    more = {name: values[name] for name in sorted(added)}
    if more.keys() & asked.fields.keys():
        return orjson.dumps({**asked.fields, **more})
    return asked.body.rstrip()[:-1] + b"," + orjson.dumps(more)[1:]


def strip(event: dict[str, Any], added: frozenset[str]) -> tuple[bool, bool]:
    """Take out of an answer, or of an event of one, what only the gateway asked for.

    Returns whether anything was taken out, and whether nothing is left that a client would have got.
    """
    changed = False
    choices = dicts(event.get("choices"))
    empty = bool(choices)
    for choice in choices:
        took = False
        if IDS in added:
            took = _pop(choice, "token_ids", "token_logprobs", "prompt_token_ids")
        if LOGPROBS in added and choice.get("logprobs") is not None:
            choice["logprobs"] = None
            took = True
        changed |= took
        empty &= took and _says_nothing(choice)
    if IDS in added:
        changed |= _pop(event, "prompt_token_ids")
    if USAGE in added and "usage" in event:
        if event["usage"] is not None and not choices:
            return True, True
        if event["usage"] is None:
            changed |= _pop(event, "usage")
    return changed, empty


def dicts(found: Any) -> list[dict[str, Any]]:
    """The objects in a list; none in what is no list.  What upstreams send need not make sense."""
    return [part for part in found if isinstance(part, dict)] if isinstance(found, list) else []


def _pop(fields: dict[str, Any], *names: str) -> bool:
    """Whether any of them was there; now none is."""
    found = [name for name in names if name in fields]
    for name in found:
        del fields[name]
    return bool(found)


def _says_nothing(choice: Mapping[str, Any]) -> bool:
    """Whether an event of a stream was sent for its tokens alone."""
    if choice.get("finish_reason") is not None or "message" in choice:
        return False
    delta = choice.get("delta", {"content": choice.get("text")})
    return isinstance(delta, dict) and not any(delta.values())
