"""Reasoning-SQL: text-to-SQL by GRPO with partial rewards that tell one wrong query from another.

Idea
----
A query is right or wrong as a whole, so a weak model's groups are mostly all wrong, and a reward for results says
nothing about them.  But wrong queries differ: some run, some name the right columns, some read almost like the right
one.  Paying for that gives every group something to learn from, while the result stays what pays most.

Algorithm
---------
1. The prompt is a schema and a question; the model reasons, then writes one query.
2. Sample a group of responses.  The reward is a weighted sum of: 3 x the result equals that of the gold query; 1 x it
   runs; 1 x Jaccard index of the tables and columns used with those of the gold query; 1 x that of pairs of
   neighbouring tokens; 1 x reasoning, then one closed fence.  (2 x a language model's grade, only where the result is
   wrong.)
3. GRPO on these rewards.

Departs from the paper
----------------------
A transformer of 200k parameters on questions over made-up schemas of three tables (filters, counts, first few in an
order), in place of Qwen2.5-Coder of 3B to 14B on BIRD.  It knows no SQL, so that a short supervised start comes first,
where the paper has none.  Most queries of that start have lost their condition or order: the policy writes SQL that
runs, and answers a broader question than it was asked, as a weak model does.  There is no judge.  The weights are those
of an independent re-implementation (unverified for the paper).  The reasoning is one sentence that names the table, so
that nothing is said here about reasoning.

Details that matter
-------------------
- The schemas of the test, two of eight, are in no training problem; every seed has a world of its own.  All schemas use
  the same few words.  Questions whose gold query gives nothing, or the same without its filter, are never asked.
- Results are compared on two databases, in order where one was asked for, alike in every arm.
- A right query earns 3, and 1 as it runs, and something for its tables; a wrong one at most 4, and less unless it has
  all columns, all pairs of tokens and the form.  Whoever changes weights must keep that order.
- `shuffled-partials` deals the partial rewards at random among the responses of their group (null).  `ngram-only` pays
  for likeness alone: what hacking the reward looks like.  `sft` imitates gold responses to the same prompts, as many as
  the others sample, in as many steps.
- A start on whole queries left nothing that so few rollouts could teach: on dev problems 20 to 30 steps at 3e-5 to 4e-4
  changed nothing (the accuracy of rollouts stayed at 0.45), at 1e-3 the policy broke.  After the start without
  conditions, 1,920 rollouts at 3e-4 took it from 0 to more than half, with partial rewards and without; where only 15%
  of the start were whole queries, 1,280 rollouts taught neither.
- Seeds are cheaper than questions: one with 500 test questions took 1.75 minutes, one with 200 took 1.04, and their
  effects were spread nearly as widely (3.9 points, in the ledger, for 4.7).
- `groups that teach` is the share of groups whose rewards differ; `executes`, `schema` and `bigrams` are those of the
  greedy test answers.

At full size
------------
`trivium learn --task sql --policy hf:FOLDER --samples 8 --reward SPEC`, where SPEC is

    outcome=3,partial(part=executes)=1,partial(part=schema)=1,partial(part=bigrams)=1,partial(part=reasoned)=1

For the paper's own setting take BIRD, with a judge.  `trivium claim reasoning-sql --size full --policy hf:FOLDER` asks
about the task's six real domains at all levels.

References
----------
Pourreza et al. 2025, arXiv:2503.23157 (abstract; no official code was found).
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from functools import partial

from trivium.claims import Claim
from trivium.lab.bases import given, taught
from trivium.lab.lab import Lab, Scored
from trivium.lab.measure import attempts, scored
from trivium.lab.recipe import Paper, Recipe
from trivium.lab.train import demonstrations, imitate, reinforce, solutions
from trivium.lab.unseen import unseen
from trivium.learn.batch import by_group
from trivium.learn.fit import StepReport
from trivium.policies.local import LocalPolicy
from trivium.rewards.composite import parse_rewards
from trivium.rewards.permuted import permuted_but
from trivium.teach.rollout import Rollouts
from trivium.types import Task

SYNTAX = "outcome=3,partial(part=executes)=1"
PARTIALS = f"{SYNTAX},partial(part=schema)=1,partial(part=bigrams)=1,partial(part=reasoned)=1"
PARTS = ("executes", "schema", "bigrams")
_UNASKED = re.compile(r" (WHERE|ORDER BY) [^\n]+")
"""What a query says of which rows, and in which order."""


@dataclass(frozen=True)
class Size:
    """A supervised start of `lesson` steps on `examples`, a share `blunt` of them without what tells rows apart; then
    `steps` of `prompts` groups of `samples`.

    With `made_up` every seed has a world of schemas of its own.
    """

    task: str = "sql:level=1"
    made_up: bool = True
    model: str = "200k"
    vocab: int = 600
    examples: int = 1000
    blunt: float = 0.7
    lesson: int = 220
    batch: int = 32
    lesson_lr: float = 4e-3
    steps: int = 16
    prompts: int = 8
    samples: int = 8
    lr: float = 3e-4
    imitation_lr: float = 1.5e-3
    max_tokens: int = 56
    test: int = 200


SIZES = {
    "smoke": Size(model="30k", vocab=300, examples=8, lesson=2, steps=2, prompts=2, samples=2, max_tokens=16, test=4),
    "lab": Size(),
    "full": Size("sql", False, steps=300, prompts=64, lr=1e-6, imitation_lr=1e-5, max_tokens=512, test=1000),
}


def start(lab: Lab[Size]) -> tuple[Task, LocalPolicy]:
    """The task of this seed, and the policy after its supervised start, in which most queries have no condition."""
    task = lab.task(f"{lab.size.task},world={lab.seed + 1}" if lab.size.made_up else lab.size.task)

    def make(inner: Lab[Size]) -> LocalPolicy:
        s, rng = inner.size, random.Random(inner.seed)
        shown = [
            (problem, _UNASKED.sub("", text) if rng.random() < s.blunt else text)
            for problem, text in solutions(inner.problems(task, "train", s.examples))
        ]
        return taught(inner, shown, s.model, s.lesson, s.batch, s.lesson_lr, s.vocab)

    return task, given(lab.policy_spec) if lab.policy_spec else lab.policy("start", make)


def learn(lab: Lab[Size], *, pay: str = "", shuffled: bool = False) -> Scored:
    """GRPO with a reward, or nothing at all; `shuffled` deals all but the outcome at random."""
    s, (task, policy) = lab.size, start(lab)
    taught: list[bool] = []

    def watch(step: int, drawn: Rollouts, report: StepReport | None) -> None:
        teach = [len({rollout.reward for rollout in group}) > 1 for group in by_group(drawn.rollouts)]
        taught.extend(teach)
        lab.at("groups that teach", step, sum(teach) / max(1, len(teach)))
        lab.at("accuracy of rollouts", step, drawn.mean("accuracy"))

    if pay:
        asked, reward = unseen(lab, task, s.steps * s.prompts), parse_rewards(pay, max_tokens=s.max_tokens)
        reinforce(
            lab, policy, task, steps=s.steps, prompts=s.prompts, samples=s.samples, lr=s.lr, max_tokens=s.max_tokens,
            reward=permuted_but(reward, "outcome") if shuffled else reward,
            choose=lambda step: asked[step * s.prompts :][: s.prompts], watch=watch,
        )  # fmt: skip
        lab.charge("responses", s.steps * s.prompts * s.samples)
        lab.note(groups_that_teach=sum(taught) / max(1, len(taught)))
    return measured(lab, task, policy)


def sft(lab: Lab[Size]) -> Scored:
    """Imitate gold responses to the prompts of the others: as many responses, in as many steps."""
    s, (task, policy) = lab.size, start(lab)
    shown = demonstrations(policy, solutions(unseen(lab, task, s.steps * s.prompts)))
    imitate(lab, policy, shown, steps=s.steps, batch=s.prompts * s.samples, lr=s.imitation_lr)
    lab.charge("responses", s.steps * s.prompts * s.samples)
    return measured(lab, task, policy)


def measured(lab: Lab[Size], task: Task, policy: LocalPolicy) -> Scored:
    """Greedy answers to the test questions: whether their results are right, and how near the queries come."""
    problems = lab.problems(task, "test", lab.size.test)
    traces = attempts(lab, policy, task, problems, max_tokens=lab.size.max_tokens)
    made, verdicts = scored(problems, traces), [trace.verdict for trace in traces]
    parts = {part: [v.parts.get(part) if v else 0.0 for v in verdicts] for part in PARTS}
    return Scored(made.questions, {**made.scores, **parts})


EQUAL = ("pretrain_tokens", "responses", "optimiser_steps")
RECIPE = Recipe(
    slug="reasoning-sql",
    paper=Paper(47, arxiv="2503.23157"),
    says="Partial rewards for running, schema, likeness and form beat a reward for results alone, at equal rollouts.",
    arms={
        "warm-start": learn,
        "execution": partial(learn, pay="outcome"),
        "syntax": partial(learn, pay=SYNTAX),
        "partials": partial(learn, pay=PARTIALS),
        "shuffled-partials": partial(learn, pay=PARTIALS, shuffled=True),
        "ngram-only": partial(learn, pay="partial(part=bigrams)"),
        "sft": sft,
    },
    sizes=SIZES,
    claims=[
        Claim(
            "GRPO with partial rewards beats GRPO with a reward for results alone, on schemas it has not seen",
            better="partials", worse="execution", margin=0.03, matched=EQUAL, null="shuffled-partials",
            rivals=("syntax", "ngram-only", "sft"),
            paper="partial rewards beat execution accuracy alone on BIRD; by how much is unverified here",
        ),
        Claim(
            "it beats imitating gold responses to the same prompts",
            better="partials", worse="sft", margin=0.03, matched=EQUAL,
            paper="reinforcement alone is more accurate than fine-tuning on the same data, and carries over better",
        ),
        Claim(
            "paying for likeness alone makes queries alike",
            better="ngram-only", worse="execution", metric="bigrams", margin=0.02, matched=EQUAL,
            paper="not reported there",
        ),
        Claim(
            "but not right: paying for results as well is worth more",
            better="partials", worse="ngram-only", margin=0.03, matched=EQUAL, paper="not reported there",
        ),
    ],
    seeds=15,
    tried=9,
)  # fmt: skip
