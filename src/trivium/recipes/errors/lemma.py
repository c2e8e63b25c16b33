"""LEMMA: fine-tune on wrong beginnings that are noticed and put right, with errors like those the student makes.

Idea
----
A model that has only read right solutions has never seen a mistake noticed.  So let some of its examples begin wrong:
up to the first wrong step, then a phrase that names the error, then the way back to the right answer.  The errors
should be those that this student makes, or it learns to look for what never happens.

Algorithm
---------
1. Sample the student on training problems; find the first wrong step of every wrong response and the kind of its error.
2. Errors to learn from: the student's own, and further ones put into right solutions, their kinds drawn from the
   student's own histogram; what the judge of steps does not call wrong is dropped.
3. Cut right after the wrong step, add a phrase that names the error, and go on in two ways, once each: put the step
   right and continue, or start again from the beginning.
4. Imitate the whole, the wrong step included, among plain right solutions.

Departs from the paper
----------------------
A small transformer on chained arithmetic in place of Llama-3-8B on GSM8K and MATH, and programs in place of GPT-4o,
both to find and name errors (five kinds, exact) and to write them.  One line of reasoning leads to these answers, so a
fresh start repeats it, where the paper's takes another approach; nothing is rewritten for smoothness.  Kinds are drawn
from one histogram of the student and not one a question.  Whether the released data hold plain solutions as well is
unverified; here they are half of the examples.  High temperatures, longer wrong prefixes and a vote with equal test
tokens were left out: `tokens` of the results says how much longer the answers are.

Details that matter
-------------------
- Every arm sees the same problems, but `rft` those alone that it solved, and trains on as many tokens; an example with
  an error is about twice as long as a plain one, so there are fewer of them.
- `no-error` has the phrase and the way back after a *right* step: same form, nothing to learn (null).  `rare-kinds` has
  the two kinds of error that the student makes least, all written by program, where `lemma` takes the student's own
  wrong beginnings first; `rft` imitates the student's own right samples.
- `no-loss-on-errors` reads wrong steps without learning to say them: not in the paper.
- `recovered` is the share of test problems answered rightly from a wrong beginning that is put into the model's mouth,
  all kinds equally often, so that it favours no histogram.  Notes: how many answers say the phrase, and how many do
  with nothing wrong before it (false alarms).

At full size
------------
The Hub data set panzs19/LEMMA has several responses to a question (`output`) and no field with the answer alone.  Write
one row a question, with the answer in a field `answer`, into rows.jsonl; then `trivium learn --objective sft --lr 1e-5
--warmup-steps 0 --task file:rows.jsonl,question=instruction,answer=answer,solution=output,verifier=maths --policy
hf:FOLDER`, with --steps for 3 epochs.  A teacher (`openai:MODEL@URL`) writes the errors and the corrections where no
program can.

References
----------
Pan et al. 2025, "LEMMA: Learning from Errors for MatheMatical Advancement in LLMs", arXiv:2503.17439; code
pzs19/LEMMA.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from trivium.claims import Claim
from trivium.data import errors, repair
from trivium.lab.bases import Lesson, base
from trivium.lab.lab import Lab, Scored
from trivium.lab.measure import attempts, resumed, right, scored, verdicts
from trivium.lab.recipe import Paper, Recipe
from trivium.lab.train import demonstrations, imitate, solutions
from trivium.policies.local import LocalPolicy
from trivium.types import Problem, Task

Source = Literal["none", "own-right", "student", "rare", "sham"]


@dataclass(frozen=True)
class Size:
    """`samples` of the student for each of `problems`; `wrong` beginnings a problem are revised in two ways, beside
    `plain` copies of its right solution; every arm trains on `tokens`.
    """

    lesson: Lesson = Lesson(("sums:terms=6,min_terms=2,digits=1,ops=+-*",), "100k", 4000, 1200, lr=4e-3)
    problems: int = 500
    samples: int = 4
    temperature: float = 0.7
    wrong: int = 1
    plain: int = 2
    tokens: int = 200_000
    batch: int = 32
    lr: float = 1e-3
    test: int = 500


SIZES = {
    "smoke": Size(Lesson(("sums:terms=3,digits=1",), "30k", 16, 2, 8), 8, 2, tokens=1000, batch=8, test=8),
    "lab": Size(),
    "full": Size(problems=8000, wrong=4, plain=8, tokens=40_000_000, lr=1e-5, test=1000),
}


def dealt(lab: Lab[Size]) -> tuple[Task, list[Problem]]:
    """The training problems of every arm, from another seed than those of the student's first lesson."""
    task = lab.task(lab.size.lesson.tasks[0])
    return task, lab.problems(task, "train", lab.size.problems, seed=lab.seed + 1000)


def sampled(lab: Lab[Size]) -> list[list[tuple[str, bool]]]:
    """For every training problem what the student says, and whether it is right."""

    def make(inner: Lab[Size]) -> list[list[tuple[str, bool]]]:
        s, policy, (task, problems) = inner.size, base(inner, inner.size.lesson), dealt(inner)
        found = verdicts(
            inner, policy, task, problems, n=s.samples, temperature=s.temperature, unit="sampled_tokens"
        )  # fmt: skip
        return [[(text, verdict.correct) for text, verdict in group] for group in found]

    return lab.data("samples", make)


