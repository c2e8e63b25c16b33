"""Long-to-short merging: averaging the weights of a slow, checking model and a quick one shortens chains for free.

Idea
----
Fine-tune one base twice: to answer quickly, and to think slowly with every step checked.  Both stay close to the base,
so their weights can be mixed.  Some mixture keeps the slow model's accuracy and drops most of its ritual, without any
training: the only cost is trying a few mixtures on dev problems.

Algorithm
---------
1. dQ = quick - base and dS = slow - base, in float32.
2. Make mixtures: base + t dQ + (1 - t) dS (t = 0.5 is the average); base + a (dQ + dS), task arithmetic; base + a
   TIES(dQ, dS); base + a (DARE(dQ) + DARE(dS)).
3. Answer dev problems with each of them.  Of those at most `slack` below the slow model's dev accuracy take the one
   whose right answers are shortest.

Departs from the paper
----------------------
A 200k-parameter base that has seen sums worked in three forms (results only, equations, equations with a check and
now and then a slip that the check reveals), each line in a form of its own, in place of Qwen2.5; quick writes equations
only, slow checks every line.  Low-rank, activation-informed (AIM) and sensitivity-based (Sens) merging are left out:
their formulas could not be verified.  DPO is the trained baseline, as in the paper.

Details that matter
-------------------
- Length is a right answer's tokens against those of the chain written in full, and 1 for a wrong answer: one that
  breaks off saves nothing.
- On dev problems, with one seed, the line from slow to quick sags in its middle: 95% right with chains in full, 89% at
  the half, 94% at quick's end, where mixtures are as short as quick.  With chains sampled at temperature 1, slow was
  less accurate than quick; with a quick model that writes results alone (18%), no mixture was short and accurate.
- Read the verdict with its rival `quick`: mixtures chosen lie at seven to nine tenths of the way to it, and alone it is
  as short and, with three of four seeds, more accurate than slow.  What the paper promises beyond that, slow's
  advantage at quick's length, needs a task on which thinking slowly pays, and none was found at this size.
- `permuted` adds to the slow model the same step towards the quick one with its entries shuffled (null).  `shrunk`
  mixes the slow model with the base alone, `retuned` fine-tunes it on quick answers, `dpo` prefers quick right answers
  to slow right ones, `cut` stops it early and asks for the answer: each is chosen by the same rule on dev; `permuted`,
  `shrunk` and `terse-merged` from five points of the grid, up to 0.75, the mixtures of slow and quick from all of it.
- TIES ranks entries over the whole vector, as published; the paper's code trims tensor by tensor and names the share
  that is removed.
- `terse-merged` takes a quick model that states answers only and is far weaker: the case in which the paper says
  merging fails.

At full size
------------
`trivium claim long-to-short --size full --policy hf:FOLDER` tunes quick and slow from a checkpoint.  With models that
are already there, `trivium.models.merge` on their state dicts is all it takes.  Evaluate with caps of 10k tokens.

References
----------
Wu et al. 2025, arXiv:2503.20641; code hahahawu/Long-to-Short-via-Model-Merging.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from trivium.claims import Claim
from trivium.data.forms import Form, in_form
from trivium.data.pairs import shorter_pairs
from trivium.lab.bases import Lesson, given, schooled
from trivium.lab.lab import Lab, Scored
from trivium.lab.measure import attempts, scored
from trivium.lab.recipe import Paper, Recipe
from trivium.lab.select import cheapest, put, weights
from trivium.lab.train import demonstrations, imitate, prefer
from trivium.models.merge import Way, mixture
from trivium.policies.local import LocalPolicy
from trivium.search.driver import Method
from trivium.search.early_answer import early_answer
from trivium.search.vote import vote
from trivium.types import Problem, Split

FORMS: dict[str, Form] = {"base": "mixed", "quick": "plain", "slow": "checked"}
LINE = [Way("line", t / 20) for t in (*range(6, 16), 18)]
TIES = [Way("ties", keep, scale) for keep in (0.2, 0.5, 0.8) for scale in (0.7, 1.0)]
GRID = [*LINE, *TIES, Way("sum", scale=0.7), Way("sum"), Way("dare", 0.3, 0.5), Way("dare", 0.3, 0.7)]
PAIRS = 16


@dataclass(frozen=True)
class Size:
    """A base taught a lesson; quick and slow tuned from it for `tuning` steps; the share of `slips` in checked lines.

    Mixtures are chosen on `dev` problems with `slack` in accuracy; teaching the slow model to be quick is tried after
    each of `checks` times `chunk` steps.  Answers are sampled at `temperature`.
    """

    lesson: Lesson = Lesson(("sums:terms=5,min_terms=2,digits=1",), "200k", 6000, 800, 32, 5e-3)
    slips: float = 0.1
    tuning: int = 100
    rate: float = 3e-4
    checks: int = 6
    chunk: int = 10
    slack: float = 0.02
    temperature: float = 0.0
    dev: int = 200
    test: int = 400


SIZES = {
    "smoke": Size(Lesson(("sums:terms=2,digits=1",), "30k", 8, 2, 4), tuning=2, checks=1, chunk=1, dev=2, test=4),
    "lab": Size(),
    "full": Size(tuning=1000, rate=1e-5, checks=10, chunk=100, temperature=0.6, dev=500, test=1000),
}


def said(problem: Problem, kind: str, rng: random.Random, slips: float = 0.0) -> str:
    """A sum as a kind of model works it; `terse` states the answer alone."""
    worked = f"{in_form(str(problem.solution), FORMS[kind], rng, slips)}\n" if kind in FORMS else ""
    return f"{worked}#### {problem.gold}"


def model(lab: Lab[Size], kind: str) -> LocalPolicy:
    """A fresh copy of the base, or of one tuned from it: `quick`, `slow`, `terse`."""

    def make(inner: Lab[Size]) -> LocalPolicy:
        s, lesson, rng = inner.size, inner.size.lesson, random.Random(inner.seed)
        n, offset = (lesson.examples, 0) if kind == "base" else (s.tuning * lesson.batch // 3, 100)
        problems = inner.problems(lesson.tasks[0], "train", n, seed=inner.seed + offset)
        shown = [(p, said(p, kind, rng, s.slips)) for p in problems]
        if kind == "base":
            return schooled(inner, lesson, shown)
        policy = model(inner, "base")
        imitate(inner, policy, demonstrations(policy, shown), steps=s.tuning, batch=lesson.batch, lr=s.rate)
        return policy

    return given(lab.policy_spec) if kind == "base" and lab.policy_spec else lab.policy(kind, make)


def measured(lab: Lab[Size], policy: LocalPolicy, split: Split = "test", most: int | None = None) -> Scored:
    """Accuracy, tokens, and `length`: the tokens of a right answer as a share of those of the chain in full, else 1.

    One sampled answer to each problem; with `most`, stopped after so many tokens and asked for it.
    """
    heat, task = lab.size.temperature, lab.task(lab.size.lesson.tasks[0])
    method: Method = partial(vote, n=1, temperature=heat)
    if most is not None:
        method = partial(early_answer, most=most, temperature=heat)
    problems = lab.problems(task, split, lab.size.test if split == "test" else lab.size.dev)
    found = scored(problems, attempts(lab, policy, task, problems, method, unit=f"{split}_tokens"))
    full = [len(policy.encode_response(said(p, "slow", random.Random(0)))) for p in problems]
    rows = zip(found.scores["accuracy"], found.scores["tokens"], full, strict=True)
    return Scored(found.questions, {**found.scores, "length": [(t or 0.0) / n if a else 1.0 for a, t, n in rows]})


def alone(lab: Lab[Size], kind: str) -> Scored:
    return measured(lab, model(lab, kind))


def chosen(lab: Lab[Size], found: Sequence[Scored]) -> int:
    """The place of the shortest that is about as accurate as the first, which is the slow model alone."""
    best = cheapest(found, metric="length", slack=lab.size.slack)
    lab.note(chosen=best)
    return best


def merged(lab: Lab[Size], quick: str = "quick", ways: Sequence[Way] = GRID) -> Scored:
    """The mixture of the slow model and another that is chosen on dev."""
    policy, base, *both = model(lab, "slow"), *(weights(model(lab, kind)) for kind in ("base", quick, "slow"))

    def mixed(way: Way | None) -> LocalPolicy:
        put(policy, mixture(base, both, way) if way else both[-1])
        return policy

    def dev(inner: Lab[Size]) -> list[Scored]:
        return [measured(inner, mixed(way), "dev") for way in (None, *ways)]

    best = chosen(lab, lab.data(f"dev-{quick}-{ways[0].family}-{len(ways)}", dev))
    return measured(lab, mixed(ways[best - 1] if best else None))


def trained(lab: Lab[Size], how: str) -> Scored:
    """The slow model taught to be quick, by DPO or by imitation, tried on dev after every chunk of steps."""
    s, policy, task = lab.size, model(lab, "slow"), lab.task(lab.size.lesson.tasks[0])
    states, found = [weights(policy)], [measured(lab, policy, "dev")]
    for check in range(s.checks):
        problems = lab.problems(task, "train", s.chunk * PAIRS, seed=lab.seed + 200 + check)
        if how == "dpo":
            both = [attempts(lab, model(lab, k), task, problems, unit="sampled_tokens") for k in ("quick", "slow")]
            prefer(lab, policy, shorter_pairs(*both), steps=s.chunk, batch=PAIRS, lr=s.rate / 5)
        else:
            shown = [(p, said(p, "quick", random.Random(0))) for p in problems]
            imitate(lab, policy, demonstrations(policy, shown), steps=s.chunk, batch=PAIRS, lr=s.rate)
        states.append(weights(policy))
        found.append(measured(lab, policy, "dev"))
    put(policy, states[chosen(lab, found)])
    return measured(lab, policy)


def cut(lab: Lab[Size]) -> Scored:
    """The slow model stopped at a length and asked for its answer; the length is chosen on dev."""
    policy, longest = model(lab, "slow"), lab.task(lab.size.lesson.tasks[0]).max_tokens
    ways = [None, *(longest * i // 10 for i in range(1, 10))]
    return measured(lab, policy, most=ways[chosen(lab, [measured(lab, policy, "dev", way) for way in ways])])


RECIPE = Recipe(
    slug="long-to-short",
    paper=Paper(90, arxiv="2503.20641"),
    says="Mixing the weights of a slow and a quick model keeps the slow one's accuracy with shorter answers.",
    arms={
        "slow": partial(alone, kind="slow"), "quick": partial(alone, kind="quick"), "merged": merged,
        "average": partial(merged, ways=[Way("line")]), "shrunk": partial(merged, quick="base", ways=LINE[1::2]),
        "permuted": partial(merged, ways=[Way("permuted", way.amount) for way in LINE[1::2]]), "cut": cut,
        "dpo": partial(trained, how="dpo"), "retuned": partial(trained, how="imitate"),
        "terse-merged": partial(merged, quick="terse", ways=LINE[1::2]),
    },
    sizes=SIZES,
    claims=[
        Claim("merging saves more than 30% of a chain written in full, wrong answers saving nothing", "merged", "slow",
              0.3, "length", ("pretrain_tokens",), "permuted", ("quick", "shrunk", "cut", "dpo", "retuned"),
              "7B: task arithmetic -48.7%, TIES -53.0% of the slow model's length", lower=True),
        Claim("and loses at most 3 points of the slow model's accuracy", "merged", "slow", -0.03, "accuracy",
              ("pretrain_tokens",), rivals=("quick", "shrunk", "cut", "dpo", "retuned"),
              paper="7B: task arithmetic 53.5, TIES 54.8 against 54.5"),
        Claim("a far weaker quick model spoils it: merging with one that only states answers saves less", "merged",
              "terse-merged", 0.1, "length", ("pretrain_tokens",), lower=True,
              paper="1.5B: only sensitivity-based merging keeps the accuracy"),
    ],
    seeds=4,
    tried=13,
)  # fmt: skip
