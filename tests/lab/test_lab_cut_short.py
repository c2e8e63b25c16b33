"""Budgets are read off whole responses, by whatever rule says what a cut one answers."""

from __future__ import annotations

from trivium.lab.cut_short import cut_short
from trivium.tasks import task
from trivium.types import Trace, Verdict

SUMS = task("sums:terms=2,digits=1")


def test_every_cut_is_judged_and_what_the_rest_adds_is_said() -> None:
    problems = SUMS.problems("dev", 4)
    texts = [f"-999\n{problems[0].gold}", "-999\n-999", f"{problems[2].gold}\n-999", "-999"]
    judged = [SUMS.verify(p, text) for p, text in zip(problems[:3], texts, strict=False)] + [Verdict.error("timeout")]
    traces = [Trace("q", response=text, verdict=verdict) for text, verdict in zip(texts, judged, strict=True)]
    found = cut_short(SUMS, problems, traces, (1, 9), lambda text, n: "\n".join(text.split("\n")[:n]))
    assert found["cut 1"][:3] == [0.0, 0.0, 1.0]
    assert found["cut 2"][:3] == [1.0, 0.0, 0.0]
    assert found["gain by thinking on"] == [1.0, 0.0, -1.0, None]
