"""Trivium beside other libraries, on the same work, in turns.  `make bench` runs all; `python -m benchmarks --help`.

One file for each benchmark (`bench_*.py`, each with `rows`).  Both sides of a race live in worker processes of their
own (`worker.py`): neither sees the other's allocator, thread pool or memory.  `pairing.py` turns their alternating
measurements into rows, and rows into `results/bench.json` and `results/bench.md`.
"""
