"""ReConcile: different models say how sure they are, discuss until they agree, and vote by how sure they are then.

Idea
----
Copies of one model make the same mistakes, so that talking among themselves helps little.  Models that learned
different things err on different questions.  If each says how sure it is, shows its work, and reads that of the others,
whoever knows can be believed, and those who do not know can be put right.

Algorithm
---------
1. Every agent answers with its work and a confidence p.
2. While answers differ, for at most two rounds: each agent reads how many hold each answer, all work and confidences,
   and convincing samples: solved training questions on which a solution put another agent's wrong answer right.  It
   answers anew, with a new confidence.
3. Sum f(p) for each answer: f is 1 at p = 1, 0.8 from 0.9, 0.5 from 0.8, 0.3 above 0.6, else 0.1.  The largest wins.

Departs from the paper
----------------------
ChatGPT, Bard and Claude2 are prompted; here three transformers go on from one that learned a little of three kinds of
sums, as large models learn much the same at first, each half of the time from one kind and a quarter from each other.
What an instructed model can do when told they are taught: replies with a confidence above the work, and discussions
made up by program, in which speakers are right as often as they say.  The confidence they learn to state is their own
accuracy on held-out training questions of the same signs and length, in tenths: it stands above the work, and is
calibrated, where that of a prompted model is too high.
After a discussion they still state how good they are alone.  All answers are shown, where the released code drops all
but the two most common.  Convincing samples are not shown in the first round, as they are in that code.  Not here:
three models that differ in their first weights alone, and one model that learned all kinds equally.

Details that matter
-------------------
- Every arm may make nine calls a question (`calls_allowed`).  A table stops when it agrees, as in the paper; the votes
  `majority` and `weighted` (three samples of each model) and `best-alone` (nine of the best on dev) take all nine.
- `copies` is the same table with three seats of the best model, its convincing samples included.
- `hearsay` is the null arm: the same three models are told what made-up speakers say of another question, and the
  confidences behind the votes are drawn at random.  Told of another question they answer that one: the arm is far below
  a plain vote, and to be above it says little.
- `no-confidences` tells every confidence as 0.5, which a quarter of the made-up discussions do, and votes unweighted;
  `no-samples` leaves out the convincing samples, which half of those discussions do.
- `members` is the mean accuracy of the agents' last replies.  The notes have that of their first, and the share of
  questions that talk lost (`spoiled`: a vote on first replies right, the table wrong) and won (`mended`); `calls` tell
  how soon tables agree.  Who gives no readable answer abstains.
- Reading takes longer to learn than sums, and is soon forgotten.  On dev problems the common start, told the right
  solution beside its own, mended 45 of 106 errors after 400 steps and 50 of 81 after 800; an agent that went on for 350
  steps with a quarter of discussions mended 12 of 57.  So half of what agents go on with is discussions.
- The discussions to learn from and the convincing samples are made of training questions alone.  Seats are in the order
  of dev accuracy, which breaks ties.
- The task has few questions: those of 20 seeds are the same ones again and again.  Intervals of lines of the ledger
  without `questions` do not know it, and may be too narrow.

At full size
------------
Any three policies that follow instructions: `trivium solve round-table --policy A --voice b=B --voice c=C --task ...`
on StrategyQA or GSM8K as a `file:` task.  `trivium claim reconcile --size full --policy hf:FOLDER` teaches three copies
of a checkpoint different kinds of sums.

References
----------
Chen, Saha and Bansal 2023, arXiv:2309.13007; code dinobby/ReConcile (run.py, utils.py, generation.py).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from trivium.claims import Claim
from trivium.data.discussion import beside, discussion, grouped, unsure, worked
from trivium.lab.bases import blank, given
from trivium.lab.lab import Lab, Scored
from trivium.lab.recipe import Paper, Recipe
from trivium.lab.talkers import begin_talking, learn_talking, solved
from trivium.lab.unseen import unseen
from trivium.lab.voices import conferred, convinced
from trivium.policies.local import LocalPolicy
from trivium.search.panel import Stand
from trivium.search.round_table import round_table
from trivium.search.stated import confidence
from trivium.types import Problem, Question, Split

KINDS = (
    "sums:terms=3,min_terms=3,digits=1,ops=+",
    "sums:terms=3,min_terms=3,digits=1,ops=-,negative=true",
    "sums:terms=3,min_terms=3,digits=1,ops=+*",
)
"""One verifier judges all of them."""
BIG = tuple(kind.replace("digits=1", "digits=2") for kind in KINDS)
CALLS, TIMES = 9, 3
"""What every arm may make for a question: three agents, one reply each and two rounds of discussion; and how often a
problem is shown, each time behind another discussion or none.
"""
SURE, UNWEIGHTED = "1 0.8 0.5 0.3 0.1", "1 1 1 1 1"
Talk = Literal["none", "open", "hearsay", "no-samples", "no-confidences"]


@dataclass(frozen=True)
class Size:
    """All begin with `start` steps on every one of three `kinds`.  Each agent has a kind that it learns more of, and a
    seat: it learns `steps` from `examples` at half of the rate, then `again` to state its accuracy; of each kind
    `probe` problems tell that accuracy, choose the best agent on dev, and are searched for convincing samples.
    """

    kinds: tuple[str, ...] = KINDS
    model: str = "200k"
    examples: int = 600
    start: int = 700
    steps: int = 160
    again: int = 50
    batch: int = 24
    lr: float = 4e-3
    probe: int = 50
    max_tokens: int = 30
    test: int = 60


SIZES = {
    "smoke": Size(KINDS, "30k", 12, start=2, steps=2, again=1, batch=4, probe=1, max_tokens=8, test=2),
    "lab": Size(),
    "full": Size(BIG, examples=30_000, steps=3000, again=1000, batch=64, lr=1e-5, probe=200, max_tokens=200, test=300),
}


def dealt(lab: Lab[Size], split: Split, each: Sequence[int], seed: int = 0) -> list[Problem]:
    """So many problems of every kind, each once: a sum of plus and times may have no times."""
    asked = zip(lab.size.kinds, each, strict=True)
    return list({p.key: p for kind, n in asked for p in lab.problems(kind, split, n, seed=lab.seed + seed)}.values())


def sort(problem: Problem) -> tuple[str, int]:
    """The signs of a question, and how many operations it has."""
    return "".join(sorted(set(problem.key) & set("+-*"))), problem.level


def beginner(lab: Lab[Size]) -> LocalPolicy:
    """A fresh copy of what all agents begin as: it reads discussions, and knows a little of every kind."""

    def make(inner: Lab[Size]) -> LocalPolicy:
        s, policy = inner.size, blank(inner, inner.size.model, [])
        problems = dealt(inner, "train", [s.examples // 2] * 3, 500) * TIMES
        begin_talking(inner, policy, problems, steps=s.start, batch=s.batch, lr=s.lr)
        return policy

    return given(lab.policy_spec) if lab.policy_spec else lab.policy("beginner", make)


def agent(lab: Lab[Size], i: int) -> LocalPolicy:
    """The agent that learned kind `i` half of the time."""

    def make(inner: Lab[Size]) -> LocalPolicy:
        s, policy = inner.size, beginner(inner)
        problems = dealt(inner, "train", [s.examples // (2 if k == i else 4) for k in range(3)], 1000 * (i + 1))
        held_out = [p for kind in s.kinds for p in unseen(inner, inner.task(kind), s.probe)]
        learn_talking(inner, policy, inner.task(s.kinds[0]), problems * TIMES, held_out, sort=sort, steps=s.steps,
                      again=s.again, batch=s.batch, lr=s.lr / 2, max_tokens=s.max_tokens)  # fmt: skip
        return policy

    return lab.policy(f"agent-{i}", make)


def standing(lab: Lab[Size]) -> tuple[list[int], list[list[str]]]:
    """The agents by dev accuracy, best first; and by number each one's convincing samples."""

    def look(inner: Lab[Size]) -> tuple[list[int], list[list[str]]]:
        s, task, accuracy, samples = inner.size, inner.task(inner.size.kinds[0]), list[float](), list[list[str]]()
        dev, pool = dealt(inner, "dev", [s.probe] * 3), dealt(inner, "train", [s.probe] * 3, 9000)
        for i in range(3):
            policy = agent(inner, i)
            accuracy.append(sum(solved(inner, policy, task, dev, max_tokens=s.max_tokens)) / len(dev))
            won, wrong = convinced(inner, policy, task, pool, beside, max_tokens=s.max_tokens)
            samples.append([worked(p) for p in won])
            inner.note(**{f"dev_{i}": accuracy[i], f"convinced_{i}": len(won) / max(1, wrong)})
        return sorted(range(3), key=lambda i: -accuracy[i]), samples

    return lab.data("standing", look)


