"""APR: a model learns to hand parts of its search to children that think side by side, each in a context of its own.

Idea
----
A search that is written out in one line of thought fills the context and takes as long as it is.  If the model may
order searches and read no more than what came out of them, each context stays short, and the time is that of the
longest.  It learns to do so from a program's searches, and then by reinforcement from whether the answer is right.

Algorithm
---------
1. A program searches Countdown: of the first operations it keeps the `width` best by a heuristic, searches what each of
   them leaves, and writes this down in two ways.  `serial`: one after the other, up to the first success.  `threads`:
   the parent lists the operations and stops at `|`; every child reads only the numbers it is left with and the target,
   and writes its own search; the parent is told the first successful path and answers.
2. Imitation from random weights, every call (parent before and after, each child) being a sequence of its own.
3. GRPO: an attempt is the set of its calls, all of which have the attempt's advantage, 1 / (number of its calls) each.

Departs from the paper
----------------------
A 200k-parameter byte-level transformer on three numbers up to 20, + - * and targets up to 99, with 6,000
demonstrations and contexts of 64 to 320 tokens, in place of four numbers, 228M parameters, 500,000 demonstrations and
4,096 tokens.  Both ways have the same widths, 2 to 9, and the same child searches: all that the two numbers left make
(at full size three operations on three numbers), where the paper gives children wider beams than parents and the serial
search narrower ones.  One round of children.  The prompt begins with the width, or with `?` where the model is to
choose; the paper conditions the serial model on a bin of tokens instead.  The parent hears the first success alone, and
of failures nothing.  GRPO has one update a step and no KL.  Accuracy within a smaller context is read off one run: an
attempt counts as failed if any of its contexts is longer, though a child that is cut might not have mattered.  Left
out: pass@n as a claim (it is noted), latency on machines, a second round.

Details that matter
-------------------
- Both ways learn from the same problems and from as many trained tokens; threads see more and shorter sequences.
  `tokens` counts those of children too, `tokens in sequence` the parent's and the longest child's.
- The runtime rebuilds a child's prompt from what the parent wrote and takes its results at their word; children that
  are ordered twice have draws of their own.  (In the released code equal prompts collide, and one result stays empty.)
- Reinforcement and the headline have one context, `caps[1]`; accuracy within the others shows the whole curve, so that
  it is seen where the serial search fails for want of room alone.
- `serial-vote` answers by the majority of several samples, each with a context of its own: the trivial way to use many
  contexts.  What finds nothing or is cut abstains.  `votes` is to be so large that it samples at least the tokens that
  threads do, all counted.  `crossed` lets the parent hear every child's result as if it came from another (null).
- Recognising that a result is the target comes late and at once: after 1.5 million tokens children say none of their
  successes, after 3.5 million threads solve half.  Four numbers were out of reach: 0 to 3 of 100 dev puzzles.
- On dev puzzles of one seed reinforcement at 1e-4 took threads from 43 to 55% within 96 tokens and the serial search
  from 44 to 51%; at 5e-5 with groups of 5 half of that or less, at 3e-4 both lost.
- A success is what a child calls one; no verifier has a say in it.
- With the width prescribed (`wide`), reinforcement cannot gain by ordering more children: what is left is deciding
  better, which the paper finds to be nothing.  So the claim is about the widest context: within 96 tokens reinforcement
  gains 21 points [+17, +26] by room, as the width is asked for and not enforced, and parents came to order fewer
  children (7.6 to 6.7) in fewer tokens (89 in sequence to 79).
- Reinforcement sampled and learned from about twice as many tokens with threads as serially: it has equal steps.
- Beginners differ by seed more than the ways do: taught alike, threads were right within 96 tokens on 23 to 62%.  One
  beginner of each way for all seeds, or longer lessons, would decide more.

At full size
------------
`trivium claim apr --size full --policy hf:FOLDER` with a model that was taught both texts, or the released ones
(`Parallel-Reasoning` on the Hub); any instructed model can be tried untaught: `trivium solve parallel:by=policy`.

References
----------
Pan et al. 2025, arXiv:2504.15466 (text and appendix); code Parallel-Reasoning/APR (search, runtime, trainer).
Gandhi et al. 2024 (Stream of Search), arXiv:2404.03683, for the serial search.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from trivium.claims import Claim
from trivium.data.threads import calls, fitting, in_sequence
from trivium.lab.bases import blank, given
from trivium.lab.code import digest
from trivium.lab.countdown_threads import FREE, WIDE, Way, lessons, puzzle, serial, threads
from trivium.lab.lab import Lab, Scored
from trivium.lab.measure import attempts, ids, pass_at, scored, vote_right
from trivium.lab.on_policy import reinforce_method, several
from trivium.lab.recipe import Paper, Recipe
from trivium.lab.train import imitate
from trivium.policies.local import LocalPolicy

CONTEXTS = ("tight", "middle", "wide")


@dataclass(frozen=True)
class Size:
    """`taught` tokens of imitation in about `lessons` steps; then `steps` of `prompts` groups of `samples`.

    `caps` are contexts in tokens: the tightest, that of reinforcement and of the headline, and the widest.
    """

    task: str = "countdown:numbers=3,largest=20,target=99,ops=+-*,use_all=true"
    model: str = "200k"
    examples: int = 6000
    lessons: int = 1750
    taught: int = 3_500_000
    lesson_lr: float = 3e-3
    steps: int = 30
    prompts: int = 16
    samples: int = 8
    lr: float = 1e-4
    caps: tuple[int, int, int] = (64, 96, 320)
    votes: int = 4
    test: int = 400


SIZES = {
    "smoke": Size(model="30k", examples=8, lessons=2, taught=600, steps=2, prompts=1, caps=(24, 32, 40), test=4),
    "lab": Size(),
    "full": Size(
        "countdown:numbers=4,largest=30,target=99,ops=+-*,use_all=true", "10M", 10**5, 10**4, 10**8, 1e-3, 150, 64
    ),
}


def beginner(lab: Lab[Size], way: Way) -> LocalPolicy:
    """A fresh copy of the policy that imitated one way to search, for as many tokens as the other's."""

    def make(inner: Lab[Size]) -> LocalPolicy:
        s, policy = inner.size, blank(inner, inner.size.model, [])
        shown = lessons(policy, inner.problems(s.task, "train", s.examples), way)
        sequences = s.taught * len(shown) / sum(len(d.ids) for d in shown)
        batch = max(1, round(sequences / s.lessons))
        imitate(inner, policy, shown, steps=round(sequences / batch), batch=batch, lr=s.lesson_lr)
        inner.charge("pretrain_sequences", batch * inner.spent.pop("optimiser_steps"))
        inner.charge("pretrain_tokens", inner.spent.pop("trained_tokens"))
        return policy

    return given(lab.policy_spec) if lab.policy_spec else lab.policy(f"beginner-{way.__name__}", make)


