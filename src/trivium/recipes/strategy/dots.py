"""DOTS: search which actions suit each training question, and teach a planner to name them before anything is solved.

Idea
----
Some questions want to be restated first, some want words and some a program.  Which of these a solver needs depends on
the question and on the solver, so let the solver try all ways on questions with known answers, and learn from what
worked to name the way first.

Algorithm
---------
1. Actions in layers: restate the question or not; then answer at once, in words or by a program for a calculator.  All
   combinations are paths (six here).
2. For every training question: r samples of all paths; keep the 4 with most successes, fewer actions first among
   equals, then fewer tokens; r more of these; keep 2; r more of these.
3. The label of a question is the path that is best at the end.  Questions that are never solved, or by every sample,
   are dropped.
4. External planner: fine-tune a copy of the model on question -> path; the solver stays as it is and goes that path
   greedily.  Internalised: fine-tune the solver on question -> path and its own right solution by that path.

Departs from the paper
----------------------
A small transformer on chained sums, shown six ways to answer them whether they suit a question or not, takes the place
of GPT-4o-mini and Llama-3.  Self-verification and planning are left out as actions, as a model this small checks a sum
with what got it wrong; so is the probe that drops questions beforehand.  The search has 24 samples a question: the
paper's appendix has 12 paths 4 times, 8 of them 4 times again (3 are kept), temperature 0.4 as here; its release has
three rounds of 2 samples at 0.8, and builds labels action by action.  `planner` names the path alone; in the paper a
teacher explains each label, which is worth 6 points there; `explained` has reasons written by a program that knows the
task.  Shifted mixtures of questions are not tested.

Details that matter
-------------------
- A program is short and exact, but fails on names (one knows their numbers, the calculator does not) and takes products
  first where questions are meant from left to right.  The second failure is silent, so no fallback on errors finds it,
  and where the product stands decides about it.  Words fail on large numbers.  No single token tells the path.
- `static`, the best single path, is chosen greedily on as many labelled questions (dev) as the search has.  The samples
  of the search are counted and not matched by `static`, which has no use for them.
- `shuffled` gives each question the label of another (null); `random` draws a path.  `vote` is the majority of samples
  of the best path, `all-ways` of one answer by every path: both take more test tokens than the planner, whose own are
  counted.  `words` is fine-tuning on written solutions of all searched questions, which only a teacher has; `untagged`
  on the searched solutions without the name of the path.  `bound` takes the verifier's word for the best of six.
- Half of all training questions are set aside for the search, so that planners see about the mixture of kinds that the
  test has; what the lesson left over had a fifth of its late products (`lab.ways.aside`).  The success rate that
  chose a label is too high by selection (the winner's curse) and is never reported.
- Questions of small numbers are few, and come again with other seeds.  Intervals of lines of the ledger without
  `questions` do not know it, and may be too narrow.

At full size
------------
`trivium solve plan-actions:path=search` finds paths with all twelve of the paper's actions for any task and policy,
`plan-actions:path=choose,planner=NAME` follows a planner.  `trivium claim dots --size full --policy hf:FOLDER` teaches
a checkpoint these six ways first.  The paper searches MATH for 1,600 to 2,100 examples; Llama-3-8B, rate 2e-5, batch
64, 4 epochs.

References
----------
Yue et al. 2024, arXiv:2410.03864 (algorithm 1, tables 3 to 6, appendix A); code MurongYue/DOTS, whose release ranks
paths by dialogues that are not empty; here by right answers.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from trivium.claims import Claim
from trivium.lab.bases import Lesson
from trivium.lab.lab import Lab, Scored
from trivium.lab.recipe import Paper, Recipe
from trivium.lab.train import demonstrations, imitate
from trivium.lab.ways import Tried, aside, best_way, elected, every_way, marked, named, raced, skilled, tried, winner
from trivium.policies.local import LocalPolicy
from trivium.tasks.ways import WAYS, Ways, why
from trivium.types import Problem

TASK = Ways(steps=2, big=0.2)
PATHS = ("w", *(way for way in WAYS if way != "w"))
"""All of them; the first is gone where a planner names none."""
SHOWN = (*PATHS, *("w", "rw") * 3)
"""What the solver is shown alike, whatever the question: words most often, as arithmetic takes most learning."""
MATCHED = ("pretrain_tokens", "labels", "optimiser_steps")
Kind = Literal["internal", "untagged", "words"]


@dataclass(frozen=True)
class Size:
    """`samples` of all paths, of the best `kept[0]` and of the best `kept[1]` for each of `questions`; then `steps`."""

    task: Ways = TASK
    lesson: Lesson = Lesson((), "100k", 6000, 2000, 32, 5e-3)
    questions: int = 600
    samples: int = 2
    kept: tuple[int, ...] = (4, 2)
    temperature: float = 0.4
    steps: int = 150
    batch: int = 32
    lr: float = 1e-3
    votes: int = 5
    test: int = 500


SIZES = {
    "smoke": Size(TASK, Lesson((), "30k", 16, 2, 8), 2, 1, steps=2, batch=2, votes=2, test=2),
    "lab": Size(),
    "full": Size(lesson=Lesson((), "100k", 20_000, 2000, 32, 2e-5), questions=7500, samples=4, lr=2e-5, test=1000),
}


def solver(lab: Lab[Size]) -> LocalPolicy:
    """A fresh copy of the model that can go every path."""
    return skilled(lab, lab.size.task, lab.size.lesson, SHOWN)


def asked(lab: Lab[Size]) -> list[Problem]:
    return lab.problems(lab.size.task, "test", lab.size.test)


def searched(lab: Lab[Size]) -> list[tuple[Problem, Tried | None]]:
    """Training questions, each with a right solution by its best path where it has a label."""

    def search(inner: Lab[Size]) -> list[tuple[Problem, Tried | None]]:
        s, policy = inner.size, solver(inner)
        problems = aside(inner, s.task, s.questions)
        found = raced(inner, policy, s.task, problems, PATHS, samples=s.samples, kept=s.kept, temperature=s.temperature)
        return [(problem, winner(record)) for problem, record in zip(problems, found, strict=True)]

    return lab.data("searched", search)


def gone(lab: Lab[Size], paths: Sequence[str], before: Sequence[Tried] = ()) -> Scored:
    """The solver's greedy answers to the test questions by the path named for each, and how many actions that has."""
    problems, lengths = asked(lab), [float(len(path)) for path in paths]
    found = tried(lab, solver(lab), lab.size.task, problems, paths, unit="test_tokens")
    for kind in sorted({why(p.key) for p in problems}):
        mine = [length for length, p in zip(lengths, problems, strict=True) if why(p.key) == kind]
        lab.note(**{f"actions if {kind}": sum(mine) / len(mine)})
    scored = marked(problems, found, before)
    return Scored(scored.questions, {**scored.scores, "actions": lengths})


