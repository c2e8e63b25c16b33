"""Programs from examples: find the function that the shown inputs and outputs have in common, and write it.

A function is a pipeline of small steps over lists of numbers, texts and lists of words.  Two pipelines that do the same
are the same problem: the key is what the function gives on a fixed set of probes, so no split can hold a rephrased
function of another.  The shown examples are chosen to rule out every pipeline that differs in one step, and so are the
hidden tests; a program that only knows the shown examples fails the hidden ones.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from trivium.errors import UserError
from trivium.tasks.base import Described, at_least, deal, guarded, new_problem, split_of, stable_hash
from trivium.types import Problem, Split, Verdict
from trivium.verify.program import check_program

HIDDEN = 8
_POOL = 40


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a pipeline: an expression over `x` that `takes` one kind of value and `gives` another."""

    takes: str
    gives: str
    code: str
    words: str


Pipeline = tuple[Step, ...]


@dataclass(frozen=True)
class Programs(Described):
    """Write the Python function that agrees with a few examples; judged on hidden tests in the sandbox."""

    level: int = 2
    kind: Literal["list", "string", "both"] = "both"
    shown: int = 5

    family = "programs"

    def __post_init__(self) -> None:
        at_least("programs", 1, level=self.level)
        at_least("programs", 2, shown=self.shown)
        if self.level > 4:
            raise UserError(f"task programs: level={self.level} is too large; a pipeline has 1 to 4 steps")

    @property
    def max_tokens(self) -> int:
        return 220

    def problems(self, split: Split, n: int, seed: int = 0) -> list[Problem]:
        return deal(self.name, split, n, seed, functools.partial(self._draw, split))

    @guarded
    def verify(self, problem: Problem, response: str) -> Verdict:
        return check_program(response, problem.reference)

    def _draw(self, split: Split, rng: random.Random) -> Problem | None:
        start = {"list": "numbers", "string": "text"}.get(self.kind) or rng.choice(["numbers", "text"])
        pipeline = _pipeline(rng, start, self.level)
        if pipeline is None:
            return None
        key = f"{start}:{stable_hash(_behaviour(pipeline)):016x}"
        found = _examples(pipeline, key, self.shown) if split_of(key) == split else None
        if found is None:
            return None
        shown, hidden = found
        run = _function(pipeline)
        examples = "\n".join(f"f({case!r}) == {run(case)!r}" for case in shown)
        answer = _program(pipeline)
        return new_problem(
            self.family,
            key,
            f"Write a Python function f(x) that agrees with these examples. Import nothing.\n{examples}",
            reference={"name": "f", "tests": [[[case], run(case)] for case in hidden]},
            gold=answer,
            answer_format="program",
            level=self.level,
            solution=f"{', then '.join(step.words for step in pipeline).capitalize()}.\n{answer}",
        )


def _program(pipeline: Pipeline) -> str:
    *first, last = (step.code for step in pipeline)
    lines = ["def f(x):", *(f"    x = {code}" for code in first), f"    return {last}"]
    return "```python\n" + "\n".join(lines) + "\n```"


def _pipeline(rng: random.Random, start: str, length: int) -> Pipeline | None:
    """A random pipeline that ends in any kind of value, or `None` where a kind has no step to go on with."""
    chosen: list[Step] = []
    kind = start
    for _ in range(length):
        groups = _steps().get(kind)
        if not groups:
            return None
        step = rng.choice(rng.choice(groups))
        chosen.append(step)
        kind = step.gives
    return tuple(chosen)


@functools.lru_cache(maxsize=20_000)
def _examples(pipeline: Pipeline, key: str, n: int) -> tuple[list[Any], list[Any]] | None:
    """`n` inputs to show and `HIDDEN` others to judge by, each lot telling the pipeline from all its rivals.

    `None` for a pipeline that cannot be told from a rival, in which a step does nothing, or which ignores its input.
    """
    start = pipeline[0].takes
    cases = _cases(random.Random(stable_hash("cases", key)), start)
    outputs = [repr(_function(pipeline)(case)) for case in cases]
    rivals = _rivals(pipeline)
    if rivals is None or len(set(outputs)) < len(cases) // 3:
        return None
    caught = _caught(pipeline, rivals, cases)
    shown = _telling(caught, range(len(cases)), len(rivals), n)
    hidden = _telling(caught, [i for i in range(len(cases)) if i not in (shown or ())], len(rivals), HIDDEN)
    if shown is None or hidden is None or min(len({outputs[i] for i in lot}) for lot in (shown, hidden)) < 2:
        return None
    return [cases[i] for i in shown], [cases[i] for i in hidden]


