"""Self-sampled solutions: learn from each right program the model finds, and from beginnings that lead somewhere known.

Idea
----
A problem has many right programs and the data one of them.  Learning that one alone teaches the model that all others
are wrong.  While it learns, let it sample programs of its own, run them, and imitate each one that is right, together
with beginnings of wrong ones whose state is known to lead to the answer.

Algorithm
---------
1. For every question keep right programs (first the reference), promising beginnings (first the empty one), and the
   states that known programs pass through.  A state is the multiset of all values still at hand.
2. Draw a beginning, sample the rest of a program at temperature 0.8, run it line by line.  Right, and no longer than
   the shortest that is known: keep it.  Wrong: keep it up to the last line whose state is known.
3. Remove duplicates after writing + and * with the larger number first; of two beginnings keep the longer.
4. Imitate all that is kept of a question (right programs first, at most `most`), summed (MLE-Aug), or weighted by
   p(y|x)^beta over all of them (beta-MML; MML for beta 1).  Beginnings are not closed by the end token.

Departs from the paper
----------------------
Straight-line programs that make a target from four numbers, with the value of every line written out, take the place
of GSM8K and MathQA-Python; a 100k-parameter model is first taught the references.  Samples are drawn in rounds, one a
question, and not at every step.  Every arm keeps the checkpoint that solves most dev problems with 8 samples.

Details that matter
-------------------
- Every step takes questions until it has its share of tokens, so all arms have the same number of steps and of
  gradient tokens; those with more programs a question see fewer questions.
- `offline` samples as much from the model as it was before (rejection sampling); `commuted` rewrites the reference by
  changing the order of operands and independent lines, without sampling: the trivial rivals.
- `shuffled` keeps what the verdict on another question's sample says (null).
- A state counts only if all values match; on small numbers a single one would match by chance.
- The base solves 13% of dev problems greedily and 65% with 16 samples.  Larger numbers and `*` put it at the floor (3%
  with 16 samples); so do many sums among the references, for what most examples show is what a small model learns.
- On dev nothing was gained: with 16 samples `guided` solved 77% of 150 problems and `reference` 79% (from 600
  references 27% and 24%), though it had found 595 right programs and 843 beginnings.
- Right programs alone help a little: `scratch`, sampled from nothing, and `offline` end 2 to 5 points above the
  reference, and `commuted`, the reference in other orders, 21 to 24 below it (two runs of 20 seeds, one of 16).
- By the spread of 20 seeds, 13 leave the interval as wide as the margin to each side; 16 are what 20 minutes allow.

At full size
------------
`trivium claim self-sampled --size full --policy hf:FOLDER`.  The paper itself has GSM8K with solutions as programs, and
a code model of 125M to 2.7B; 50k steps at 1e-4, and a sample a question whenever it comes up.

References
----------
Ni et al. 2022, arXiv:2205.14318; code microsoft/TraceCodegen.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial

from trivium.claims import Claim
from trivium.data.known import Known
from trivium.lab.bases import Lesson, given, schooled
from trivium.lab.lab import Lab, Scored
from trivium.lab.measure import greedy_accuracy, pass_at, verdicts
from trivium.lab.recipe import Paper, Recipe
from trivium.lab.replies import continued
from trivium.lab.select import put, weights
from trivium.lab.train import MICRO_TOKENS, batches, solutions, step_with
from trivium.learn.batch import Rollout
from trivium.learn.fit import Learner, Optimiser
from trivium.learn.marginal import WEIGHTED, imitated, shared
from trivium.policies.local import LocalPolicy
from trivium.tasks.straight_line import StraightLine, commuted, execute, plain
from trivium.types import Problem, Verdict

TEMPERATURE, LONGEST, DEV_SAMPLES = 0.8, 40, 8
"""Programs are sampled at this temperature, have at most so many tokens, and so many choose the checkpoint."""
MATCHED = ("pretrain_tokens", "trained_tokens", "optimiser_steps")
TASK = StraightLine(numbers=4, largest=9, ops="+-")


@dataclass(frozen=True)
class Size:
    """A base taught the references; then `rounds` of a sample a question and of `steps` with `tokens` to learn from."""

    task: StraightLine = TASK
    lesson: Lesson = Lesson((), "100k", 1500, 450, 32, 4e-3)
    rounds: int = 4
    steps: int = 35
    tokens: int = 900
    rate: float = 1.5e-3
    most: int = 8
    dev: int = 60
    test: int = 200
    samples: int = 16


SIZES = {
    "smoke": Size(StraightLine(numbers=3), Lesson((), "30k", 4, 2, 4), 1, 1, 40, dev=2, test=2, samples=2),
    "lab": Size(),
    "full": Size(rounds=50, steps=1000, tokens=10_000, rate=1e-5, dev=300, test=1000),
}


def warm(lab: Lab[Size]) -> LocalPolicy:
    """A fresh copy of the model that was taught the references."""

    def make(inner: Lab[Size]) -> LocalPolicy:
        s, lesson = inner.size, inner.size.lesson
        shown = solutions(inner.problems(s.task, "train", lesson.examples))
        return schooled(inner, lesson, shown)

    return given(lab.policy_spec) if lab.policy_spec else lab.policy("warm", make)


def learn(lab: Lab[Size], *, source: str = "guided", beta: float | None = None, shuffled: bool = False) -> Scored:
    """Go on from the references, for as many steps and gradient tokens whatever is learned from.

    Programs come from a `source`: guided (sampled from beginnings, which are learned from too), scratch, offline
    (scratch, all before learning), none, or commuted (references rewritten).
    """
    s, policy, rng = lab.size, warm(lab), random.Random(lab.seed)
    problems, dev = lab.problems(s.task, "train", s.lesson.examples), lab.problems(s.task, "dev", s.dev)
    known = [Known(partial(execute, p), [plain(str(p.solution).split("\n"))]) for p in problems]
    guided, found = source == "guided", Counter[bool]()
    whole, opening = cache(policy.encode_response), cache(policy.encode_text)
    draw = partial(continued, policy=policy, questions=[p.question for p in problems], max_tokens=LONGEST)

    def sample(number: int) -> None:
        begun = ["".join(f"{line}\n" for line in rng.choice(k.begun)) if guided else "" for k in known]
        again = partial(draw, beginnings=begun, temperature=TEMPERATURE, seed=lab.seed * 100 + number)
        # Before anything is learned, nothing is begun either: the first draw is the same in all arms.
        said = again(lab) if number else lab.data("first", again)
        programs = [plain(text.split("\n")) for text in said]
        marks = [k.judge(program) for k, program in zip(known, programs, strict=True)]
        marks = marks[-1:] + marks[:-1] if shuffled else marks
        for k, program, (lines, right) in zip(known, programs, marks, strict=True):
            if lines and (right or guided):
                found[right] += k.keep(program[:lines], right)

    def rows(i: int, group: int) -> list[Rollout]:
        right = [commuted(problems[i], known[i].right[0], rng)] if source == "commuted" else known[i].right
        ids = [whole("\n".join(program)) for program in right]
        if guided:
            ids += [opening("".join(f"{x}\n" for x in program)) for program in known[i].begun if program]
        prompt = policy.encode(problems[i].question.messages)
        return [imitated(prompt, each, group) for each in ids[: s.most]]

    optimiser = Optimiser(s.rate, s.rounds * s.steps, s.rounds, "cosine", 0.1, beta2=0.95)
    learner, tried = Learner(policy.model, optimiser, MICRO_TOKENS, seed=lab.seed), [(0.0, weights(policy))]
    order = (i for [i] in batches(range(len(known)), 1, 10**9, lab.seed))
    for number in range(s.rounds):
        for again in range({"none": 0, "commuted": 0, "offline": 0 if number else s.rounds}.get(source, 1)):
            sample(number + again)
        for step in range(number * s.steps + 1, (number + 1) * s.steps + 1):
            batch = list[Rollout]()
            while lab.spent["trained_tokens"] + sum(len(row.ids) for row in batch) < step * s.tokens:
                batch += rows(next(order), len(batch))
            step_with(lab, learner, batch if beta is None else shared(policy.model, batch, beta), WEIGHTED)
        policy.weights_version += 1
        tried.append((mean(pass_at(drawn(lab, policy, dev, DEV_SAMPLES), DEV_SAMPLES)), weights(policy)))
    put(policy, max(tried, key=lambda one: one[0])[1])
    lab.note(right_found=found[True], beginnings_found=found[False])
    return solved(lab, policy, s.samples)


def drawn(lab: Lab[Size], policy: LocalPolicy, problems: Sequence[Problem], n: int) -> list[list[tuple[str, Verdict]]]:
    """`n` sampled programs for each problem, judged."""
    unit = f"{problems[0].split}_tokens"
    return verdicts(lab, policy, lab.size.task, problems, n=n, temperature=TEMPERATURE, max_tokens=LONGEST, unit=unit)


def solved(lab: Lab[Size], policy: LocalPolicy, n: int) -> Scored:
    """Greedy `accuracy`; of `n` sampled programs whether any is right (`coverage`) and how many different ones are."""
    found = drawn(lab, policy, problems := lab.problems(lab.size.task, "test", lab.size.test), n)
    greedy = greedy_accuracy(lab, policy, lab.size.task, problems, max_tokens=LONGEST)
    for k in (2**i for i in range(n.bit_length())):
        lab.at("pass@k", k, mean(pass_at(found, k)))
    different = [float(len({verdict.answer for _, verdict in group if verdict.correct})) for group in found]
    return Scored(greedy.questions, {**greedy.scores, "coverage": pass_at(found, n), "different": different})


def mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / max(1, len(known))


RECIPE = Recipe(
    slug="self-sampled",
    paper=Paper(48, arxiv="2205.14318"),
    says="Imitating the right programs and promising beginnings that a model samples beats imitating one reference.",
    arms={
        "reference": partial(learn, source="none"), "guided": learn, "scratch": partial(learn, source="scratch"),
        "beta-mml": partial(learn, beta=0.25), "mml": partial(learn, beta=1.0),
        "commuted": partial(learn, source="commuted"), "offline": partial(learn, source="offline"),
        "shuffled": partial(learn, shuffled=True),
    },
    sizes=SIZES,
    claims=[
        Claim(
            "learning from self-sampled programs and beginnings solves more with many samples than the reference alone",
            "guided", "reference", 0.03, "coverage", MATCHED, "shuffled", ("commuted", "offline", "scratch"),
            "pass@100 on GSM8K from 35.5 to 44.5, pass@80 on MathQA-Python from 27.6 to 36.2",
        ),
        Claim(
            "beginnings add to right programs", "guided", "scratch", 0.01, "coverage", MATCHED,
            paper="partially correct solutions add on top of correct ones",
        ),
        Claim(
            "imitating all in full (MLE-Aug) beats weighing them by their likelihood (MML)", "guided", "mml", 0.01,
            "coverage", MATCHED, rivals=("beta-mml",), paper="MLE-Aug is best; MML puts its mass on one solution",
        ),
    ],
    seeds=16,
    tried=8,
)  # fmt: skip
