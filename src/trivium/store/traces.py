"""Traces as JSON: an exact round trip, and the flat line that runs keep of every sample."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from trivium.errors import DataError, UserError
from trivium.store.files import read_lines, uncollected
from trivium.types import Node, Problem, Segment, Trace, Usage, Verdict


def trace_to_json(trace: Trace) -> dict[str, Any]:
    """A JSON-serialisable dict from which `trace_from_json` makes an equal trace."""
    with uncollected():
        nodes = [_node_to_json(node) for node in trace.nodes]
    return {
        "question_id": trace.question_id,
        "nodes": nodes,
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


def load_traces(path: Path) -> Iterator[tuple[dict[str, Any], Trace]]:
    """The lines of a file of traces, in order: the columns of `trace_line`, and the whole trace as it was.

    Reads what runs, `--save-traces` and comparisons write, as JSON lines or, from finished runs, Parquet; a last line
    that was cut off is skipped.

    Raises:
        UserError: there is no such file.
        DataError: a line is no trace.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist; expected a file of traces, such as runs/NAME/traces-before.parquet")
    rows = _parquet(path) if path.suffix == ".parquet" else read_lines(path)
    for number in itertools.count(1):
        try:
            with uncollected():
                row = next(rows, None)
                if row is None:
                    return
                trace = trace_from_json(row.pop("trace"))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise DataError(f"{path}, row {number}, field trace: {reason}; expected a line of --save-traces") from error
        yield row, trace


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    import duckdb

    with duckdb.connect(":memory:") as db:
        try:
            found = db.execute("SELECT * FROM read_parquet(?)", [str(path)])
        except duckdb.Error as error:
            raise DataError(f"{path} is no Parquet file ({error}); expected a file of traces") from error
        names = [column[0] for column in found.description or ()]
        while rows := found.fetchmany(256):
            for row in rows:
                columns = dict(zip(names, row, strict=True))
                yield columns | {"trace": orjson.loads(columns["trace"])}


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
        "ids": segment.ids,
        "logprobs": segment.logprobs,
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