Change = tuple[int, Step | None]
"""What a rival pipeline has in place `i`: another step, or none."""


def _rivals(pipeline: Pipeline) -> list[Change] | None:
    """The pipelines one step away that do something else; `None` if a step can be dropped."""
    start, behaviour = pipeline[0].takes, _behaviour(pipeline)
    rivals: list[Change] = []
    for i, step in enumerate(pipeline):
        before, after = pipeline[:i], pipeline[i + 1 :]
        if step.takes == step.gives:
            if _behaviour(before + after, start) == behaviour:
                return None
            rivals.append((i, None))
        others = [other for group in _steps()[step.takes] for other in group if other.gives == step.gives]
        rivals.extend((i, other) for other in others if _behaviour((*before, other, *after)) != behaviour)
    return rivals


def _caught(pipeline: Pipeline, rivals: Sequence[Change], cases: Sequence[Any]) -> list[set[int]]:
    """For each case, the rivals that give something else than the pipeline; common first steps are run once."""
    caught: list[set[int]] = []
    for case in cases:
        values = [case]
        for step in pipeline:
            values.append(_apply(values[-1], step))
        found = set()
        for j, (i, other) in enumerate(rivals):
            value = values[i] if other is None else _apply(values[i], other)
            if value == values[i + 1]:
                continue
            if functools.reduce(_apply, pipeline[i + 1 :], value) != values[-1]:
                found.add(j)
        caught.append(found)
    return caught


def _telling(caught: Sequence[set[int]], among: Sequence[int], num_rivals: int, n: int) -> list[int] | None:
    """`n` cases that together catch every rival: greedily the one that catches most of what is left, then any."""
    left = set(range(num_rivals))
    chosen: list[int] = []
    while len(chosen) < n:
        best = max((i for i in among if i not in chosen), key=lambda i: len(caught[i] & left))
        chosen.append(best)
        left -= caught[best]
    return None if left else sorted(chosen)


def _function(pipeline: Pipeline) -> Callable[[Any], Any]:
    """The pipeline as a Python function."""
    return functools.partial(functools.reduce, _apply, pipeline)


def _apply(value: Any, step: Step) -> Any:
    return _compiled(step.code)(value)


@functools.cache
def _compiled(code: str) -> Callable[[Any], Any]:
    made: Callable[[Any], Any] = eval(f"lambda x: {code}")  # our own text, from the table below
    return made


@functools.lru_cache(maxsize=100_000)
def _behaviour(pipeline: Pipeline, start: str = "") -> str:
    run = _function(pipeline)
    return repr([run(probe) for probe in _probes(start or pipeline[0].takes)])


@functools.cache
def _probes(kind: str) -> list[Any]:
    return _cases(random.Random(stable_hash("probes", kind)), kind)[:24]


_WORDS = (
    *("ant", "bee", "Cat", "dog", "egg", "Fox", "goat", "hen", "ice", "Jar", "kite", "lamp"),
    *("moon", "nest", "oak", "Pig", "queen", "rain", "sun", "Tree", "urn", "van", "wolf", "yak"),
)


def _cases(rng: random.Random, kind: str) -> list[Any]:
    """Different inputs of one kind."""
    cases: list[Any] = []
    while len(cases) < _POOL:
        if kind == "numbers":
            case: Any = [rng.randint(-9, 20) for _ in range(rng.randint(4, 7))]
        else:
            case = " ".join(rng.choice(_WORDS) for _ in range(rng.randint(2, 4)))
        if case not in cases:
            cases.append(case)
    return cases


@functools.cache
def _steps() -> dict[str, list[list[Step]]]:
    """All steps by what they take, in groups of one idea each, so that ideas are drawn evenly whatever their sizes."""
    table: dict[str, list[list[Step]]] = {}
    for takes, group in _groups():
        table.setdefault(takes, []).append([Step(takes, *parts) for parts in group])
    return table


