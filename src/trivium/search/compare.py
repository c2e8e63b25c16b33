"""Methods against each other, each given the same allowance a problem, on the same problems.

`compare` attempts every cell (method, budget, seed) once and keeps what came out; `Comparison` holds, for each budget,
a row per method and the paired differences that the rows allow.  Every comparison has `greedy`, `vote` and `best-of-n`
in it: a method that does not beat them has not earned its tokens.
"""

from __future__ import annotations

import functools
import math
import time
import typing
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from trivium.errors import UserError
from trivium.registry import format_spec, parse_spec
from trivium.search import METHODS, method
from trivium.search.driver import Method, solve
from trivium.search.outcomes import Outcome, Pair, PassAtK, Row, Samples, outcome, pairs, passes, row
from trivium.types import Budget, Policy, Problem, Sampling, Split, Task, Trace

Unit = Literal["sampled_tokens", "total_tokens", "seconds"]
UNITS: tuple[Unit, ...] = typing.get_args(Unit)
BASELINES = ("greedy", "vote", "best-of-n")
SAMPLERS = ("vote", "best-of-n")
"""Methods whose trace is a set of independent samples, from which pass@k follows."""
MOST_SAMPLES = 64
"""Samples a problem that are judged for pass@k."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A method in a comparison.  `name` is the spec as given; `spec` has every option that the comparison filled in."""

    name: str
    spec: str
    run: Method


@dataclass(frozen=True, slots=True)
class Setup:
    """What all contenders share.  `seeds` decide problems and samples; `against` names the contenders (or `all`) that
    the others are paired with; `training_tokens` is the share of its training that each problem bears; `voices` are
    further policies for methods with several.
    """

    task: Task
    policy: Policy
    budgets: tuple[float, ...]
    sampling: Sampling
    unit: Unit = "sampled_tokens"
    n: int = 100
    split: Split = "test"
    seeds: tuple[int, ...] = (0,)
    concurrency: int | None = None
    against: tuple[str, ...] = ("greedy", "vote")
    training_tokens: float = 0.0
    voices: Mapping[str, Policy] = field(default_factory=dict)

    def budget(self, amount: float) -> Budget:
        if self.unit == "seconds":
            return Budget(seconds=amount)
        return replace(Budget(), **{self.unit: int(amount)})


@dataclass(frozen=True, slots=True)
class AtBudget:
    """All contenders at one allowance."""

    budget: float
    rows: list[Row]
    pairs: list[Pair]


@dataclass(frozen=True, slots=True)
class Comparison:
    """`curve` has an entry for each budget, from the smallest to the largest."""

    curve: list[AtBudget]
    pass_at_k: list[PassAtK]


class Keeper(Protocol):
    """Remembers finished cells: their traces, and the wall-clock seconds that all attempts took together."""

    def has(self, spec: str, budget: float, seed: int) -> bool: ...

    def load(self, spec: str, budget: float, seed: int, problems: Sequence[Problem]) -> tuple[list[Trace], float]: ...

    def save(
        self, spec: str, budget: float, seed: int, traces: list[Trace], problems: list[Problem], seconds: float
    ) -> None: ...


Listen = Callable[[str, int, int], None]
"""Told what is being attempted, and how many attempts are done of how many."""


def contenders(specs: Sequence[str]) -> list[Contender]:
    """The baselines and the methods asked for, each once.

    A method whose `n` may be `none`, and that is given no `n`, draws until the budget is spent.  Raises UserError.
    """
    found: dict[str, Contender] = {}
    for given in (*BASELINES, *specs):
        name, args, options = parse_spec(given)
        if not args and "n" not in options and _may_draw_until_spent(name):
            options = {"n": "none", **options}
        spec = format_spec(name, options, args)
        found.setdefault(spec, Contender(given.strip(), spec, method(spec)))
    return list(found.values())


