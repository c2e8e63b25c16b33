"""Runs the arms of a recipe over seeds, in worker processes of one thread each, and never the same one twice.

A finished (arm, seed) is kept with the hashes of the code it ran on; an interrupt loses only what was running.
"""

from __future__ import annotations

import concurrent.futures as futures
import gc
import importlib
import json
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from trivium.claims import ArmResult, Results
from trivium.errors import RunError, TriviumError
from trivium.lab.keep import find, keep, of_policy, shelf
from trivium.lab.lab import Arm, Lab, device_of
from trivium.lab.recipe import Recipe
from trivium.policies.device import resolve_device
from trivium.store.machine import commit, cores

Hear = Callable[[str, int, int], None]
"""Told what has just ended, how many arms are done and out of how many."""
RESULT = "result.json"


@dataclass(frozen=True, slots=True)
class Job:
    """One arm with one seed; the recipe is `RECIPE` of `module`.  What was kept before `since` does not count."""

    module: str
    slug: str
    arm: str
    seed: int
    size: str
    policy: str | None = None
    since: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.arm.replace(' ', '-').replace('/', '-')}-seed{self.seed}{of_policy(self.policy)}"


def jobs(module: str, recipe: Recipe, size: str, seeds: Sequence[int], policy: str | None = None) -> list[Job]:
    """Every arm of the recipe of a module with every seed, the seeds of one arm together."""
    recipe.settings(size)
    return [Job(module, recipe.slug, arm, seed, size, policy) for arm in recipe.arms for seed in seeds]


def run(asked: Sequence[Job], *, workers: int | None = None, fresh: bool = False, hear: Hear | None = None) -> Results:
    """The results of all jobs, from the cache where it has them.

    `workers` processes (if `None` one for each core, and one alone on a GPU; 0 runs here) of one thread.  `fresh` makes
    them again, with all that they rest on; what was there stays until then.  Raises RunError when an arm fails, with
    what it said; finished arms are kept.
    """
    done: dict[tuple[str, int], ArmResult] = {}
    missing = []
    if fresh:
        now = time.time()
        asked = [replace(job, since=now) for job in asked]
    for job in asked:
        had = finished(job)
        if had is None:
            missing.append(job)
        else:
            done[job.arm, job.seed] = had
    tell = hear or (lambda what, n, total: None)
    if done:
        tell(f"{len(done)} from the cache", len(done), len(asked))
    for job, result in _each(missing, _usual(missing) if workers is None else workers):
        if isinstance(result, str):
            raise RunError(f"{job.slug}, arm {job.arm}, seed {job.seed} failed: {result}")
        done[job.arm, job.seed] = result
        tell(f"{job.arm}, seed {job.seed}", len(done), len(asked))
    return done


def finished(job: Job) -> ArmResult | None:
    """The kept result of a job whose code has not changed since."""
    had = find(_shelf(job), job.name, job.since)
    return None if had is None else _read(had.folder)


def carry_out(name: str, arm: Arm, lab: Lab[Any]) -> ArmResult:
    """Run an arm in a lab."""
    import torch

    torch.manual_seed(lab.seed)  # nothing should draw from it; if something does, it is at least the same
    clock = time.perf_counter if _on_gpu(lab.policy_spec) else _processor_seconds
    began = clock()
    scored = arm(lab)
    return ArmResult(
        name, lab.seed, scored.questions, scored.scores, dict(lab.spent), lab.overlap(scored.questions),
        clock() - began, lab.notes, lab.curves,
    )  # fmt: skip


def perform(job: Job) -> ArmResult:
    """Run one arm with one seed here, and keep its result."""
    recipe: Recipe = importlib.import_module(job.module).RECIPE

    def make(folder: Path) -> dict[str, Any]:
        lab: Lab[Any] = Lab(
            job.slug, job.module, recipe.settings(job.size), job.size, job.seed, job.policy, since=job.since
        )  # fmt: skip
        result = replace(carry_out(job.arm, recipe.arms[job.arm], lab), commit=commit())
        (folder / RESULT).write_text(json.dumps(result.as_json()), encoding="utf-8")
        return {"settings": repr(lab.size), "made": time.strftime("%Y-%m-%dT%H:%M:%S%z")}

    with one_thread():
        kept = keep(_shelf(job), job.name, job.module, make, job.since)
    return _read(kept.folder)


