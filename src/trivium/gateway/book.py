"""The book of all exchanges: `exchanges.jsonl` in a run's folder, one line each, only ever appended to.

    {"kind": "exchange", "n": 3, "conversation": ..., "place": ..., "messages": ..., "choices": ..., ...}
    {"kind": "score", "exchange": 3, "choice": 0, "score": 1.0}

A line holds what is new: the messages and prompt ids behind the place that it goes on from, so that a long conversation
takes as much room as its last prompt, and not as all its prompts together.  Traces are made of the book (`traces.py`)
and can be made again at any time.  A kill loses the request in flight; a line that it cut is cut off at the next start.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from trivium.gateway.asked import Asked
from trivium.gateway.known import PROMPT, Found, Known, Mark, Place, remember
from trivium.gateway.reply import Choice, Reply
from trivium.gateway.turns import Digest, chain, digest
from trivium.store.files import disk, json_line, own_folder, read_lines, whole_lines

NAME = "exchanges.jsonl"
BROKEN_OFF = "broken off: the client left, or the upstream failed"
APART = "the prompt does not begin with the ids recorded before; some chat templates drop thoughts"
NO_IDS = "the upstream counted other tokens than it gave ids of, so none are kept"


@dataclass(frozen=True, slots=True)
class Talk:
    """A request that is under way: whose it is, its conversation, and the digests of its messages, for each prompt."""

    owner: str
    conversation: str
    chains: list[list[Digest]]
    began: float = field(default_factory=time.time)


@dataclass(slots=True)
class Counts:
    """What the book holds: `apart` exchanges go on from further back than their messages say, or from nowhere."""

    exchanges: int = 0
    conversations: int = 0
    scores: int = 0
    apart: int = 0
    without_ids: int = 0
    broken_off: int = 0


class Book:
    """The book in `folder`, with what it takes to go on with it.  It is this process's until `close`.

    Raises RunError where another process writes it.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self.counts = Counts()
        self._known = Known()
        self._names: dict[Digest, bool] = {}
        self._under_way: dict[Digest, str] = {}
        self._replies: dict[Digest, tuple[int, int]] = {}
        self._lock = own_folder(folder, "choose another --out")
        _cut(self.path)
        for line in read_lines(self.path):
            self._learn(line)
        self._file: IO[bytes] = open(  # noqa: SIM115 - kept open until `close`
            self.path, "ab", buffering=0, opener=lambda path, flags: os.open(path, flags, 0o600)
        )

    def begin(self, asked: Asked, owner: str, name: str | None) -> Talk:
        """Which conversation a request is of: the client's `name`, or the one that its messages go on with."""
        # A client may send back the name that it was given.
        scope = "" if name is None or self._names.get(_key(owner, name)) else name
        start = digest(*(part.encode() for part in (owner, scope, asked.model)), _tools(asked))
        chains = [chain(start, messages) for messages in asked.prompts]
        conversation = name or next((c for one in chains if (c := self._conversation(one))), None)
        if conversation is None:
            conversation = f"c-{secrets.token_hex(8)}"
            remember(self._names, _key(owner, conversation), True)
        for one in chains:
            remember(self._under_way, one[-1] if one else start, conversation)
        return Talk(owner, conversation, chains)

    def _conversation(self, one: Sequence[Digest]) -> str | None:
        return (self._known.conversation(one) or self._under_way.get(one[-1])) if one else None

    def record(self, talk: Talk, asked: Asked, reply: Reply) -> None:
        """Write what was said, a line for each prompt.  Raises RunError when the disk is full."""
        for i, messages in enumerate(asked.prompts):
            at = range(i * asked.n, (i + 1) * asked.n)
            choices = [reply.choices[index] for index in at if index in reply.choices]
            if choices and talk.chains[i]:
                line = self._line(talk, asked, reply, i, messages, choices)
                self._write(line)
                self._learn(line)

    def _line(
        self, talk: Talk, asked: Asked, reply: Reply, i: int, messages: list[Any], choices: Sequence[Choice]
    ) -> dict[str, Any]:
        ids = _prompt_ids(asked, reply, i, choices)
        found = self._known.find(talk.chains[i], ids, talk.conversation)
        behind = 0 if found.place is None or found.place.mark is None else found.place.mark.length
        notes = ((found.apart, APART), (reply.missing_ids, NO_IDS), (not reply.whole, BROKEN_OFF))
        return {
            "kind": "exchange", "n": self.counts.exchanges, "time": round(talk.began, 3),
            "seconds": round(time.time() - talk.began, 3), "owner": talk.owner, "conversation": talk.conversation,
            "unnamed": self._names.get(_key(talk.owner, talk.conversation), False), "route": asked.route, "model":
            asked.model, "version": reply.fingerprint or reply.model or asked.model, "id": reply.id,
            **_place_fields(found), "notes": [note for holds, note in notes if holds], "apart": found.apart,
            "whole": reply.whole, "tools": asked.tools if found.place is None else None,
            "messages": messages[found.turn :], "prompt_ids": None if ids is None else ids[behind:],
            "choices": [_choice_fields(asked, messages, choice, ids is not None) for choice in choices],
            "usage": reply.usage if i == 0 else {}, "settings": asked.settings(),
            "keys": _keys(talk.chains[i], asked, choices, reply.whole), "marks": _marks(ids, choices),
        }  # fmt: skip

    def score(self, owner: str, score: float, *, conversation: str = "", reply: str = "", choice: int = 0) -> bool:
        """Say what an answer was worth: that of a reply's id, or the last one of a conversation.

        Returns whether there is such an answer.  Raises RunError when the disk is full.
        """
        key = _key(owner, "reply", reply) if reply else _key(owner, "conversation", conversation)
        exchange, choices = self._replies.get(key, (0, 0))
        if not 0 <= choice < choices:
            return False
        line = {"kind": "score", "time": round(time.time(), 3), "exchange": exchange, "choice": choice, "score": score}
        self._write(line)
        self._learn(line)
        return True

    def close(self) -> None:
        self._file.close()
        self._lock.close()

    def _write(self, line: Mapping[str, Any]) -> None:
        data = json_line(line)
        with disk(self.path):
            # Not `tell`: cutting the file leaves the position where the failed write ended.
            before = os.fstat(self._file.fileno()).st_size
            try:
                if self._file.write(data) != len(data):
                    raise OSError(28, "No space left on device")
            except OSError:
                self._file.truncate(before)  # a part of a line would spoil the next one
                raise

    def _learn(self, line: Mapping[str, Any]) -> None:
        """Take up a line that is in the book."""
        if line["kind"] == "score":
            self.counts.scores += 1
            return
        n, owner, conversation = line["n"], line["owner"], line["conversation"]
        prompt, *answers = [None if mark is None else Mark(mark[0], bytes.fromhex(mark[1])) for mark in line["marks"]]
        keys = [(bytes.fromhex(key), i) for i, key in enumerate(line["keys"][1:]) if key]
        self._known.add(
            bytes.fromhex(line["keys"][0]), Place(conversation, n, PROMPT, prompt),
            [(key, Place(conversation, n, i, answers[i])) for key, i in keys],
        )  # fmt: skip
        name = _key(owner, "conversation", conversation)
        self.counts.conversations += name not in self._replies
        for key in (name, *([_key(owner, "reply", line["id"])] if line["id"] else [])):
            remember(self._replies, key, (0, 0))
            self._replies[key] = n, len(line["choices"])
        if line["unnamed"]:
            remember(self._names, _key(owner, conversation), True)
        self.counts.exchanges = n + 1
        self.counts.apart += line["apart"]
        self.counts.without_ids += line["prompt_ids"] is None
        self.counts.broken_off += not line["whole"]