def planned(lab: Lab[Size], explained: bool = False, shuffled: bool = False) -> Scored:
    """A planner learns to name the path, if asked for with the reasons before it; the solver is left as it is."""
    s, lessons = lab.size, [(problem, run) for problem, run in searched(lab) if run]
    paths = [run.way for _, run in lessons]
    lab.note(questions_with_a_label=len(paths), **{f"labelled {path}": paths.count(path) for path in PATHS})
    if shuffled:
        random.Random(lab.seed).shuffle(paths)
    shown = [
        (problem, f"{why(problem.key)} {path}" if explained else path)
        for (problem, _), path in zip(lessons, paths, strict=True)
    ]
    chosen, told = named(lab, solver(lab), s.task, shown, asked(lab), PATHS, steps=s.steps, batch=s.batch, lr=s.lr)
    return gone(lab, chosen, told)


def trained(lab: Lab[Size], kind: Kind) -> Scored:
    """The solver itself learns, and then answers as it likes."""
    s, found, policy = lab.size, searched(lab), solver(lab)
    shown = [(problem, run.text) for problem, run in found if run]
    if kind == "untagged":
        shown = [(problem, text.partition(":")[2]) for problem, text in shown]
    elif kind == "words":
        shown = [(problem, str(problem.solution)) for problem, _ in found]
    imitate(lab, policy, demonstrations(policy, shown), steps=s.steps, batch=s.batch, lr=s.lr)
    said = tried(lab, policy, s.task, asked(lab), [""] * s.test, unit="test_tokens")
    lab.note(**{f"went {path}": sum(one.way == path for one in said) / s.test for path in PATHS})
    return marked(asked(lab), said)


