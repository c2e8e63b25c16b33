"""SMART: a model learns from its own later tries which strategy to try first, by pretending that they had been first.

Idea
----
A model that may try again with another strategy finds out which one a question wants.  If the late success is attached
to the question itself, as though nothing had failed before it, the next model chooses that strategy at once, and no
separate selector is needed.

Algorithm
---------
1. A try is a strategy and a solution by it, both written by the same model: in words; least to most (first what must be
   known, then words); or a program.
2. Round 1: try strategies in random order until one is right.  Later rounds: the model's own choice first; where that
   is wrong, one of the strategies that were not tried yet.
3. Implicit biasing: keep the last try of every solved question, drop the failed ones before it, and imitate it as an
   answer to the question alone.  With a 0/1 reward this is the policy gradient on current samples.
4. Four rounds; each goes on from the weights of the last with what it has just sampled.

Departs from the paper
----------------------
A small transformer on chained sums in place of 7B models on GSM8K; it was shown all three strategies on questions drawn
by chance, where the paper has 8 worked examples of each in round 1.  Retries do not see the failed try, which this base
could not read.  Each round has new questions.  Ties, rates, tries and rounds are unverified in the paper: here the
first success in the order of trying is kept, which favours no strategy in round 1.

Details that matter
-------------------
- `rft-best` is what reviews of the paper missed: the same loop with the one strategy that is best on dev.  `rft-any`
  draws strategies by chance.  All loops have as many tries (right, wrong and repeated ones) and optimiser steps.  A
  solved question takes fewer tries, so a loop that succeeds sees more questions, each of them a label.  At the rate at
  which choices are learned, imitating oneself spoils the solutions: `rft-best`, which has nothing to choose, has a
  lower one, the best for it of those tried on dev.
- `no-biasing` learns every success where it happened: after its failed tries, which it reads and does not imitate.
  `router` learns to name the strategy that worked and leaves the solver as it was: what selection alone brings.
  `shuffled` retries and keeps by other questions' verdicts (null): it lacks the filter for right solutions too.
- Accuracy is that of one greedy first try.  Each result also has every strategy's accuracy when it is forced, that of
  any of them (`any`, a ceiling), and `suits`: how often the choice is right where one of the three is.  Notes say how
  often each is chosen, and the choice's entropy, as a policy may collapse onto one.
- Half of all training questions are set aside for the tries (`lab.ways.aside`).  In the ledger's lines of 2026-11-26
  and before, tries were at what the lesson had left over, where late products were rare and large numbers common.
- Programs fail on names and, silently, on products that come late; words fail on large numbers, and more often on names
  than parts first.  Questions with a name and large numbers are beyond all three.

At full size
------------
`trivium claim smart --size full --policy hf:FOLDER` on these sums.  The paper's own setting is GSM8K (SVAMP and ASDiv
to transfer to) with LoRA on Gemma 7B or Mistral 7B and programs run in a sandbox: `trivium solve program-of-thought`
and `trivium solve least-to-most` are those strategies for any policy.

References
----------
Liu et al. 2024, arXiv:2410.16128.  The repository kumar-shridhar/SMART holds no code; the objective is reconstructed
from the abstract, a README of the authors' code and public reviews.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from trivium.claims import Claim
from trivium.lab.bases import Lesson
from trivium.lab.lab import Lab, Scored
from trivium.lab.recipe import Paper, Recipe
from trivium.lab.train import imitate
from trivium.lab.ways import Tried, aside, best_way, every_way, marked, named, retried, skilled, success, tried
from trivium.policies.local import LocalPolicy
from trivium.tasks.ways import Ways
from trivium.types import Problem

TASK = Ways(steps=2, named=0.3, big=0.2)
STRATEGIES = ("w", "rw", "p")
"""In words; parts first, then words; a program."""
SHOWN = ("w", "w", "rw", "rw", "p")
"""What the base is shown alike, whatever the question: words most often, as arithmetic takes most learning."""
MATCHED = ("pretrain_tokens", "tries", "optimiser_steps")
How = Literal["own", "best", "any"]
Choose = Callable[[Sequence[Tried]], str]
"""The strategy of the next try from those before it; '' leaves it to the model."""


@dataclass(frozen=True)
class Size:
    """`rounds` of `tries` in all, at most `most` a question, and of `steps` of `batch` on what was right.

    `alone_lr` is for one strategy alone.
    """

    task: Ways = TASK
    lesson: Lesson = Lesson((), "100k", 6000, 2000, 32, 5e-3)
    rounds: int = 4
    tries: int = 900
    most: int = 3
    temperature: float = 0.3
    steps: int = 100
    batch: int = 32
    lr: float = 5e-4
    alone_lr: float = 1.5e-4
    dev: int = 300
    test: int = 500


SIZES = {
    "smoke": Size(TASK, Lesson((), "30k", 16, 2, 8), 1, 6, steps=2, batch=2, dev=2, test=2),
    "lab": Size(),
    "full": Size(
        lesson=Lesson((), "100k", 20_000, 2000, 32, 2e-5), tries=8000, steps=250, lr=1e-5, alone_lr=1e-5, test=1000
    ),
}


def base(lab: Lab[Size]) -> LocalPolicy:
    """A fresh copy of the model that can follow every strategy and has no reason to suit one to a question."""
    return skilled(lab, lab.size.task, lab.size.lesson, SHOWN)


def best(lab: Lab[Size]) -> str:
    """The strategy that the base is best with on dev problems."""
    s = lab.size
    return best_way(lab, base(lab), s.task, lab.problems(s.task, "dev", s.dev), STRATEGIES)


def untried(rng: random.Random, had: Sequence[Tried], free: bool = False) -> str:
    """A strategy not tried on the question yet, drawn by chance; the first time, if `free`, the model's own choice."""
    return "" if free and not had else rng.choice([w for w in STRATEGIES if w not in {one.way for one in had}])