def _processor_seconds() -> float:
    """What this process and all that it began have computed: whatever else runs on the machine adds nothing.

    A process counts its children once they have ended; those that live on, such as workers that run queries, are asked.
    """
    living = psutil.Process()
    total = 0.0
    for process in (living, *living.children(recursive=True)):
        with suppress(psutil.Error):  # it has ended since, and whoever began it has its time
            spent = process.cpu_times()
            total += spent.user + spent.system + spent.children_user + spent.children_system
    return total


@contextmanager
def one_thread() -> Iterator[None]:
    """On one thread of torch while this lasts: a result is then the same on any number of cores."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def minutes(results: Results, policy: str | None) -> float:
    """What all arms took, shared makings included where they were made: of all cores at work, or of a GPU."""
    together = sum(result.seconds for result in results.values()) / 60
    return together if _on_gpu(policy) else together / cores()


def _on_gpu(policy: str | None) -> bool:
    return resolve_device(device_of(policy)).type != "cpu"


def _shelf(job: Job) -> Path:
    return shelf("arms", job.slug, job.size)


def _read(folder: Path) -> ArmResult:
    return ArmResult.from_json(json.loads((folder / RESULT).read_text(encoding="utf-8")))


def _each(missing: Sequence[Job], workers: int) -> Iterator[tuple[Job, ArmResult | str]]:
    """Results, or what went wrong, as they come."""
    if not missing:
        return
    if workers == 0:
        for job in missing:
            yield job, _perform(job)
        return
    spawn = multiprocessing.get_context("spawn")
    pool = futures.ProcessPoolExecutor(min(workers, len(missing)), mp_context=spawn, initializer=_worker)
    waiting, running = list(missing), dict[futures.Future[ArmResult | str], Job]()
    try:
        while waiting or running:
            with _interrupts_ignored():  # by workers from their first moment on, who inherit this
                while waiting and len(running) < workers:
                    job = _next(waiting, running.values())
                    running[pool.submit(_perform, job)] = job
            for future in futures.wait(running, return_when=futures.FIRST_COMPLETED).done:
                yield running.pop(future), future.result()
    except BrokenProcessPool:
        raise RunError("a worker died, perhaps for want of memory; what was finished is kept") from None
    finally:
        # On the way out of an error or an interrupt nobody waits for what is still running.
        abandoned = [] if all(future.done() for future in running) else list(pool._processes.values())
        pool.shutdown(wait=False, cancel_futures=True)
        for process in abandoned:
            process.terminate()


def _usual(missing: Sequence[Job]) -> int:
    """How many processes suit the jobs: on a GPU all of them would share its memory."""
    return 1 if any(map(_on_gpu, {job.policy for job in missing})) else cores()


def _next(waiting: list[Job], running: Iterable[Job]) -> Job:
    """Take the first job of a seed that no other is busy with, else the first: what is made once for a seed is waited
    for by whoever else needs it.
    """
    busy = {job.seed for job in running}
    chosen = next((i for i, job in enumerate(waiting) if job.seed not in busy), 0)
    return waiting.pop(chosen)


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Ctrl-C does nothing while this lasts; outside of the main thread, which alone may say so, it stays as it is."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _worker() -> None:
    """Ctrl-C goes to the parent, which ends its workers; where the parent is killed, they leave of themselves."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    """A worker waits for work by a queue that it holds both ends of, so that it would never learn of a kill."""
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
        os._exit(1)


def _perform(job: Job) -> ArmResult | str:
    """`perform`, with what went wrong as text: not every exception survives the way between processes."""
    try:
        result = perform(job)
        if _on_gpu(job.policy):  # a policy and its engine know each other, so that only this gives back their memory
            gc.collect()
        return result
    except TriviumError as error:
        return str(error)
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {error} ({place.filename.rpartition('/')[2]}:{place.lineno})"
