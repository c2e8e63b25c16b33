"""What answers are worth when the thinking is cut short: accuracy over budgets, from one run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trivium.lab.measure import mark, right
from trivium.types import Problem, Task, Trace


def cut_short(
    task: Task,
    problems: Sequence[Problem],
    traces: Sequence[Trace],
    cuts: Sequence[int],
    forced: Callable[[str, int], str],
) -> dict[str, list[float | None]]:
    """For the i-th cut, `cut i` says which answers are right if `forced(response, cut)` is all that was said.

    `gain by thinking on` is 1 where only the whole response is right, -1 where only the first cut is, else 0.  `forced`
    decides how an answer is read where none stands yet; it has to be fair to all that are compared, or the curve
    measures form.  `None` where the verifier failed.
    """
    pairs = list(zip(problems, traces, strict=True))
    found: dict[str, list[float | None]] = {
        f"cut {i}": [mark(task.verify(problem, forced(trace.response, cut))) for problem, trace in pairs]
        for i, cut in enumerate(cuts, 1)
    }
    both = zip(map(right, traces), found["cut 1"], strict=True)
    gain = [None if whole is None or early is None else whole - early for whole, early in both]
    return {**found, "gain by thinking on": gain}
