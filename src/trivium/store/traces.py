"""Traces as JSON: an exact round trip, and the flat line that runs keep of every sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from trivium.types import Node, Problem, Segment, Trace, Usage, Verdict


def trace_to_json(trace: Trace) -> dict[str, Any]:
    """A JSON-serialisable dict from which `trace_from_json` makes an equal trace."""
    return {
        "question_id": trace.question_id,
        "nodes": [_node_to_json(node) for node in trace.nodes],
        "answer": trace.answer,
        "response": trace.response,
        "answer_node": trace.answer_node,
        "finish": trace.finish,
        "usage": asdict(trace.usage),
        "verdict": None if trace.verdict is None else _verdict_to_json(trace.verdict),
        "error": trace.error,
    }


def trace_from_json(data: Mapping[str, Any]) -> Trace:
    """The trace that `trace_to_json` wrote."""
    verdict = data["verdict"]
    return Trace(
        question_id=data["question_id"],
        nodes=[_node_from_json(node) for node in data["nodes"]],
        answer=data["answer"],
        response=data["response"],
        answer_node=data["answer_node"],
        finish=data["finish"],
        usage=Usage(**data["usage"]),
        verdict=None if verdict is None else Verdict(**verdict),
        error=data["error"],
    )


def trace_line(stage: str, step: int, trace: Trace, problem: Problem) -> dict[str, Any]:
    """One line of `traces-<stage>.jsonl`: columns to query, and the whole trace under `trace`."""
    verdict = trace.verdict
    return {
        "stage": stage,
        "step": step,
        "question_id": trace.question_id,
        "key": problem.key,
        "level": problem.level,
        "split": problem.split,
        "question": problem.question.messages[-1].content if problem.question.messages else "",
        "gold": problem.gold,
        "response": trace.response,
        "answer": trace.answer,
        "status": verdict.status if verdict else None,
        "score": verdict.score if verdict else None,
        "finish": trace.finish,
        "error": trace.error,
        "prompt_tokens": trace.usage.prompt_tokens,
        "sampled_tokens": trace.usage.sampled_tokens,
        "trace": trace_to_json(trace),
    }


# The types of `trace_line`, so that neither queries nor Parquet files depend on what a sampler of rows would guess.
COLUMNS = {
    "stage": "VARCHAR",
    "step": "BIGINT",
    "question_id": "VARCHAR",
    "key": "VARCHAR",
    "level": "BIGINT",
    "split": "VARCHAR",
    "question": "VARCHAR",
    "gold": "VARCHAR",
    "response": "VARCHAR",
    "answer": "VARCHAR",
    "status": "VARCHAR",
    "score": "DOUBLE",
    "finish": "VARCHAR",
    "error": "VARCHAR",
    "prompt_tokens": "BIGINT",
    "sampled_tokens": "BIGINT",
    "trace": "JSON",
}


def _node_to_json(node: Node) -> dict[str, Any]:
    segment = node.segment
    return {
        "parent": node.parent,
        "source": segment.source,
        "ids": list(segment.ids),
        "logprobs": list(segment.logprobs),
        "text": segment.text,
        "version": segment.version,
        "visits": node.visits,
        "value": node.value,
        "score": node.score,
        "note": node.note,
    }


def _node_from_json(data: Mapping[str, Any]) -> Node:
    segment = Segment(data["source"], tuple(data["ids"]), tuple(data["logprobs"]), data["text"], data["version"])
    return Node(data["parent"], segment, data["visits"], data["value"], data["score"], data["note"])


def _verdict_to_json(verdict: Verdict) -> dict[str, Any]:
    # Not `asdict`: it deep-copies `parts`, which may be any Mapping.
    return {
        "status": verdict.status,
        "score": verdict.score,
        "parts": dict(verdict.parts),
        "answer": verdict.answer,
        "detail": verdict.detail,
    }
