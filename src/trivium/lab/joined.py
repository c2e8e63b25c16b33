"""Several tests of one arm as one result."""

from __future__ import annotations

from collections.abc import Mapping

from trivium.lab.lab import Scored


def joined(tests: Mapping[str, Scored], metric: str = "accuracy") -> Scored:
    """The questions of all tests, and each test's metric under the test's own name: `None` where others are asked."""
    scores: dict[str, list[float | None]] = {name: [] for name in tests}
    for name, test in tests.items():
        for other in scores:
            scores[other].extend(test.scores[metric] if other == name else [None] * len(test.questions))
    return Scored(tuple(question for test in tests.values() for question in test.questions), scores)


def gains(before: Scored, now: Scored, names: Mapping[str, str]) -> Scored:
    """`now` with further metrics: by each name how much a metric of it is above what it was `before`, by question."""
    scores = dict(now.scores)
    for name, metric in names.items():
        pairs = zip(before.scores[metric], now.scores[metric], strict=True)
        scores[name] = [None if a is None or b is None else b - a for a, b in pairs]
    return Scored(now.questions, scores)
