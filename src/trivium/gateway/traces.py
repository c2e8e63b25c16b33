"""The book as traces: each is a tree of what was read and sampled, which everything that learns from traces reads."""

from __future__ import annotations

import fcntl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trivium.errors import UserError
from trivium.gateway.book import NAME
from trivium.gateway.reply import FINISHES
from trivium.gateway.turns import chain, rendered, role_of, source_of, text_of
from trivium.store.files import json_line, read_lines, replacing
from trivium.store.traces import trace_line
from trivium.types import Message, Problem, Question, Segment, Trace, Usage, Verdict

STAGE = "gateway"


@dataclass(slots=True)
class Recorded:
    """A trace, the question it answers, and the exchange it begins with."""

    trace: Trace
    problem: Problem
    first: int
    scored: bool = False


def traces_of(lines: Iterable[Mapping[str, Any]]) -> list[Recorded]:
    """One trace for each prompt that goes on from nothing, in the order of the book."""
    made: list[Recorded] = []
    at: dict[int, tuple[Recorded, int, list[int]]] = {}
    begun: dict[tuple[str, str], int] = {}
    for line in lines:
        if line["kind"] == "score":
            recorded, _, answers = at[line["exchange"]]
            _score(recorded, answers[line["choice"]], line["score"])
            continue
        if line["same"] is not None:
            recorded, prompt, _ = at[line["same"]]
        elif line["after"] is not None:
            exchange, choice = line["after"]
            recorded, _, before = at[exchange]
            prompt = recorded.trace.add(before[choice], _between(line), _notes(line))
        else:
            whose = line["owner"], line["conversation"]
            begun[whose] = begun.get(whose, 0) + 1
            recorded = _begin(line, begun[whose])
            made.append(recorded)
            prompt = recorded.trace.add(-1, _prompt(line), _notes(line))
        at[line["n"]] = recorded, prompt, [_answer(recorded, prompt, line, said) for said in line["choices"]]
        recorded.trace.usage += _usage(line)
    return made


def write_traces(folder: Path) -> list[Recorded]:
    """Make `traces-gateway.jsonl` of the book in a run's folder, also while it is being written; returns the traces.

    Raises UserError where there is no book.
    """
    book = folder / NAME
    if not book.is_file():
        raise UserError(f"{folder} holds no {NAME}; expected the --out of a trivium gateway")
    with open(book, "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # who else makes them waits
        made = traces_of(read_lines(book))
        with replacing(folder / f"traces-{STAGE}.jsonl") as file:
            for recorded in made:
                file.write(json_line(trace_line(STAGE, recorded.first, recorded.trace, recorded.problem)))
    return made


def _begin(line: Mapping[str, Any], count: int) -> Recorded:
    messages = tuple(Message(role_of(m), text_of(m)) for m in line["messages"])
    name = line["conversation"] + (f"#{count}" if count > 1 else "")
    name = f"{line['owner']}/{name}" if line["owner"] else name
    # Equal prompts are equal questions, whoever asked them.
    key = chain(b"", line["messages"])[-1].hex()
    return Recorded(Trace(name), Problem(Question(name, messages), None, "", key, "train", STAGE), line["n"])


def _prompt(line: Mapping[str, Any]) -> Segment:
    text = rendered(line["messages"], line["tools"]) if line["route"] == "chat" else _raw(line["messages"][0])
    return Segment("prompt", tuple(line["prompt_ids"] or ()), (), text, line["version"])


def _raw(prompt: Any) -> str:
    return prompt if isinstance(prompt, str) else ""


def _between(line: Mapping[str, Any]) -> Segment:
    """What stands between two answers: the messages, and with them whatever the chat template writes around them."""
    messages = line["messages"]
    return Segment(source_of(messages), tuple(line["prompt_ids"] or ()), (), rendered(messages))


def _answer(recorded: Recorded, prompt: int, line: Mapping[str, Any], said: Mapping[str, Any]) -> int:
    trace = recorded.trace
    text = text_of(said["message"]) if line["route"] == "chat" else said["text"]
    segment = Segment("model", tuple(said["ids"]), tuple(said["logprobs"]), text, line["version"])
    node = trace.add(prompt, segment, "" if line["whole"] else _notes(line))
    if not recorded.scored:
        trace.answer_node, trace.response = node, text
        trace.finish = FINISHES.get(said["reason"] or "", "error")
    return node


def _score(recorded: Recorded, node: int, score: float) -> None:
    """The answer that was scored last is the trace's."""
    trace = recorded.trace
    trace.nodes[node].score = score
    trace.answer_node, trace.response, recorded.scored = node, trace.nodes[node].segment.text, True
    trace.verdict = Verdict("correct" if score == 1 else "wrong", score)


def _notes(line: Mapping[str, Any]) -> str:
    return "; ".join(line["notes"])


def _usage(line: Mapping[str, Any]) -> Usage:
    counted = line["usage"]
    cached = counted.get("prompt_tokens_details")
    sampled = sum(len(said["ids"] or said["logprobs"]) for said in line["choices"])
    tools = sum(role_of(m) in ("tool", "function") for m in line["messages"])
    return replace(
        Usage(calls=1, tool_steps=tools, seconds=line["seconds"]),
        prompt_tokens=_count(counted.get("prompt_tokens")),
        cached_tokens=_count(cached.get("cached_tokens")) if isinstance(cached, dict) else 0,
        sampled_tokens=_count(counted.get("completion_tokens")) or sampled,
    )


def _count(found: Any) -> int:
    return found if type(found) is int and found >= 0 else 0