def trained(lab: Lab[Size], way: Way, width: str = FREE) -> LocalPolicy:
    """The beginner after reinforcement in the middle context, made once for all arms that use it."""

    def make(inner: Lab[Size]) -> LocalPolicy:
        s, policy = inner.size, beginner(inner, way)
        reinforce_method(
            inner, policy, puzzle(inner.task(s.task), width), partial(way, cap=s.caps[1], temperature=1.0),
            steps=s.steps, prompts=s.prompts, samples=s.samples, lr=s.lr,
        )  # fmt: skip
        return policy

    return lab.policy(f"{way.__name__}-{digest([width])}", make)


def measured(lab: Lab[Size], *, way: Way, width: str = FREE, learnt: bool = True, crossed: bool = False) -> Scored:
    """Greedy attempts within the widest context, and what of them fits into the others."""
    s, task = lab.size, puzzle(lab.task(lab.size.task), width)
    policy = trained(lab, way, width) if learnt else beginner(lab, way)
    problems, cap = lab.problems(task, "test", s.test), s.caps[-1]
    how = partial(threads, cap=cap, crossed=True) if crossed else partial(way, cap=cap)
    traces = attempts(lab, policy, task, problems, how)
    found, made = scored(problems, traces), [calls(trace) for trace in traces]
    within = {
        f"accuracy, {name} context": fitting(found.scores["accuracy"], made, most)
        for name, most in zip(CONTEXTS, s.caps, strict=True)
    }
    waited, children = [float(in_sequence(m)) for m in made], [float(sum(not call.own for call in m)) for m in made]
    return Scored(found.questions, {**found.scores, **within, "tokens in sequence": waited, "children": children})


