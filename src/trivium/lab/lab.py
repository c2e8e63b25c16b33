"""What an arm works with: its seed and settings, problems, things made once for all arms, and the count of its cost."""

from __future__ import annotations

import inspect
import pickle
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from trivium.errors import RunError
from trivium.lab.keep import Kept, keep, of_policy, shelf
from trivium.policies import POLICIES, whole
from trivium.policies.folder import load
from trivium.policies.local import LocalPolicy
from trivium.registry import parse_spec
from trivium.tasks import task as make_task
from trivium.types import Problem, Split, Task

S = TypeVar("S")
T = TypeVar("T")

ROWS = 512
"""Samples in the making at a time.  A model of 100k parameters took 0.8 of the time that it takes with 256."""


def device_of(policy: str | None) -> str:
    """Models of the lab's own are fastest on the processor; what a user names is where its spec says."""
    if policy is None:
        return "cpu"
    name, _, options = parse_spec(whole(policy))
    usual = inspect.signature(POLICIES.factory(name)).parameters.get("device")
    return options.get("device", "cpu" if usual is None else usual.default)


@dataclass(eq=False)
class Lab(Generic[S]):
    """One arm with one seed.  `size` holds the recipe's settings of the size asked for.

    Everything random follows from `seed`.  `spent` counts cost by unit: what is learned from or chosen by is
    `sampled_tokens`, `trained_tokens`, `labels`; what answers the test is `test_tokens`.  Problems come from
    `problems`, which remembers what was seen, so that a leak is found.  `uses` are the things made once that the arm
    rests on, each with its own cost: however often one is used, and by whatever else that is used, it is paid once.
    What was made before `since` (a time in seconds) is made again.
    """

    slug: str
    own: str
    size: S
    size_name: str
    seed: int
    policy_spec: str | None = None
    spent: Counter[str] = field(default_factory=Counter)
    uses: dict[str, dict[str, float]] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    notes: dict[str, float] = field(default_factory=dict)
    curves: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    since: float = 0.0

    def task(self, spec: str) -> Task:
        """The task a spec describes."""
        return make_task(spec)

    def problems(self, task: Task | str, split: Split, n: int, *, seed: int | None = None) -> list[Problem]:
        """Problems of a split, by the lab's seed unless another is given; train and dev ones are remembered as seen."""
        dealt = (make_task(task) if isinstance(task, str) else task).problems(
            split, n, self.seed if seed is None else seed
        )
        if split != "test":
            self.seen.update(p.question.id for p in dealt)
        return dealt

    def policy(
        self, name: str, make: Callable[[Lab[S]], LocalPolicy], *, shared: str | None = None, seed: int | None = None
    ) -> LocalPolicy:
        """A policy made once for this seed, and a fresh copy of it at each call; the arm is charged what it cost.

        `shared` names what it is made from instead of this recipe: a base that other recipes use as well.  `seed` makes
        it with that seed whatever the lab's: one for all seeds.
        """

        def fill(folder: Path, lab: Lab[S]) -> None:
            make(lab).save(folder)

        kept = self._kept(name, fill, shared, self.seed if seed is None else seed)
        loaded = load(kept.folder, name, dtype="fp32", max_rows=ROWS, device=device_of(self.policy_spec))
        if not isinstance(loaded, LocalPolicy):
            raise RunError(f"{kept.folder} is not a model that the lab can train")
        return loaded

    def data(self, name: str, make: Callable[[Lab[S]], T]) -> T:
        """Something picklable made once for this seed, such as samples that several arms learn from."""

        def fill(folder: Path, lab: Lab[S]) -> None:
            (folder / "data.pkl").write_bytes(pickle.dumps(make(lab)))

        made: T = pickle.loads((self._kept(name, fill, None, self.seed).folder / "data.pkl").read_bytes())
        return made

    def apart(self) -> Lab[S]:
        """A lab of the same seed and settings whose cost is not this arm's: to look at what another arm did."""
        return type(self)(
            self.slug, self.own, self.size, self.size_name, self.seed, self.policy_spec, since=self.since
        )  # fmt: skip

    def charge(self, unit: str, amount: float) -> None:
        """Add to what this arm has spent."""
        self.spent[unit] += amount  # type: ignore[assignment]

    def note(self, **numbers: float) -> None:
        """Keep further numbers with the result."""
        self.notes.update(numbers)

    def at(self, curve: str, x: float, y: float) -> None:
        """Add a point to a curve of the result."""
        self.curves.setdefault(curve, []).append((x, y))

    def overlap(self, questions: Iterable[str]) -> int:
        """How many of these were seen while learning or choosing."""
        return len(self.seen.intersection(questions))

    def _kept(self, name: str, fill: Callable[[Path, Lab[S]], None], shared: str | None, seed: int) -> Kept:
        def make(folder: Path) -> Mapping[str, Any]:
            inner = self.apart()
            inner.seed = seed
            fill(folder, inner)
            own = Counter(inner.spent)
            for cost in inner.uses.values():
                own.subtract(cost)
            return {"spent": dict(own), "uses": inner.uses, "seen": sorted(inner.seen), "notes": inner.notes}

        where = shelf("bases") if shared else shelf("shared", self.slug, self.size_name)
        own = "trivium.lab.bases" if shared else self.own
        full = f"{shared or name}-seed{seed}{of_policy(self.policy_spec)}"
        kept = keep(where, full, own, make, self.since)
        for key, cost in {**kept.about["uses"], full: kept.about["spent"]}.items():
            if key not in self.uses:
                self.uses[key] = cost
                self.spent.update(cost)
        self.notes.update(kept.about["notes"])
        self.seen.update(kept.about["seen"])
        return kept


Scores = Mapping[str, Sequence[float | None]]


@dataclass(frozen=True, slots=True)
class Scored:
    """What an arm gives: the test questions' ids, and for every metric one number a question."""

    questions: tuple[str, ...]
    scores: Scores


Arm = Callable[[Lab[Any]], Scored]