def table(lab: Lab[Size], *, talk: Talk = "open", alone: bool = False, weights: str = SURE) -> Scored:
    """A round table of the three agents, or of the best `alone` in every seat; without talk, a vote of all calls."""
    s, (order, found) = lab.size, standing(lab)
    order = order[:1] * 3 if alone else order
    samples = ["".join(found[i][at : at + 1]) for at, i in enumerate(order)]
    strangers = dealt(lab, "train", [s.probe] * 3, 9500)

    def words(stands: Sequence[Stand], seat: int) -> str:
        said = [(stand.answer, stand.chain.response) for stand in stands]
        if talk == "hearsay":
            rng = random.Random(f"{lab.seed}/{seat}/{said}")
            return discussion(rng.choice(strangers), strangers, rng)
        shown = [] if talk == "no-samples" else [*samples[:seat], *samples[seat + 1 :]]
        return "".join(shown) + grouped(unsure(said) if talk == "no-confidences" else said)

    def sure(question: Question, response: str) -> float:
        drawn = random.Random(f"{lab.seed}/{question.id}/{response!r}").randint(1, 10) / 10
        return drawn if talk == "hearsay" else confidence(response)

    seats, rounds = (CALLS, 0) if talk == "none" else (3, CALLS // 3 - 1)
    how = partial(round_table, n=seats, rounds=rounds, temperature=0.7, by=sure, weights=weights, words=words)
    team, problems = [agent(lab, i) for i in dict.fromkeys(order)], dealt(lab, "test", [s.test] * 3)
    lab.charge("calls_allowed", CALLS * len(problems))
    return conferred(lab, team, lab.task(lab.size.kinds[0]), problems, how, seats=seats, max_tokens=s.max_tokens)


EQUAL = ("trained_tokens", "sampled_tokens", "calls_allowed")
USEFUL = "found useful, each part of it; by how much is unverified here"
RECIPE = Recipe(
    slug="reconcile",
    paper=Paper(41, arxiv="2309.13007"),
    says="Different models that discuss, state how sure they are and vote by it beat copies of the best of them.",
    arms={
        "reconcile": table,
        "copies": partial(table, alone=True),
        "hearsay": partial(table, talk="hearsay"),
        "majority": partial(table, talk="none", weights=UNWEIGHTED),
        "weighted": partial(table, talk="none"),
        "best-alone": partial(table, talk="none", alone=True, weights=UNWEIGHTED),
        "no-samples": partial(table, talk="no-samples"),
        "no-confidences": partial(table, talk="no-confidences", weights=UNWEIGHTED),
    },
    sizes=SIZES,
    claims=[
        Claim("a round table of three different models beats one of three copies of the best of them", "reconcile",
              "copies", margin=0.03, matched=EQUAL, null="hearsay", rivals=("majority", "weighted", "best-alone"),
              paper="up to 7.7 points over baselines of one model and debates of copies (11.4 in a later version)"),
        Claim("talk is worth more than as many further votes, weighted by confidence", "reconcile", "weighted",
              margin=0.02, matched=EQUAL, null="hearsay", paper="not compared at equal calls"),
        Claim("the agents themselves are more often right after the talk", "reconcile", "weighted", metric="members",
              margin=0.03, matched=EQUAL, null="hearsay", paper="GPT-4 as a member gains 10.0 points"),
        Claim("convincing samples help", "reconcile", "no-samples", margin=0.02, matched=EQUAL, paper=USEFUL),
        Claim("confidences help", "reconcile", "no-confidences", margin=0.02, matched=EQUAL, paper=USEFUL),
    ],
    seeds=20,
    tried=4,
)  # fmt: skip