def round_of(
    lab: Lab[Size], policy: LocalPolicy, number: int, pool: list[Problem], choose: Choose,
    shuffle: random.Random | None = None,
) -> list[tuple[Problem, list[Tried]]]:  # fmt: skip
    """Tries at questions taken from the pool, until the round's are used up."""
    s, done, left = lab.size, list[tuple[Problem, list[Tried]]](), lab.size.tries
    while left >= s.most:
        problems = pool[: left // s.most]
        del pool[: len(problems)]
        had = retried(
            lab, policy, s.task, problems, choose, most=s.most, temperature=s.temperature,
            seed=1 + 1000 * number + len(done), shuffle=shuffle,
        )  # fmt: skip
        left -= sum(map(len, had))
        done += zip(problems, had, strict=True)
    lab.at("first tries that are right by round", number + 1, sum(had[0].right for _, had in done) / len(done))
    return done


def learn(lab: Lab[Size], how: How = "own", biased: bool = True, shuffled: bool = False) -> Scored:
    """Rounds of tries and of imitating those that were right."""
    s, policy, rng = lab.size, base(lab), random.Random(lab.seed)
    alone, pool = lab.data("best", best) if how == "best" else "", aside(lab, s.task, s.rounds * s.tries)
    for number in range(s.rounds):
        ways: dict[How, Choose] = {
            "own": partial(untried, rng, free=number > 0), "best": lambda had: alone,
            "any": lambda had: rng.choice(STRATEGIES),
        }  # fmt: skip
        done = round_of(lab, policy, number, pool, ways[how], rng if shuffled else None)
        shown = [success(policy, problem, had, first=biased) for problem, had in done if had[-1].right]
        imitate(lab, policy, shown, steps=s.steps, batch=s.batch, lr=s.alone_lr if how == "best" else s.lr)
    return measured(lab, policy, [alone] * s.test, forced(lab, policy))  # '' where it chooses


def routed(lab: Lab[Size]) -> Scored:
    """A copy of the base learns to name the strategy that was right; the base itself solves, as it was."""
    s, policy, choose = lab.size, base(lab), partial(untried, random.Random(lab.seed))
    pool = aside(lab, s.task, s.rounds * s.tries)
    done = [one for number in range(s.rounds) for one in round_of(lab, policy, number, pool, choose)]
    shown = [(problem, had[-1].way) for problem, had in done if had[-1].right]
    problems, steps = lab.problems(s.task, "test", s.test), s.rounds * s.steps
    chosen, told = named(lab, base(lab), s.task, shown, problems, STRATEGIES, steps=steps, batch=s.batch, lr=s.lr)
    return measured(lab, policy, chosen, lab.data("forced", forced), told)


def unchanged(lab: Lab[Size], fixed: bool) -> Scored:
    """The base as it is, with the best strategy or its own choice."""
    alone = lab.data("best", best) if fixed else ""
    return measured(lab, base(lab), [alone] * lab.size.test, lab.data("forced", forced))


def forced(lab: Lab[Size], policy: LocalPolicy | None = None) -> list[list[Tried]]:
    """One greedy try at every test question by each strategy; without a policy those of the base."""
    s, asked = lab.size, policy or base(lab)
    return every_way(lab, asked, s.task, lab.problems(s.task, "test", s.test), STRATEGIES, unit="measuring_tokens")


def measured(
    lab: Lab[Size], policy: LocalPolicy, ways: Sequence[str], by_each: list[list[Tried]], before: Sequence[Tried] = ()
) -> Scored:
    """One greedy try at every test question, by the strategy named for it, '' being its own choice; and `by_each`."""
    s, problems = lab.size, lab.problems(lab.size.task, "test", lab.size.test)
    said = tried(lab, policy, s.task, problems, ways, unit="test_tokens")
    possible = [any(one.right for one in row) for row in zip(*by_each, strict=True)]
    scored, chosen = marked(problems, said, before), Counter(one.way for one in said)
    lab.note(entropy=-math.fsum(n / s.test * math.log(n / s.test) for n in chosen.values()))
    lab.note(**{f"chose {way}": chosen[way] / s.test for way in STRATEGIES})
    more: dict[str, list[float | None]] = {
        f"forced {way}": [float(one.right) for one in row] for way, row in zip(STRATEGIES, by_each, strict=True)
    }
    more["any"] = [float(can) for can in possible]
    more["suits"] = [float(one.right) if can else None for one, can in zip(said, possible, strict=True)]
    return Scored(scored.questions, {**scored.scores, **more})


RECIPE = Recipe(
    slug="smart",
    paper=Paper(125, arxiv="2410.16128"),
    says="A model that imitates its late successes as if they had come first learns which strategy to try first.",
    arms={
        "base": partial(unchanged, fixed=False), "fixed": partial(unchanged, fixed=True), "smart": learn,
        "no-biasing": partial(learn, biased=False), "rft-best": partial(learn, how="best"),
        "rft-any": partial(learn, how="any"), "router": routed, "shuffled": partial(learn, shuffled=True),
    },
    sizes=SIZES,
    claims=[
        Claim("learning which strategy to try first beats training on own solutions by the best single strategy",
              "smart", "rft-best", 0.03, "accuracy", MATCHED, "shuffled", ("rft-any", "router", "fixed", "base"),
              "15 points on GSM8K, compared with untrained strategies; training by one strategy is not compared"),
        Claim("attaching late successes to the question beats learning them after the failed tries", "smart",
              "no-biasing", 0.02, "accuracy", MATCHED, paper="not known to be compared there"),
        Claim("choosing and solving learned together beat a router in front of the untrained solver", "smart",
              "router", 0.02, "accuracy", MATCHED, paper="not compared there"),
    ],
    seeds=5,
    tried=9,
)  # fmt: skip
