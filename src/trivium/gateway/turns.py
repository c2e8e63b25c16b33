"""Messages as the gateway compares and shows them.

A conversation is known again by the messages that a client sends back.  What clients change without meaning anything by
it (fields that are null, the spacing of a tool call's arguments) makes no difference; any other change does.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from trivium.types import Source

Digest = bytes
THOUGHTS = ("reasoning_content", "reasoning")
"""What servers call the thoughts that they take out of a message."""


def chain(begins: Digest, messages: Iterable[Any]) -> list[Digest]:
    """One digest for each message, of it and all before it."""
    digests, last = [], begins
    for message in messages:
        last = digest(last, canonical(message))
        digests.append(last)
    return digests


def digest(*parts: bytes) -> Digest:
    made = hashlib.blake2b(digest_size=16)
    for part in parts:
        made.update(len(part).to_bytes(8, "big") + part)
    return made.digest()


def canonical(message: Any) -> bytes:
    """Equal for equal messages.  Thoughts do not count: many clients do not send them back."""
    if not isinstance(message, dict):
        return orjson.dumps(message)
    calls = [[call.get("id"), *_call(call)] for call in _calls(message)]
    said = [message.get("role"), _content(message), calls, message.get("tool_call_id"), message.get("name")]
    return orjson.dumps(said, option=orjson.OPT_SORT_KEYS)


def text_of(message: Any) -> str:
    """A message as text: thoughts between `<think>` tags, then the content, then each tool call in a line of its own.

    A tool call is `<tool_call>{"name": ..., "arguments": ...}</tool_call>`; a part that is no text is its type in
    brackets, such as `[image_url]`.
    """
    if not isinstance(message, dict):
        return str(message)
    content = _content(message)
    if isinstance(content, list):
        content = "".join(_part(part) for part in content)
    lines = [str(content)] if content else []
    for call in _calls(message):
        name, arguments = _call(call)
        said = orjson.dumps({"name": name, "arguments": arguments}).decode()
        lines.append(f"<tool_call>{said}</tool_call>")
    thought = next((str(message[field]) for field in THOUGHTS if message.get(field)), "")
    return (f"<think>\n{thought}\n</think>\n" if thought else "") + "\n".join(lines)


def rendered(messages: Sequence[Any], tools: Sequence[Any] | None = None) -> str:
    """Messages as text, one after another, each after its role; what the model may call comes first."""
    said = [f"tools: {orjson.dumps(tools).decode()}\n"] if tools else []
    return "".join(said + [f"{role_of(message)}: {text_of(message)}\n" for message in messages])


def role_of(message: Any) -> str:
    return str(message.get("role") or "user") if isinstance(message, dict) else "user"


def source_of(messages: Sequence[Any]) -> Source:
    """Who said what stands between two answers: tools, the world (users too), or the model in words not recorded."""
    roles = {role_of(message) for message in messages}
    if roles and roles <= {"tool", "function"}:
        return "tool"
    return "prompt" if "assistant" in roles else "environment"


def _content(message: dict[str, Any]) -> Any:
    content = message.get("content")
    if isinstance(content, list) and all(isinstance(part, dict) and part.get("type") == "text" for part in content):
        return "".join(str(part.get("text") or "") for part in content)
    return content or ""


def _part(part: Any) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    return str(part.get("text") or "") if kind == "text" else f"[{kind or 'part'}]"


def _calls(message: dict[str, Any]) -> list[dict[str, Any]]:
    """A message's tool calls; the function call of older clients is one."""
    calls = message.get("tool_calls")
    found = [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    older = message.get("function_call")
    return [*found, {"function": older}] if isinstance(older, dict) else found


def _call(call: dict[str, Any]) -> tuple[Any, Any]:
    """Name and arguments, the latter read as JSON where they are JSON."""
    function = call.get("function") or call.get("custom")
    if not isinstance(function, dict):
        return None, None
    arguments = function.get("arguments", function.get("input"))
    if isinstance(arguments, str):
        with contextlib.suppress(orjson.JSONDecodeError):
            arguments = orjson.loads(arguments)
    return function.get("name"), arguments