def beginnings(lab: Lab[Size], source: Source) -> list[list[errors.Wrong]]:
    """The wrong beginnings of every training problem: the student's own first, then those put in by kind."""
    (task, problems), rng = dealt(lab), random.Random(lab.seed)
    lines, seen = errors.step_judge(task), list[list[errors.Wrong]]()
    for problem, group in zip(problems, sampled(lab), strict=True):
        texts = dict.fromkeys(text for text, correct in group if not correct)
        seen.append([wrong for text in texts if (wrong := errors.diagnose(lines, problem, text))])
    shares = errors.histogram(wrong for own in seen for wrong in own)
    lab.note(**{f"share_{kind}": share for kind, share in shares.items()})
    shares, made = errors.rarest(shares, 2) if source == "rare" else shares, []
    for problem, own in zip(problems, seen, strict=True):
        kept = own[: lab.size.wrong] if source == "student" else []
        kept += [errors.inject_any(lines, problem, shares, rng) for _ in range(lab.size.wrong - len(kept))]
        made.append([repair.unharmed(problem, wrong) for wrong in kept] if source == "sham" else kept)
    return made


def learn(
    lab: Lab[Size], *, source: Source = "none", ways: Sequence[bool] = (False, True), learn_error: bool = True
) -> Scored:
    """Fine-tune the student on one arm's examples; `ways` are to put the step right (False) and to start again."""
    s, policy, (_, problems) = lab.size, base(lab, lab.size.lesson), dealt(lab)
    shown = demonstrations(policy, solutions(problems) * s.plain)
    if source == "own-right":
        own = zip(problems, sampled(lab), strict=True)
        shown = demonstrations(policy, [(p, text) for p, group in own for text, good in group if good]) or shown
    elif source != "none":
        shown += [
            repair.revised(policy, problem, wrong, again=again, learn_error=learn_error)
            for problem, group in zip(problems, beginnings(lab, source), strict=True)
            for wrong in group
            for again in ways
        ]
    length = sum(len(d.ids) for d in shown) / len(shown)
    imitate(lab, policy, shown, steps=max(1, round(s.tokens / (s.batch * length))), batch=s.batch, lr=s.lr)
    return measured(lab, policy)


def measured(lab: Lab[Size], policy: LocalPolicy) -> Scored:
    """Greedy answers to the test questions, and answers from a wrong beginning of each."""
    task, rng = lab.task(lab.size.lesson.tasks[0]), random.Random(lab.seed)
    problems, lines = lab.problems(task, "test", lab.size.test), errors.step_judge(task)
    begun = [errors.inject_any(lines, p, dict.fromkeys(errors.KINDS, 1.0), rng).text for p in problems]
    traces, noticed = attempts(lab, policy, task, problems), list[bool]()
    for problem, trace in zip(problems, traces, strict=True):
        before, phrase, _ = trace.response.partition(repair.NOTICE)
        noticed += [any(step.ok is False for step in lines(problem, before))] if phrase else []
    lab.note(phrases=len(noticed) / len(traces), false_alarms=noticed.count(False) / len(traces))
    found, again = scored(problems, traces), resumed(lab, policy, task, problems, begun)
    return Scored(found.questions, {**found.scores, "recovered": [right(trace) for trace in again]})


EQUAL = ("pretrain_tokens", "trained_tokens")
RECIPE = Recipe(
    slug="lemma",
    paper=Paper(101, arxiv="2503.17439"),
    says="Examples that begin with an error of the student's own kind, and put it right, beat right solutions alone.",
    arms={
        "sft": learn,
        "lemma": partial(learn, source="student"),
        "rft": partial(learn, source="own-right"),
        "rare-kinds": partial(learn, source="rare"),
        "no-error": partial(learn, source="sham"),
        "fix-only": partial(learn, source="student", ways=(False, False)),
        "restart-only": partial(learn, source="student", ways=(True, True)),
        "no-loss-on-errors": partial(learn, source="student", learn_error=False),
    },
    sizes=SIZES,
    claims=[
        Claim(
            "errors of the student's kinds with their corrections beat right solutions alone at equal trained tokens",
            better="lemma", worse="sft", margin=0.02, matched=EQUAL, null="no-error",
            rivals=("rft", "rare-kinds", "fix-only", "restart-only", "no-loss-on-errors"),
            paper="Llama-3-8B: GSM8K 79.2, MATH 38.3; up to 13 points on average over SFT, RFT and other augmentation",
        ),
        Claim(
            "it recovers more often from a wrong step that is put into its mouth",
            better="lemma", worse="sft", margin=0.1, metric="recovered", matched=EQUAL, null="no-error",
            rivals=("rare-kinds", "fix-only", "restart-only", "no-loss-on-errors"),
            paper="gains carry to reflective tasks: MathChat's follow-up questions and error correction",
        ),
        Claim(
            "kinds of error that the student makes teach more than kinds it hardly makes",
            better="lemma", worse="rare-kinds", margin=0.02, matched=EQUAL,
            paper="errors are drawn from the student's own distribution of kinds, by design",
        ),
    ],
    seeds=7,
    tried=5,
)  # fmt: skip
