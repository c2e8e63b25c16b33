"""DUMP: a bandit draws each training problem from the source whose rollouts have the largest advantages.

Idea
----
Data for reinforcement learning comes from sources of different difficulty.  Those that the policy has mastered and
those it cannot solve at all have advantages of 0 and teach nothing, so the size of the advantages says where learning
is possible now, and moves from easy to hard by itself.

Algorithm
---------
1. For every source d keep the last |A| of its rollouts (a window) and the number n_d of its rollouts so far.
2. Score_d = mean of the window + sqrt(2 ln(n + 1) / (n_d + 1)), n being the sum of all n_d.
3. Draw the source of every prompt of the step from softmax(score / tau), and then a prompt of that source.
4. One GRPO step; its advantages go into the windows.

Departs from the paper
----------------------
Sources are sums of 4 to 9 terms for a 200k-parameter model that was taught mostly short ones, in place of Knights and
Knaves with 3 to 14 people for a 7B model.  The reward is 1 or 0, without format terms and without KL.  The window is 64
rollouts instead of 300, as a step has 128 rollouts and not 2,048.  Left out: other data sets, a bandit on the loss, and
an oracle that knows every source's pass rate.

Details that matter
-------------------
- Every source weighs the same in the accuracy that is reported, whatever was drawn in training, and only training
  rollouts reach the bandit.  (The released code feeds it rewards on its validation set, which is the test set, too.)
- Equal are optimiser steps and rollouts, not sampled tokens: harder sums are longer, and who draws them samples more.
- With z-scored advantages of a 0/1 reward the mean of |A| is about 2 sqrt(p(1-p)): difficulty filtering by source.
- `shuffled` gives the |A| of every prompt to another one of the step (null).  Where rollouts were merely shuffled, one
  in 16 came back to its own prompt: scores kept a sixteenth of their differences, up to 1.8 times the draws at this
  tau.  `greedy` is tau 0; `easy-to-hard` opens one source after the other at equal intervals and draws evenly from
  those that are open.
- |A| is high for noise as well: wrong labels or answers that can be guessed would look like much to learn.

At full size
------------
`trivium claim dump --size full --policy hf:FOLDER`; for the paper's own setting take Knights and Knaves by number of
people (`gym:` tasks) as sources, 128 prompts of 16 rollouts a step, window 300, tau 0.1, rate 1e-6.

References
----------
Wang et al. 2025, arXiv:2504.09710 (sections 3 and 4); code ZhentingWang/DUMP (curriculum module).
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import partial
from typing import Literal

from trivium.claims import Claim
from trivium.data.curriculum import SourceBandit
from trivium.data.pool import Pool
from trivium.lab.bases import Lesson, base
from trivium.lab.lab import Lab, Scored
from trivium.lab.measure import attempts, greedy_accuracy, right
from trivium.lab.recipe import Paper, Recipe
from trivium.lab.train import reinforce
from trivium.learn.batch import step_batch
from trivium.learn.fit import StepReport
from trivium.learn.policy_gradient import grpo
from trivium.teach.rollout import Rollouts
from trivium.types import Problem

SHORT, ALL = "sums:terms=4,min_terms=3,digits=1,ops=+", "sums:terms=9,min_terms=3,digits=1,ops=+"


@dataclass(frozen=True)
class Size:
    """One source for each number of `terms`; `steps` of `prompts` groups of `samples`; `test` problems a source."""

    lesson: Lesson = Lesson((SHORT, ALL), "200k", 3000, 400, lr=5e-3)
    terms: tuple[int, ...] = (4, 5, 6, 7, 8, 9)
    prompts: int = 16
    samples: int = 8
    steps: int = 60
    lr: float = 3e-5
    window: int = 64
    temperature: float = 0.1
    test: int = 85


SIZES = {
    "smoke": Size(Lesson((SHORT,), "30k", 16, 2, 8), (4, 5), 2, 2, 2, test=4),
    "lab": Size(),
    "full": Size(prompts=128, samples=16, steps=500, lr=1e-6, window=300, test=200),
}


def learn(
    lab: Lab[Size],
    *,
    order: Literal["bandit", "uniform", "easy-to-hard"] = "bandit",
    greedy: bool = False,
    shuffled: bool = False,
) -> Scored:
    """GRPO with prompts from the sources in some order; accuracy over all sources at the end and halfway."""
    s, rng = lab.size, random.Random(f"{lab.seed}/order")
    tasks = [lab.task(f"sums:terms={terms},digits=1,ops=+") for terms in s.terms]
    pools, dealt = [Pool(task, lab.seed) for task in tasks], [0] * len(tasks)
    bandit = SourceBandit(len(tasks), lab.seed, s.window, 0.0 if greedy else s.temperature)
    test = [problem for task in tasks for problem in lab.problems(task, "test", s.test)]
    policy, objective = base(lab, s.lesson), grpo()
    cap = tasks[-1].max_tokens // 2  # a solution needs less
    asked: list[int] = []
    halfway: list[float | None] = []

    def choose(step: int) -> list[Problem]:
        opened = 1 + step * len(tasks) // s.steps if order == "easy-to-hard" else len(tasks)
        asked[:] = bandit.draw(s.prompts, step) if order == "bandit" else rng.choices(range(opened), k=s.prompts)
        lab.at("mean terms drawn", step, sum(s.terms[source] for source in asked) / s.prompts)
        problems = []
        for source in asked:
            problems += pools[source].take(dealt[source], 1)
            dealt[source] += 1
        return problems

    def watch(step: int, drawn: Rollouts, report: StepReport | None) -> None:
        lab.charge("rollouts", len(drawn.traces))
        sizes = objective.advantages(step_batch(drawn.rollouts)).abs().tolist()
        if shuffled:
            other = s.samples * rng.randrange(1, s.prompts)
            sizes = sizes[other:] + sizes[:other]
        for rollout, size in zip(drawn.rollouts, sizes, strict=True):
            bandit.observe(asked[rollout.group], [size])
        lab.at("accuracy of rollouts", step, drawn.mean("accuracy"))
        if step == s.steps // 2:
            halfway[:] = [right(trace) for trace in attempts(lab, policy, tasks[-1], test, max_tokens=cap)]

    reinforce(
        lab, policy, tasks[-1], steps=s.steps, prompts=s.prompts, samples=s.samples, lr=s.lr,
        max_tokens=cap, objective=objective, choose=choose, watch=watch,
    )  # fmt: skip
    lab.note(**{f"drawn_{terms}_terms": float(n) for terms, n in zip(s.terms, dealt, strict=True)})
    end = greedy_accuracy(lab, policy, tasks[-1], test, max_tokens=cap)
    return Scored(end.questions, {**end.scores, "accuracy halfway": halfway})


BUDGET = ("pretrain_tokens", "optimiser_steps", "rollouts")
RECIPE = Recipe(
    slug="dump",
    paper=Paper(106, arxiv="2504.09710"),
    says="Drawing problems from the sources with the largest advantages beats drawing evenly, over all sources alike.",
    arms={
        "uniform": partial(learn, order="uniform"),
        "dump": learn,
        "greedy": partial(learn, greedy=True),
        "easy-to-hard": partial(learn, order="easy-to-hard"),
        "shuffled": partial(learn, shuffled=True),
    },
    sizes=SIZES,
    claims=[
        Claim(
            "sources drawn by the size of their advantages beat sources drawn evenly, at equal steps and rollouts",
            better="dump", worse="uniform", margin=0.02, matched=BUDGET, null="shuffled",
            rivals=("easy-to-hard", "greedy"),
            paper="higher answer rewards on Knights and Knaves, most with 6 to 12 people; 0.90 to 1.17 on 15 sets",
        ),
        Claim(
            "and learn faster: they are ahead after half of the steps",
            better="dump", worse="uniform", margin=0.02, metric="accuracy halfway", matched=BUDGET, null="shuffled",
            paper="faster convergence than uniform mixing",
        ),
    ],
    seeds=8,
    tried=6,
)  # fmt: skip