def best(lab: Lab[Size]) -> str:
    """The best single path on as many dev problems as the search has questions."""
    s = lab.size
    return best_way(lab, solver(lab), s.task, lab.problems(s.task, "dev", s.questions), PATHS)


def static(lab: Lab[Size], votes: bool = False) -> Scored:
    """The best single path, greedily, or the majority of samples of it."""
    s, policy, path = lab.size, solver(lab), lab.data("best", best)
    lab.note(**{f"best is {path}": 1.0})
    if not votes:
        return gone(lab, [path] * s.test)
    again = [problem for problem in asked(lab) for _ in range(s.votes)]
    drawn = tried(lab, policy, s.task, again, [path] * len(again), temperature=0.8, unit="test_tokens")
    return elected(asked(lab), [drawn[i : i + s.votes] for i in range(0, len(drawn), s.votes)])


def all_ways(lab: Lab[Size], judged: bool = False) -> Scored:
    """One greedy answer by every path, and the majority's; or the verifier's choice."""
    found = every_way(lab, solver(lab), lab.size.task, asked(lab), PATHS, unit="test_tokens")
    right = {path: sum(one.right for one in row) for path, row in zip(PATHS, found, strict=True)}
    lab.note(**{f"accuracy of {path}": count / lab.size.test for path, count in right.items()})
    return elected(asked(lab), list(zip(*found, strict=True)), judged=judged)


def at_random(lab: Lab[Size]) -> Scored:
    return gone(lab, random.Random(lab.seed).choices(PATHS, k=lab.size.test))


RECIPE = Recipe(
    slug="dots",
    paper=Paper(2, arxiv="2410.03864"),
    says="A planner taught which actions worked on searched questions beats the best fixed choice of actions.",
    arms={
        "static": static, "planner": planned, "explained": partial(planned, explained=True),
        "internal": partial(trained, kind="internal"), "untagged": partial(trained, kind="untagged"),
        "words": partial(trained, kind="words"), "shuffled": partial(planned, shuffled=True), "random": at_random,
        "vote": partial(static, votes=True), "all-ways": all_ways, "bound": partial(all_ways, judged=True),
    },
    sizes=SIZES,
    claims=[
        Claim("a planner that learned from searched paths beats the best single path, the solver being the same",
              "planner", "static", 0.05, "accuracy", MATCHED[:2], "shuffled",
              ("vote", "all-ways", "random", "words", "untagged"),
              "58.5 against 56.6 (Llama-3-70B) and 66.5 against 63.0 (GPT-4o-mini), averages of four tasks"),
        Claim("learned by the solver itself, it beats fine-tuning on written solutions of the same questions",
              "internal", "words", 0.05, "accuracy", MATCHED, paper="35.5 against 33.6 with Llama-3-8B"),
        Claim("naming the path adds to imitating the solutions that the search found", "internal", "untagged", 0.02,
              "accuracy", MATCHED, paper="not compared there"),
        Claim("reasons before the path make the planner better", "explained", "planner", 0.02, "accuracy", MATCHED,
              paper="66.8 against 60.8 with GPT-4o-mini; its best single method has 63.0"),
    ],
    seeds=5,
    tried=5,
)  # fmt: skip
