"""Tree search against the MCTS of llm-reasoners, at equal sampled tokens a problem.

The rival searches one problem at a time, as its `Reasoner` does, so its pace does not depend on how many there are: it
takes a share of the problems in every pair, and all of them in all.  Ours searches all of them at once, each until it
has sampled as many tokens as the rival did for one of its share.  Trees that are complete before that count in part,
so that a problem has equally many tokens on both sides.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.lesson import turns_of
from benchmarks.ours import local, shape
from benchmarks.pairing import Row, fastest, row
from benchmarks.worker import Facts, Turns, Worker
from trivium.errors import RunError
from trivium.search import method
from trivium.search.driver import run
from trivium.store.machine import cores
from trivium.tasks import task
from trivium.types import Budget, Sampling, Trace

TASK, PROBLEMS = "sums:terms=7", 64
ITERATIONS = 10
"""The rival's default.  Many of them only pass through what is there, and sample nothing."""
TREE: dict[str, Any] = {"branch": 3, "depth": 6, "max_tokens": 96, "temperature": 0.7}
START = {"dtype": "bf16", "attention": "sdpa", "cache": None}
AXES: dict[str, Sequence[Any]] = {"dtype": ("fp32",), "attention": ("eager",), "cache": ("static",)}
APART = 0.05
"""By how much the two sides' sampled tokens a problem may differ."""


def rows(pairs: int = 5) -> list[Row]:
    """SmolLM2-135M, problems per minute."""
    with tempfile.TemporaryDirectory() as folder:
        return race("SmolLM2-135M", "smollm2", folder, PROBLEMS, ITERATIONS, pairs)


def race(name: str, spec: str, folder: str, problems: int, iterations: int, pairs: int) -> list[Row]:
    """The row for one policy.  Raises RunError if the sides read different prompts or did not sample equally much."""
    chats = [turns_of(p) for p in task(TASK).problems("test", problems)]
    with Worker("ours:export", spec=spec, folder=folder) as worker:
        where = worker.turn()["folder"]
    with (
        Worker("theirs_reasoners:search", folder=where, chats=chats, **TREE) as theirs,
        Worker("bench_reasoners_mcts:search", spec=spec, problems=problems, **TREE) as ours,
    ):
        trial: dict[str, Any] = {"problems": [0, 1], "iterations": 1}
        ours.turn(budgets=theirs.turn(settings=START, **trial)["sampled"])
        settings, tried = fastest(START, AXES, lambda s: steps_a_second(theirs.turn(settings=s, **trial)))
        taken, spent = [], []
        for pair in range(pairs):
            # The rival goes first: what it spends is what ours may spend.
            share = list(range(pair % problems, problems, pairs))
            other = theirs.turn(settings=settings, problems=share, iterations=iterations)
            own = ours.turn(budgets=repeated(other["sampled"], problems))
            if [own["prompts"][i] for i in share] != other["prompts"]:
                raise RunError("mcts: the two sides read different prompts, so there is nothing to compare")
            taken.append((own, other))
            spent.append(spent_equally(own, other))
    mine, their = (statistics.mean(side) for side in zip(*spent, strict=True))
    note = (
        f"rival: {iterations} iterations, one problem at a time, {len(taken[0][1]['sampled'])} of them a turn, in"
        f" {settings['dtype']}, {settings['attention']} attention, {settings['cache'] or 'dynamic'} cache, and spared"
        f" the empty lines that ours pays for; ours: all {problems} problems at once, in {taken[0][0]['dtype']};"
        f" {mine:.0f} and {their:.0f} tokens sampled a problem"
    )
    return [
        row(
            f"mcts of depth {TREE['depth']} on {TASK}, {name}, {problems} problems", "llm-reasoners MCTS",
            "problems/min", [paces(a, b) for a, b in taken], better="higher", reach=5.0, settings=settings,
            tried=tried, note=note, dtype=taken[0][0]["dtype"], threads=cores(), sampled=spent,
            calls=[(a["calls"], b["calls"]) for a, b in taken], peak_mb_ours=taken[-1][0]["peak_mb"],
            peak_mb_theirs=taken[-1][1]["peak_mb"],
        )
    ]  # fmt: skip


def search(
    turns: Turns, *, spec: str, problems: int, branch: int, depth: int, max_tokens: int, temperature: float
) -> None:
    """Trees for the first problems, all at once: each until its own of a command's `budgets` of tokens is sampled."""
    student, sampling = local(spec), Sampling(max_tokens=max_tokens)
    mcts = method(f"mcts:n=none,branch={branch},depth={depth},temperature={temperature}")
    dealt = task(TASK).problems("test", problems)

    async def trees(budgets: list[int], seed: int) -> list[Trace]:
        runs = [
            run(mcts, [problem], student, budget=Budget(sampled_tokens=most), seed=seed, sampling=sampling)
            for problem, most in zip(dealt, budgets, strict=False)
        ]
        return [trace for [trace] in await asyncio.gather(*runs)]

    def step(number: int, command: Facts) -> Facts:
        student.release()  # beginnings stored in an earlier turn are no part of this one
        began = time.perf_counter()
        traces = asyncio.run(trees(command["budgets"], number))
        seconds = time.perf_counter() - began
        if failed := [trace.error for trace in traces if trace.error]:
            raise RunError(f"{len(failed)} of {len(traces)} searches failed: {failed[0]}")
        return {
            "seconds": seconds, "sampled": [trace.usage.sampled_tokens for trace in traces],
            "calls": sum(trace.usage.calls for trace in traces),
            "prompts": [trace.nodes[0].segment.ids for trace in traces], **shape(student),
        }  # fmt: skip

    turns.each(step)


def repeated(sampled: Sequence[int], n: int) -> list[int]:
    """`n` budgets: the rival's numbers of sampled tokens, over and over."""
    return [sampled[i % len(sampled)] for i in range(n)]


def spent_equally(ours: Facts, theirs: Facts) -> tuple[float, float]:
    """Both sides' sampled tokens a problem.  Raises RunError if they differ too much to compare."""
    mine, their = statistics.mean(ours["sampled"]), statistics.mean(theirs["sampled"])
    if abs(mine - their) > APART * their:
        raise RunError(f"mcts: ours sampled {mine:.0f} tokens a problem and the rival {their:.0f}; they do not compare")
    return mine, their


def paces(ours: Facts, theirs: Facts) -> tuple[float, float]:
    """Problems a minute of both sides, ours counted in problems of as many tokens as the rival's, if it had fewer."""
    mine, their = (60 * len(side["sampled"]) / side["seconds"] for side in (ours, theirs))
    spent, allowed = spent_equally(ours, theirs)
    return mine * min(1.0, spent / allowed), their


def steps_a_second(facts: Facts) -> float:
    """The rival's pace in some settings: unlike tokens a second it does not depend on how long the lines turn out."""
    return float(facts["steps"] / facts["seconds"])
