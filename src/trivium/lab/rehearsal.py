"""A rehearsal: arms of a recipe on dev problems with settings changed, to tune by what no test question ever sees."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from trivium.claims import ArmResult
from trivium.errors import UnknownName, UserError
from trivium.lab.code import digest
from trivium.lab.lab import Lab
from trivium.lab.recipe import Recipe
from trivium.lab.runner import carry_out, one_thread
from trivium.policies.local import LocalPolicy
from trivium.tasks import task as make_task
from trivium.types import Problem, Split, Task

S = TypeVar("S")

TUNING = 50_000
"""Added to the seed of a rehearsal: settings that suit the training runs of a claim would profit from their luck."""
APART = 7_000_000
"""Added to the seed of the dev problems that stand for the test: an arm that chooses by dev problems has others."""


class Rehearsal(Lab[S]):
    """A lab without a test: whoever asks for test problems is dealt dev problems, of another seed than the lab's."""

    def problems(self, task: Task | str, split: Split, n: int, *, seed: int | None = None) -> list[Problem]:
        if split != "test":
            return super().problems(task, split, n, seed=seed)
        made = make_task(task) if isinstance(task, str) else task
        return made.problems("dev", n, APART + (self.seed if seed is None else seed))

    def policy(
        self, name: str, make: Callable[[Lab[S]], LocalPolicy], *, shared: str | None = None, seed: int | None = None
    ) -> LocalPolicy:
        """A policy made once; one that a recipe makes with a seed of its own for all seeds is another here, too."""
        return super().policy(name, make, shared=shared, seed=None if seed is None else TUNING + seed)


def rehearse(
    module: str, recipe: Recipe, size: str, arms: Sequence[str], changes: Sequence[str], seed: int
) -> Iterator[ArmResult]:
    """The results of arms with one seed, each as it comes; on one thread, as the runner does it.

    Its training problems, first weights and samples are not those of the same seed of a claim.
    `changes` are for `changed`.  What arms share is kept, by settings; the results are not.  Raises UnknownName for an
    arm that the recipe does not have.
    """
    for arm in arms:
        if arm not in recipe.arms:
            raise UnknownName(f"arm of {recipe.slug}:", arm, recipe.arms)
    settings = changed(recipe.settings(size), changes)
    name = f"{size}-{digest([repr(settings)])}"
    with one_thread():
        for arm in arms:
            lab: Rehearsal[Any] = Rehearsal(recipe.slug, module, settings, name, TUNING + seed)
            yield replace(carry_out(arm, recipe.arms[arm], lab), seed=seed)


def changed(settings: S, changes: Sequence[str]) -> S:
    """Settings with some of them set, such as `lr=1e-4` or, within one that has settings itself, `lesson.steps=500`.

    Raises UnknownName for a name that is none, UserError for a value that cannot stand where another one stood.
    """
    for change in changes:
        path, equals, text = change.partition("=")
        if not equals:
            raise UserError(f"cannot read {change!r}; expected NAME=VALUE, such as lr=1e-4")
        settings = _with(settings, path.strip(), text.strip())
    return settings


def _with(settings: Any, path: str, text: str) -> Any:
    name, dot, rest = path.partition(".")
    names = [field.name for field in fields(settings)]
    if name not in names:
        raise UnknownName("setting", name, names)
    now = getattr(settings, name)
    if is_dataclass(now):
        inner = ", ".join(field.name for field in fields(now))
        if not dot:
            raise UserError(f"{name} has settings of its own; set {name}.NAME=VALUE, where NAME is one of {inner}")
        return replace(settings, **{name: _with(now, rest, text)})
    if dot:
        raise UserError(f"{name} has no settings of its own; set {name}=VALUE")
    return replace(settings, **{name: _read(name, text, now)})


def _read(name: str, text: str, now: Any) -> Any:
    """A value of the type that stands there now."""
    if isinstance(now, str):
        return text
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = None
    if isinstance(now, float) and type(value) is int:
        value = float(value)
    if type(value) is not type(now):
        raise UserError(f"{name}={text}: expected a value like {now!r}")
    return value
