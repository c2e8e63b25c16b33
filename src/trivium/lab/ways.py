"""Models that were shown several ways to answer: told which to go, tried on all of them, and taught to name one."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from trivium.lab.bases import Lesson, given, schooled
from trivium.lab.code import digest
from trivium.lab.lab import Lab, Scored
from trivium.lab.measure import ids
from trivium.lab.replies import continued
from trivium.lab.train import demonstrations, imitate
from trivium.lab.unseen import first_of
from trivium.learn.batch import Demonstration
from trivium.policies.local import LocalPolicy
from trivium.search.vote import majority
from trivium.tasks.base import stable_hash
from trivium.tasks.ways import Ways, said
from trivium.types import Problem


@dataclass(frozen=True, slots=True)
class Tried:
    """One response, the way it went (what it names before its colon), its answer, whether that is right, and tokens."""

    way: str
    text: str
    answer: str | None
    right: bool
    tokens: int


def skilled(lab: Lab[Any], task: Ways, lesson: Lesson, ways: Sequence[str]) -> LocalPolicy:
    """A fresh copy of a model that was shown each problem of a lesson in one of the ways, drawn by chance.

    So it can go each of them and knows nothing about which one suits a question: what it was shown is the way gone
    without a mistake, even where that does not lead to the answer.  Problems that are set aside are not shown.  A
    policy that the user names is taught the same.
    """

    def make(inner: Lab[Any]) -> LocalPolicy:
        rng = random.Random(inner.seed)
        dealt = first_of(inner, task, lesson.examples, lambda problem: not _aside(problem), lesson.offset)
        shown = [(p, said(p.reference["text"], rng.choice(ways))) for p in dealt]
        if inner.policy_spec is None:
            return schooled(inner, lesson, shown)
        policy = given(inner.policy_spec)
        imitate(inner, policy, demonstrations(policy, shown), steps=lesson.steps, batch=lesson.batch, lr=lesson.lr)
        return policy

    made_of = digest([repr(task), repr(lesson), repr(tuple(ways))])
    return lab.policy("base", make, shared=f"ways-{made_of}")


def aside(lab: Lab[Any], task: Ways, n: int) -> list[Problem]:
    """The first `n` training problems among those that no lesson shows.

    Small sums with a product are few.  What a lesson of thousands left over had hardly any: 5% had a late product and
    no large number where 23% of a test did, and half had a large number, not 30%.  A way that does well on such
    leftovers is not the one for the test.  So half of all problems are set aside before.
    """
    return first_of(lab, task, n, _aside)


def _aside(problem: Problem) -> bool:
    return stable_hash("aside", problem.key) % 2 == 0


def tried(
    lab: Lab[Any],
    policy: LocalPolicy,
    task: Ways,
    problems: Sequence[Problem],
    ways: Sequence[str],
    *,
    temperature: float = 0.0,
    seed: int = 0,
    unit: str = "sampled_tokens",
) -> list[Tried]:
    """One response to each problem, greedy unless a temperature is given, in the way named for it; '' leaves it free.

    `seed` is what draws that must differ differ by; the lab's own comes on top.
    """
    begun = [f"{way}:" if way else "" for way in ways]
    texts = continued(
        lab, policy, [p.question for p in problems], begun, max_tokens=task.max_tokens, temperature=temperature,
        seed=lab.seed * 100_003 + seed, unit=unit,
    )  # fmt: skip
    out = []
    for problem, start, text in zip(problems, begun, texts, strict=True):
        verdict = task.verify(problem, text)
        tokens = len(policy.encode_text(text[len(start) :])) + 1
        out.append(Tried(text.partition(":")[0], text, verdict.answer, verdict.correct, tokens))
    return out


def every_way(
    lab: Lab[Any], policy: LocalPolicy, task: Ways, problems: Sequence[Problem], ways: Sequence[str], *, unit: str
) -> list[list[Tried]]:
    """Greedy responses to all problems in each of the ways: a list for every way."""
    asked = [(p, way) for way in ways for p in problems]
    found = tried(lab, policy, task, [p for p, _ in asked], [way for _, way in asked], unit=unit)
    return [found[i * len(problems) : (i + 1) * len(problems)] for i in range(len(ways))]


def best_way(lab: Lab[Any], policy: LocalPolicy, task: Ways, problems: Sequence[Problem], ways: Sequence[str]) -> str:
    """The one way that answers most of some labelled problems greedily, the earlier of equals."""
    found = every_way(lab, policy, task, problems, ways, unit="dev_tokens")
    lab.charge("labels", len(problems))
    right = [sum(one.right for one in row) for row in found]
    return ways[right.index(max(right))]


def raced(
    lab: Lab[Any],
    policy: LocalPolicy,
    task: Ways,
    problems: Sequence[Problem],
    ways: Sequence[str],
    *,
    samples: int,
    kept: Sequence[int],
    temperature: float,
) -> list[dict[str, list[Tried]]]:
    """For every problem what each of the ways brought in a race: `samples` of all of them, as many more of the best
    `kept[0]`, and so on.  Costs one label a problem.
    """
    lab.charge("labels", len(problems))
    found: list[dict[str, list[Tried]]] = [{way: [] for way in ways} for _ in problems]
    for number, keep in enumerate((len(ways), *kept)):
        left = [sorted(record, key=partial(_place, record))[:keep] for record in found]
        runs = [(i, way) for i, still in enumerate(left) for way in still for _ in range(samples)]
        drawn = tried(
            lab, policy, task, [problems[i] for i, _ in runs], [way for _, way in runs], temperature=temperature,
            seed=1 + number,
        )  # fmt: skip
        for (i, way), one in zip(runs, drawn, strict=True):
            found[i][way].append(one)
    return found


def winner(record: Mapping[str, Sequence[Tried]]) -> Tried | None:
    """A right response by the way that won a race: of those tried most often the one with most successes, then with
    fewest actions, then with fewest tokens.  `None` where it has none, and where every response of every way is right:
    neither tells ways apart.
    """
    right = [one for one in record[min(record, key=partial(_place, record))] if one.right]
    return right[0] if right and not all(one.right for tries in record.values() for one in tries) else None


def retried(
    lab: Lab[Any],
    policy: LocalPolicy,
    task: Ways,
    problems: Sequence[Problem],
    choose: Callable[[Sequence[Tried]], str],
    *,
    most: int,
    temperature: float,
    seed: int,
    shuffle: random.Random | None = None,
) -> list[list[Tried]]:
    """Tries at every problem, in order, until one is right or there were `most`; `choose` names the way of the next one
    from those before it.  Costs a label a problem, and `tries`.  With `shuffle` verdicts are those of other problems.
    """
    had: list[list[Tried]] = [[] for _ in problems]
    lab.charge("labels", len(problems))
    for number in range(most):
        todo = [i for i, tries in enumerate(had) if not any(one.right for one in tries)]
        drawn = tried(
            lab, policy, task, [problems[i] for i in todo], [choose(had[i]) for i in todo], temperature=temperature,
            seed=seed + number,
        )  # fmt: skip
        marks = [one.right for one in drawn]
        if shuffle is not None:
            shuffle.shuffle(marks)
        for i, one, mark in zip(todo, drawn, marks, strict=True):
            had[i].append(replace(one, right=mark))
        lab.charge("tries", len(todo))
    return had


def success(policy: LocalPolicy, problem: Problem, tries: Sequence[Tried], *, first: bool) -> Demonstration:
    """The last of some tries, to imitate: as if it were the first, or after the others, which are read, not learned."""
    last = policy.encode_response(tries[-1].text)
    before = () if first else policy.encode_text("".join(f"{one.text}\n" for one in tries[:-1]))
    mask = tuple(i >= len(before) for i in range(len(before) + len(last)))
    return Demonstration(policy.encode(problem.question.messages), (*before, *last), mask)


def named(
    lab: Lab[Any],
    policy: LocalPolicy,
    task: Ways,
    shown: Sequence[tuple[Problem, str]],
    problems: Sequence[Problem],
    ways: Sequence[str],
    *,
    steps: int,
    batch: int,
    lr: float,
) -> tuple[list[str], list[Tried]]:
    """Teach a policy to say something that ends in the name of a way, then ask it about other problems.

    Gives the way that it names for each, the first of `ways` where it names none, and all that it said.
    """
    imitate(lab, policy, demonstrations(policy, shown), steps=steps, batch=batch, lr=lr)
    told = tried(lab, policy, task, problems, [""] * len(problems), unit="test_tokens")
    words = [one.way.rpartition(" ")[2] for one in told]
    return [word if word in ways else ways[0] for word in words], told


def marked(problems: Sequence[Problem], found: Sequence[Tried], before: Sequence[Tried] = ()) -> Scored:
    """`accuracy` and `tokens` of a response to each problem, those of what was said `before` it included."""
    tokens = [float(one.tokens) for one in found]
    for i, one in enumerate(before):
        tokens[i] += one.tokens
    return Scored(ids(problems), {"accuracy": [float(one.right) for one in found], "tokens": tokens})


def elected(problems: Sequence[Problem], groups: Sequence[Sequence[Tried]], *, judged: bool = False) -> Scored:
    """Whether the answer that most of a problem's responses give is right; `judged` asks whether any of them is."""
    right = []
    for group in groups:
        chosen, _ = majority([one.answer for one in group])
        right.append(float(any(one.right and (judged or one.answer == chosen) for one in group)))
    tokens = [float(sum(one.tokens for one in group)) for group in groups]
    return Scored(ids(problems), {"accuracy": right, "tokens": tokens})


def _place(record: Mapping[str, Sequence[Tried]], way: str) -> tuple[int, int, int, int]:
    """Smaller is better; who was tried more often is still in the race."""
    tries = record[way]
    return -len(tries), -sum(one.right for one in tries), len(way), sum(one.tokens for one in tries)
