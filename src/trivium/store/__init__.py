"""Runs on disk: what was asked, what happened, what was sampled, and where to go on after a kill."""

from __future__ import annotations

from trivium.store.query import query
from trivium.store.run import Run
from trivium.store.traces import load_traces, trace_from_json, trace_to_json

__all__ = ["Run", "load_traces", "query", "trace_from_json", "trace_to_json"]