def _groups() -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    n, t, w, i = "numbers", "text", "words", "number"
    yield n, [(n, f"[v + {k} for v in x]", f"add {k} to every number") for k in range(1, 10)]
    yield n, [(n, f"[v - {k} for v in x]", f"take {k} from every number") for k in range(1, 10)]
    yield n, [(n, f"[v * {k} for v in x]", f"multiply every number by {k}") for k in range(2, 8)]
    yield n, [(n, f"[v % {k} for v in x]", f"take every number modulo {k}") for k in range(2, 8)]
    yield n, [(n, f"[v // {k} for v in x]", f"divide every number by {k}, rounding down") for k in range(2, 6)]
    yield (
        n,
        [
            (n, "[v * v for v in x]", "square every number"),
            (n, "[-v for v in x]", "negate every number"),
            (n, "[abs(v) for v in x]", "take absolute values"),
        ],
    )
    yield n, [(n, f"[v for v in x if v > {k}]", f"keep the numbers above {k}") for k in range(-2, 11)]
    yield n, [(n, f"[v for v in x if v < {k}]", f"keep the numbers below {k}") for k in range(13)]
    yield n, [(n, f"[v for v in x if v % {k} == 0]", f"keep the multiples of {k}") for k in range(2, 6)]
    yield n, [(n, f"[v for v in x if v % {k} != 0]", f"drop the multiples of {k}") for k in range(2, 6)]
    yield n, [(n, f"x[:{k}]", f"keep the first {k}") for k in range(2, 5)]
    yield n, [(n, f"x[{k}:]", f"drop the first {k}") for k in range(1, 4)]
    yield (
        n,
        [
            (n, "x[::-1]", "reverse the list"),
            (n, "x[::2]", "keep every second one"),
            (n, "sorted(x)", "sort"),
            (n, "sorted(x, reverse=True)", "sort downwards"),
        ],
    )
    yield (
        n,
        [
            (n, "[a + b for a, b in zip(x, x[1:])]", "add neighbours"),
            (n, "[b - a for a, b in zip(x, x[1:])]", "take differences of neighbours"),
            (n, "[max(a, b) for a, b in zip(x, x[1:])]", "take the larger of each two neighbours"),
        ],
    )
    yield (
        n,
        [
            (i, "sum(x)", "add them up"),
            (i, "len(x)", "count them"),
            (i, "max(x, default=0)", "take the largest"),
            (i, "min(x, default=0)", "take the smallest"),
            (i, "max(x, default=0) - min(x, default=0)", "take the range"),
        ],
    )
    yield i, [(i, f"x + {k}", f"add {k}") for k in range(1, 10)]
    yield i, [(i, f"x * {k}", f"multiply by {k}") for k in range(2, 6)]
    yield (
        t,
        [
            (t, "x.upper()", "put it in capitals"),
            (t, "x.lower()", "put it in small letters"),
            (t, "x.swapcase()", "swap the case"),
            (t, "x[::-1]", "reverse the text"),
        ],
    )
    yield t, [(t, f"x[:{k}]", f"keep the first {k} characters") for k in range(2, 8)]
    yield t, [(t, f"x[{k}:]", f"drop the first {k} characters") for k in range(1, 6)]
    yield t, [(t, f"x[-{k}:]", f"keep the last {k} characters") for k in range(2, 7)]
    yield t, [(t, f"x.replace({a!r}, {b!r})", f"turn {a} into {b}") for a in "aeou" for b in "iy*"]
    yield t, [(t, f"x.replace({a!r}, '')", f"remove {a}") for a in "aeout"]
    yield t, [(t, f"x.replace(' ', {a!r})", f"put {a} for spaces") for a in "-_+"]
    yield t, [(t, f"x + {a!r}", f"append {a}") for a in "!?."]
    yield (
        t,
        [
            (t, "''.join(c for c in x if c not in 'aeiou')", "remove small vowels"),
            (t, "''.join(c for c in x if c in 'aeiou')", "keep small vowels only"),
            (t, "''.join(c + c for c in x)", "double every character"),
        ],
    )
    yield t, [(i, f"x.count({a!r})", f"count {a}") for a in "aeont"]
    yield t, [(i, "len(x)", "count the characters")]
    yield t, [(w, "x.split()", "split into words")]
    yield t, [(n, "[len(v) for v in x.split()]", "take the lengths of the words")]
    yield (
        w,
        [
            (w, "x[::-1]", "reverse their order"),
            (w, "sorted(x)", "sort them"),
            (w, "sorted(x, key=len)", "sort them by length"),
            (w, "x[1:]", "drop the first"),
            (w, "x[:2]", "keep the first two"),
        ],
    )
    yield (
        w,
        [
            (w, "[v[::-1] for v in x]", "reverse each"),
            (w, "[v.upper() for v in x]", "put each in capitals"),
            (w, "[v[0] for v in x]", "keep each first letter"),
            (w, "[v[1:] for v in x]", "drop each first letter"),
        ],
    )
    yield w, [(w, f"[v for v in x if len(v) > {k}]", f"keep those longer than {k}") for k in (2, 3)]
    yield w, [(t, f"{a!r}.join(x)", f"join them with {a!r}") for a in ("", "-", ", ")]
