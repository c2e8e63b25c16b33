"""The race between the server and the same work offline, at a size of seconds."""

from __future__ import annotations

from benchmarks.bench_serve import clients, votes
from benchmarks.worker import Worker


def test_both_sides_sample_the_same_number_of_tokens() -> None:
    with Worker("bench_serve:serve", spec="tiny:30k") as worker:
        streams = clients(worker, 1, 4, 8)
        voted = votes(worker, 1, 2, 6)
    assert streams["unit"] == "tokens/s"
    assert streams["ours"] > 0
    assert "no client met an error" in streams["note"]
    assert voted["theirs"] > 0
