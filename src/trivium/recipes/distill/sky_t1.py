"""Sky-T1 structure study: which demonstrations teach long reasoning, those with wrong content or those out of order?

Idea
----
A pretrained student already knows the single steps.  What a few thousand long traces add is how steps follow one
another: search, go back, stop.  So it should matter little if what the steps say is wrong, and much if steps are out of
order, missing or from elsewhere.

Algorithm
---------
1. Take a student that knows the single steps and solves small instances.
2. Take correct traces of larger instances, each some steps and a final answer, and spoil the steps, not the answer:
   content: every name becomes a random one with probability p;
   structure: a fraction f of the steps is shuffled, deleted, or replaced by steps of other correct traces.
3. Fine-tune copies of the student on each kind, with equal examples and steps, by plain next-token cross-entropy.
4. Compare the share of unseen larger instances that are solved.

Departs from the paper
----------------------
A 300k-parameter transformer and paths in directed graphs in place of Qwen2.5-32B and mathematics.  It is pretrained on
listing the edges out of named nodes and on paths of two edges, said without a search.  The traces are of paths of three
and four edges: a breadth-first search, then the way back from the goal, a line a step, so that cutting a trace into
steps is exact where the paper asks a model for it.  Left out: wrong-answer traces and removed keywords (these traces
have neither), LoRA, other fractions.

Details that matter
-------------------
- A student from random weights would learn content from the spoilt traces as well, and the comparison would be of
  something else; pretraining comes first, once for all arms.
- Random names are drawn from all names, so p = 0.5 changes 43% of seven.  Shuffled steps all move.
- Shuffling, inserting and corrupting keep the tokens of a trace; deleting and `path-only` do not (see the budgets).
- p and f are not the same unit: the claims compare p = 0.5 with f = 0.67, as the paper's headline does.
- `untuned` never saw a trace: if it too beats the shuffled arm, that one was harmed rather than not taught (null).
- `path-only` is the trivial rival: the same instances, the answer alone.

At full size
------------
Qwen2.5-7B to 32B-Instruct on 4 to 17 thousand traces (NovaSky-AI/Sky-T1_data_17k), rate 1e-5 or LoRA at 1e-4, batch 96;
AIME with 16 or more samples a question.  The perturbation scripts are not in the public repository; here they are
`trivium.data.perturb`.

References
----------
Li et al. 2025, arXiv:2502.07374, sections 3 to 5; code NovaSky-AI/SkyThought (recipes/sky-t1-preview).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

from trivium.claims import Claim
from trivium.data.perturb import delete_steps, insert_steps, replace_names, shuffle_steps, steps_and_answer
from trivium.lab.bases import given, taught
from trivium.lab.lab import Lab, Scored
from trivium.lab.measure import attempts, scored
from trivium.lab.recipe import Paper, Recipe
from trivium.lab.train import demonstrations, imitate
from trivium.policies.local import LocalPolicy
from trivium.tasks.base import ask
from trivium.tasks.graph_search import Graph, breadth_first
from trivium.types import Problem

Change = Callable[[str, random.Random, Sequence[str]], str]
"""Spoils a trace; the last argument are the other traces."""


@dataclass(frozen=True)
class Size:
    """Pretraining on `lessons` instances of each small size, one in `direct` said and in the others edges looked up;
    then `examples` traces an arm.
    """

    model: str = "300k"
    small: tuple[str, ...] = tuple(f"graph-search:nodes={n},distance=2" for n in (5, 6, 7))
    large: str = "graph-search:nodes=7,min_distance=3,distance=4"
    lessons: int = 3000
    direct: int = 8
    lesson_steps: int = 600
    lesson_lr: float = 5e-3
    examples: int = 2000
    steps: int = 120
    batch: int = 16
    lr: float = 2e-3
    test: int = 500


SIZES = {
    "smoke": Size(model="30k", lessons=8, lesson_steps=2, examples=16, steps=2, batch=8, test=4),
    "lab": Size(),
    "full": Size(lessons=20_000, lesson_steps=4000, examples=4618, steps=150, batch=96, lr=1e-5),
}
NODES = "ABCDEFG"


def student(lab: Lab[Size]) -> LocalPolicy:
    """A fresh copy of the student, which lists the edges of named nodes and finds paths of two edges at once."""
    if lab.policy_spec:
        return given(lab.policy_spec)

    def make(inner: Lab[Size]) -> LocalPolicy:
        s, rng = inner.size, random.Random(inner.seed)
        small = [p for spec in s.small for p in inner.problems(spec, "train", s.lessons)]
        shown = [(asked(p), p.gold) if i % s.direct == 0 else look_up(p, rng) for i, p in enumerate(small)]
        return taught(inner, shown, s.model, s.lesson_steps, s.batch, s.lesson_lr)

    return lab.policy("student", make)


def asked(problem: Problem, question: str = "") -> Problem:
    """A problem with its graph written node by node, as steps are written, and a question about it."""
    reference = problem.reference
    lines = [edges(reference["graph"], node) for node in reference["graph"]]
    lines.append(question or f"{reference['start']} to {reference['goal']}?")
    return replace(problem, question=replace(problem.question, messages=ask("\n".join(lines))))


def edges(graph: Graph, node: str) -> str:
    """A step of a search: the nodes that edges lead to."""
    return f"{node}:{''.join(graph[node])}"


def look_up(problem: Problem, rng: random.Random) -> tuple[Problem, str]:
    """The single step as a skill: the edges of all nodes in the order asked."""
    graph = problem.reference["graph"]
    order = rng.sample(sorted(graph), len(graph))
    return asked(problem, f"{''.join(order)}?"), "\n".join(edges(graph, node) for node in order)


def trace(problem: Problem) -> str:
    """A breadth-first search up to the goal, the way back from it step by step, and the path."""
    graph, path = problem.reference["graph"], problem.gold.split()
    _, order = breadth_first(graph, path[0])
    searched = order[: next(i for i, node in enumerate(order) if path[-1] in graph[node]) + 1]
    back = [f"{b}<{a}" for a, b in pairwise(path)]
    return "\n".join([*(edges(graph, node) for node in searched), *back[::-1], problem.gold])


def learn(lab: Lab[Size], *, change: Change | None) -> Scored:
    """Fine-tune the student on traces changed in one way, or not at all, and measure it on unseen larger instances."""
    s, task, policy, rng = lab.size, lab.task(lab.size.large), student(lab), random.Random(lab.seed)
    if change is not None:
        problems = lab.problems(task, "train", s.examples)
        traces = [trace(p) for p in problems]
        said = [change(text, rng, [*traces[:i], *traces[i + 1 :]]) for i, text in enumerate(traces)]
        shown = demonstrations(policy, [(asked(p), text) for p, text in zip(problems, said, strict=True)])
        imitate(lab, policy, shown, steps=s.steps, batch=s.batch, lr=s.lr)
    test = [asked(p) for p in lab.problems(task, "test", s.test)]
    made = attempts(lab, policy, task, test)
    more = {
        "right steps": [t.verdict.parts.get("steps", 0.0) if t.verdict else 0.0 for t in made],
        "steps": [float(len(steps_and_answer(t.response)[0])) for t in made],
    }
    found = scored(test, made)
    return Scored(found.questions, {**found.scores, **more})


RECIPE = Recipe(
    slug="sky-t1",
    paper=Paper(17, arxiv="2502.07374"),
    says="Demonstrations of a search whose steps say wrong things teach more than those whose steps are out of order.",
    arms={
        "correct": partial(learn, change=lambda text, rng, others: text),
        "content-50": partial(learn, change=lambda text, rng, others: replace_names(text, NODES, 0.5, rng)),
        "content-100": partial(learn, change=lambda text, rng, others: replace_names(text, NODES, 1.0, rng)),
        "shuffled": partial(learn, change=lambda text, rng, others: shuffle_steps(text, 0.67, rng)),
        "deleted": partial(learn, change=lambda text, rng, others: delete_steps(text, 0.67, rng)),
        "inserted": partial(learn, change=lambda text, rng, others: insert_steps(text, others, 0.67, rng)),
        "path-only": partial(learn, change=lambda text, rng, others: steps_and_answer(text)[1]),
        "untuned": partial(learn, change=None),
    },
    sizes=SIZES,
    claims=[
        Claim(
            "half of the content corrupted costs less than two thirds of the steps shuffled",
            better="content-50", worse="shuffled", margin=0.03,
            matched=("pretrain_tokens", "optimiser_steps", "trained_tokens"),
            null="untuned", rivals=("path-only", "content-100"),
            paper="average of four benchmarks: 66.3 as they are, 64.2 with half of the digits random, 57.2 shuffled",
        ),
        Claim(
            "and less than two thirds of the steps replaced by steps of other traces",
            better="content-50", worse="inserted", margin=0.03,
            matched=("pretrain_tokens", "optimiser_steps", "trained_tokens"), paper="64.2 against 52.0",
        ),
        Claim(
            "and less than two thirds of the steps deleted",
            better="content-50", worse="deleted", margin=0.03, matched=("pretrain_tokens", "optimiser_steps"),
            paper="64.2 against 53.5",
        ),
        Claim(
            "correct traces of the search teach more than the answers alone",
            better="correct", worse="path-only", margin=0.03, matched=("pretrain_tokens", "optimiser_steps"),
            paper="short solutions of the same problems lower MATH500 from 84.8 to 70.4, where long ones raise it",
        ),
    ],
    seeds=5,
)  # fmt: skip