def compare(
    setup: Setup, entries: Sequence[Contender], keeper: Keeper | None = None, listen: Listen | None = None
) -> Comparison:
    """Attempt what `keeper` does not have yet, smallest budget first, and compare.

    A method that refuses the set-up keeps its row, without an accuracy.  Raises UserError when all of them do, when the
    task has too few problems, or when `against` names no contender.
    """
    names = [entry.name for entry in entries]
    for name in setup.against:
        if name not in names and name != "all":
            raise UserError(f"--against {name}: expected all, or some of {', '.join(names)}")
    problems = {seed: setup.task.problems(setup.split, setup.n, seed) for seed in setup.seeds}
    outcomes: dict[tuple[float, str], list[Outcome]] = defaultdict(list)
    seconds: dict[tuple[float, str], float] = defaultdict(float)
    refusals: dict[tuple[float, str], str] = {}
    samples: dict[str, list[Samples]] = defaultdict(list)
    for amount, entry, seed, found in _cells(setup, entries, problems, keeper, listen):
        place = (amount, entry.name)
        if isinstance(found, UserError):
            refusals[place] = str(found)
            continue
        traces, took = found
        seconds[place] += took
        outcomes[place] += [outcome(p, seed, t) for p, t in zip(problems[seed], traces, strict=True)]
        if amount == max(setup.budgets) and parse_spec(entry.spec)[0] in SAMPLERS:
            samples[entry.name] += [
                (p, seed, sure_samples(t, setup, amount, entry.spec))
                for p, t in zip(problems[seed], traces, strict=True)
            ]
    if len(refusals) == len(setup.budgets) * len(entries):
        raise UserError(next(iter(refusals.values())))
    curve = []
    for amount in sorted(setup.budgets):
        rows = [
            row(
                entry.name, entry.spec, amount, outcomes[amount, entry.name], seconds=seconds[amount, entry.name],
                total=setup.unit != "sampled_tokens", training=setup.training_tokens,
                refused=refusals.get((amount, entry.name), ""),
            )
            for entry in entries
        ]  # fmt: skip
        curve.append(AtBudget(amount, rows, pairs({name: outcomes[amount, name] for name in names}, setup.against)))
    return Comparison(curve, passes(setup.task, samples))


def sure_samples(trace: Trace, setup: Setup, amount: float, spec: str) -> tuple[str, ...]:
    """The samples that were sure to be drawn: how many there are depends on the budget, never on what was sampled.

    Empty for a trace that is no flat set of samples, and where seconds are the limit.
    """
    leaves = [node for node in trace.nodes if node.parent == 0]
    options = parse_spec(spec)[2]
    # Runs of an inner method are not samples of the policy, even where their traces look alike.
    if trace.error or setup.unit == "seconds" or len(leaves) != len(trace.nodes) - 1 or "of" in options:
        return ()
    prompt = len(trace.nodes[0].segment.ids) if setup.unit == "total_tokens" else 0
    asked = options.get("n", "none")
    fits = int((amount - prompt) // setup.sampling.max_tokens)
    sure = min(fits, MOST_SAMPLES, math.inf if asked == "none" else int(asked))
    return tuple(node.segment.text for node in leaves[: int(sure)]) if len(leaves) >= sure >= 1 else ()


def _may_draw_until_spent(name: str) -> bool:
    return type(None) in typing.get_args(typing.get_type_hints(METHODS.factory(name)).get("n"))


def _cells(
    setup: Setup,
    entries: Sequence[Contender],
    problems: Mapping[int, list[Problem]],
    keeper: Keeper | None,
    listen: Listen | None,
) -> Iterator[tuple[float, Contender, int, tuple[list[Trace], float] | UserError]]:
    """Every (budget, method, seed) with its traces and seconds, from the keeper or attempted now; or the refusal."""
    cells = [(b, entry, seed) for b in sorted(setup.budgets) for entry in entries for seed in setup.seeds]
    kept = {(b, entry.spec, seed) for b, entry, seed in cells if keeper and keeper.has(entry.spec, b, seed)}
    total, done = (len(cells) - len(kept)) * setup.n, 0
    for amount, entry, seed in cells:
        if keeper and (amount, entry.spec, seed) in kept:
            yield amount, entry, seed, keeper.load(entry.spec, amount, seed, problems[seed])
            continue
        began, so_far, what = time.perf_counter(), iter(range(done + 1, total + 1)), f"{entry.name} at {amount:,g}"
        heard = None if listen is None else functools.partial(_hear, listen, what, so_far, total)
        try:
            traces = solve(
                entry.run, problems[seed], setup.policy, task=setup.task, budget=setup.budget(amount), seed=seed,
                voices=setup.voices, sampling=setup.sampling, concurrency=setup.concurrency, listen=heard,
            )  # fmt: skip
        except UserError as error:
            yield amount, entry, seed, error
        else:
            took = time.perf_counter() - began
            if keeper:
                keeper.save(entry.spec, amount, seed, traces, problems[seed], took)
            yield amount, entry, seed, (traces, took)
        done += setup.n


def _hear(listen: Listen, what: str, so_far: Iterator[int], total: int, trace: Trace) -> None:
    listen(what, next(so_far), total)