def _cut(path: Path) -> None:
    """Take away a last line that a kill has cut, or the next would be appended to it."""
    if not path.exists():
        return
    with open(path, "rb+") as file:
        file.truncate(whole_lines(file))


def _key(*parts: str) -> Digest:
    return digest(*(part.encode(errors="replace") for part in parts))


def _tools(asked: Asked) -> bytes:
    return json_line({"tools": asked.tools}) if asked.tools else b""


def _prompt_ids(asked: Asked, reply: Reply, i: int, choices: Sequence[Choice]) -> list[int] | None:
    """What the upstream read; `None` where it does not tell that, or not all that it sampled."""
    if reply.missing_ids or not all(choice.ids for choice in choices):
        return None
    [said] = asked.prompts[i] if asked.route == "text" else [None]
    own = said if isinstance(said, list) and all(type(x) is int for x in said) else None
    return choices[0].prompt_ids or reply.prompt_ids or own


def _place_fields(found: Found) -> dict[str, Any]:
    place = found.place
    if place is None:
        return {"same": None, "after": None}
    return {
        "same": place.exchange if place.choice == PROMPT else None,
        "after": None if place.choice == PROMPT else [place.exchange, place.choice],
    }


def _choice_fields(asked: Asked, messages: Sequence[Any], choice: Choice, with_ids: bool) -> dict[str, Any]:
    text = choice.text
    if asked.fields.get("echo") and isinstance(messages[0], str):
        text = text.removeprefix(messages[0])
    said = {"message": choice.message} if asked.route == "chat" else {"text": text}
    logprobs = choice.sampled_logprobs() if with_ids else choice.logprobs
    return {**said, "reason": choice.reason, "ids": choice.ids if with_ids else [], "logprobs": logprobs}


def _keys(one: Sequence[Digest], asked: Asked, choices: Sequence[Choice], whole: bool) -> list[str | None]:
    """Digests of the messages, and of them and each answer; an answer that was cut off is gone on from by nobody."""
    on = whole and asked.route == "chat"
    answers = [chain(one[-1], [choice.message])[0].hex() if on else None for choice in choices]
    return [one[-1].hex(), *answers]


def _marks(ids: list[int] | None, choices: Sequence[Choice]) -> list[tuple[int, str] | None]:
    if ids is None:
        return [None] * (1 + len(choices))
    marks = [Mark.of(ids), *(Mark.of(ids + choice.ids) for choice in choices)]
    return [(mark.length, mark.digest.hex()) for mark in marks]
