"""Sky-T1 structure study: which demonstrations teach long reasoning, those with wrong content or those out of order?

Idea
----
A pretrained student already knows the single steps.  What a few thousand long traces add is how steps follow one
another: search, go back, stop.  So it should matter little if what the steps say is wrong, and much if steps are out of
order, missing or from elsewhere.

Algorithm
---------
1. Take a student that knows the single steps and solves small instances, and some of the large ones.
2. Take correct traces of larger instances, each some steps and a final answer, and spoil the steps, not the answer:
   content: every digit becomes a random one with probability p;
   structure: a fraction f of the steps is shuffled, deleted, or replaced by steps of other correct traces.
3. Fine-tune copies of the student on each kind, with equal examples and steps, by plain next-token cross-entropy.
4. Compare the share of unseen larger instances that are solved.

Departs from the paper
----------------------
A 100k-parameter transformer and sums of five numbers in place of Qwen2.5-32B and mathematics.  It is pretrained on
pieces of other sums, of one to three of their four operations, and on one whole sum in 80.  The traces say an operation
a line, so that cutting them into steps is exact where the paper asks a model for it, and the answer once more; nothing
in them searches or goes back.  Left out: wrong-answer traces and removed keywords (these traces have neither), LoRA,
other fractions.

Details that matter
-------------------
- A student from random weights would learn content from the spoilt traces as well, and the comparison would be of
  something else; pretraining comes first, once for all arms.
- Random digits are drawn from all ten, so p = 0.5 changes 45%.  Shuffled steps all move.
- Shuffling keeps the tokens of a trace, and corrupting and inserting nearly do; deleting and `answer-only` do not (see
  the budgets).
- p and f are not the same unit: the claims compare p = 0.5 with f = 0.67, as the paper's headline does.  Of the four
  steps here two thirds are rounded to three, so that structure is spoilt at three quarters, content at 45%.
- `untuned` saw whole sums as well, if few.  Where it too beats the shuffled arm, that one was harmed rather than not
  taught; whether half-corrupted traces teach anything is therefore a claim of its own.
- `content-100` keeps the structure and nothing else, and should collapse (null).  `answer-only` is the trivial rival:
  the same instances, the answer alone.
- The student must know the steps well.  One that was taught for 700 steps solved 30 to 54% of dev problems by seed, and
  what each kind of trace did to it hung on how far it had come: the headline's interval, of six seeds, was 44 points
  wide.  Taught for 2,500 steps two students solved 84 and 97%, and after 60 steps at a rate of 1.2e-4 97 and 100% with
  correct traces, 37 and 36% with half-corrupted, 33 and 11% with wholly corrupted, 23 and 31% with shuffled ones.
  Students still differ: seeds 6 to 15 put the headline at +16 points [+1, +31].  They were too few, and others decide.
- The rate decides what is seen: with a base taught at 5e-3, whose weights are larger, nothing of the content is lost at
  this one, not even by `content-100`, and where updates move more every spoilt kind is near what guessing gives, for
  every digit is learned anew.  It was set where `content-100` collapses, as the paper's does.  Pretrained on no whole
  sum the student never learns to go on to the last operation.
- Paths in graphs with two edges a node do not do for this: walking on at random reaches a goal four edges away in four
  of five graphs, and the answer alone taught more than a search in as many steps.

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

from trivium.claims import Claim
from trivium.data.perturb import delete_steps, insert_steps, replace_names, shuffle_steps, steps_and_answer
from trivium.lab.bases import given, taught
from trivium.lab.lab import Lab, Scored
from trivium.lab.measure import attempts, scored
from trivium.lab.recipe import Paper, Recipe
from trivium.lab.train import demonstrations, imitate
from trivium.policies.local import LocalPolicy
from trivium.tasks.base import ask
from trivium.types import Problem

Change = Callable[[str, random.Random, Sequence[str]], str]
"""Spoils a trace; the last argument are the other traces."""


@dataclass(frozen=True)
class Size:
    """Pretraining on `lessons` pieces of other sums, a share `whole` of them whole; then `examples` traces an arm."""

    model: str = "100k"
    large: str = "sums:terms=5,digits=1"
    lessons: int = 8000
    whole: float = 0.0125
    lesson_steps: int = 2500
    lesson_lr: float = 3e-3
    examples: int = 2000
    steps: int = 60
    batch: int = 32
    lr: float = 1.2e-4
    test: int = 1000


SIZES = {
    "smoke": Size(model="30k", lessons=8, lesson_steps=2, examples=16, steps=2, batch=8, test=4),
    "lab": Size(),
    "full": Size(lessons=20_000, lesson_steps=4000, examples=4618, steps=150, batch=96, lr=1e-5),
}
DIGITS = "0123456789"


def student(lab: Lab[Size]) -> LocalPolicy:
    """A fresh copy of the student, which works out pieces of sums and, less often right, whole ones."""
    if lab.policy_spec:
        return given(lab.policy_spec)

    def make(inner: Lab[Size]) -> LocalPolicy:
        s, rng = inner.size, random.Random(inner.seed)
        others = inner.problems(s.large, "train", s.examples + s.lessons)[s.examples :]
        shown = [piece(p, rng, whole=rng.random() < s.whole) for p in others]
        return taught(inner, shown, s.model, s.lesson_steps, s.batch, s.lesson_lr)

    return lab.policy("student", make)


def piece(problem: Problem, rng: random.Random, *, whole: bool) -> tuple[Problem, str]:
    """Some operations that follow each other in a sum, all or not all of them, as a sum of its own, and its trace."""
    steps = str(problem.solution).split("\n")
    if not whole and len(steps) > 1:
        first = rng.randrange(len(steps))
        steps = steps[first : first + rng.randint(1, len(steps) - (first == 0))]
    asked, _, result = steps[0].partition("=")
    for step in steps[1:]:
        asked, result = asked + step.partition("=")[0].removeprefix(result), step.partition("=")[2]
    question = replace(problem.question, messages=ask(asked))
    return replace(problem, question=question), "\n".join([*steps, result])


def trace(problem: Problem) -> str:
    """The operations from left to right, a line each, and the answer on a line of its own."""
    return f"{problem.solution}\n{problem.gold}"


def learn(lab: Lab[Size], *, change: Change | None) -> Scored:
    """Fine-tune the student on traces changed in one way, or not at all, and measure it on unseen larger instances."""
    s, task, policy, rng = lab.size, lab.task(lab.size.large), student(lab), random.Random(lab.seed)
    if change is not None:
        problems = lab.problems(task, "train", s.examples)
        traces = [trace(p) for p in problems]
        said = [change(text, rng, [*traces[:i], *traces[i + 1 :]]) for i, text in enumerate(traces)]
        shown = demonstrations(policy, list(zip(problems, said, strict=True)))
        imitate(lab, policy, shown, steps=s.steps, batch=s.batch, lr=s.lr)
    test = lab.problems(task, "test", s.test)
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
    says="Worked sums whose steps say wrong things harm a student less than those whose steps are out of order.",
    arms={
        "correct": partial(learn, change=lambda text, rng, others: text),
        "content-50": partial(learn, change=lambda text, rng, others: replace_names(text, DIGITS, 0.5, rng)),
        "content-100": partial(learn, change=lambda text, rng, others: replace_names(text, DIGITS, 1.0, rng)),
        "shuffled": partial(learn, change=lambda text, rng, others: shuffle_steps(text, 0.67, rng)),
        "deleted": partial(learn, change=lambda text, rng, others: delete_steps(text, 0.67, rng)),
        "inserted": partial(learn, change=lambda text, rng, others: insert_steps(text, others, 0.67, rng)),
        "answer-only": partial(learn, change=lambda text, rng, others: steps_and_answer(text)[1]),
        "untuned": partial(learn, change=None),
    },
    sizes=SIZES,
    claims=[
        Claim(
            "half of the content corrupted costs less than two thirds of the steps shuffled",
            better="content-50", worse="shuffled", margin=0.03,
            matched=("pretrain_tokens", "optimiser_steps", "trained_tokens"),
            null="content-100", rivals=("answer-only", "untuned"),
            paper="average of four benchmarks: 66.3 as they are, 64.2 with half of the digits random, 57.2 shuffled",
        ),
        Claim(
            "and half-corrupted traces teach: the student is better than it was", better="content-50", worse="untuned",
            margin=0.03, matched=("pretrain_tokens",), rivals=("correct",), paper="56.7 before, 64.2 after",
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
            "correct traces teach more than the answers alone",
            better="correct", worse="answer-only", margin=0.03, matched=("pretrain_tokens", "optimiser_steps"),
            paper="short solutions of the same problems lower MATH500 from 84.8 to 70.4, where long ones raise it",
        ),
    ],
    seeds=18,
    first_seed=16,
    tried=31,
)  # fmt: skip
