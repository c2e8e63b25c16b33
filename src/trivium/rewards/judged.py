"""The type of a reward, and the one place that decides which traces are paid at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trivium.types import Trace, Verdict

Reward = Callable[[Sequence[Trace]], list[float | None]]


def verdict_of(trace: Trace) -> Verdict | None:
    """The verdict, or `None` where the verifier failed.  A trace that was never judged is a `ValueError`."""
    if trace.verdict is None:
        raise ValueError(f"a trace of {trace.question_id!r} has no verdict; rewards need judged traces")
    return None if trace.verdict.status == "error" else trace.verdict


def each(group: Sequence[Trace], pay: Callable[[Trace, Verdict], float]) -> list[float | None]:
    """`pay(trace, verdict)` for every trace of the group, `None` where the verifier failed."""
    verdicts = [verdict_of(trace) for trace in group]
    return [None if verdict is None else pay(trace, verdict) for trace, verdict in zip(group, verdicts, strict=True)]