def voted(lab: Lab[Size]) -> Scored:
    """The majority of several serial samples, each with the middle context to itself."""
    s, task, policy = lab.size, puzzle(lab.task(lab.size.task), FREE), trained(lab, serial)
    problems, how = lab.problems(task, "test", s.test), partial(serial, cap=s.caps[1], temperature=1.0)
    groups = several(lab, policy, task, problems, how, s.votes, seed=lab.seed, unit="test_tokens")
    judged = [[(trace.response, trace.verdict) for trace in group if trace.verdict] for group in groups]
    scores: dict[str, list[float | None]] = {
        f"accuracy, {CONTEXTS[1]} context": [float(vote_right(group)) for group in judged],
        "pass@votes": pass_at(judged, s.votes),
        "tokens": [float(sum(trace.usage.sampled_tokens for trace in group)) for group in groups],
    }
    return Scored(ids(problems), scores)


SPENT = ("pretrain_tokens", "optimiser_steps", "rollouts")
RECIPE = Recipe(
    slug="apr",
    paper=Paper(118, arxiv="2504.15466"),
    says="Searches handed to children, each in a context of its own, beat one line of thought in an equal context.",
    arms={
        "serial-taught": partial(measured, way=serial, learnt=False),
        "serial": partial(measured, way=serial),
        "serial-vote": voted,
        "threads-taught": partial(measured, way=threads, learnt=False),
        "threads": partial(measured, way=threads),
        "crossed": partial(measured, way=threads, crossed=True),
        "wide-taught": partial(measured, way=threads, width=WIDE, learnt=False),
        "wide": partial(measured, way=threads, width=WIDE),
    },
    sizes=SIZES,
    claims=[
        Claim(
            "threads beat a serial search when no context may be longer than 96 tokens",
            better="threads", worse="serial", metric="accuracy, middle context", margin=0.05, matched=SPENT,
            null="crossed", rivals=("serial-vote",),
            paper="83.4% against 60.0% with contexts of 4,096 tokens; against a vote 80.1 to 66.6 at 20,000 in all",
        ),
        Claim(
            "and where the serial search has room enough",
            better="threads", worse="serial", metric="accuracy, wide context", margin=0.02, matched=SPENT,
            rivals=("serial-taught",), paper="no longer contexts; below 4,096 tokens in all the serial search wins",
        ),
        Claim(
            "they keep fewer tokens waiting for one another",
            better="threads", worse="serial", metric="tokens in sequence", unit="tokens", lower=True,
            margin=10.0, matched=SPENT, paper="75.2% against 57.3% at about 5 seconds",
        ),
        Claim(
            "reinforcement improves threads", better="threads", worse="threads-taught",
            metric="accuracy, middle context", margin=0.02, matched=("pretrain_tokens",), paper="75.5% to 83.4%",
        ),
        Claim(
            "by ordering more children", better="threads", worse="threads-taught", metric="children", unit="children",
            margin=0.3, matched=("pretrain_tokens",), paper="6.1 to 8.2 children",
        ),
        Claim(
            "and also where their number is prescribed, with room enough", better="wide", worse="wide-taught",
            metric="accuracy, wide context", margin=0.02, matched=("pretrain_tokens",),
            paper="no gain with 10 children: 83.2% to 83.3%",
        ),
    ],
    seeds=4, tried=10,
)  # fmt: skip
