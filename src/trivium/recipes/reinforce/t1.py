"""T1: reinforcement learning that explores, by many hot samples a prompt, a bonus for entropy and an anchor that moves.

Idea
----
A policy that samples nearly the same answer every time has nothing to learn from.  T1 starts from chains that try, fail
and check themselves, so that there is something to explore with, and then keeps exploration up: many samples for every
prompt, drawn above temperature 1, a bonus for entropy, and a reference that follows the policy instead of holding it
back.

Algorithm
---------
1. Imitate chains in which several attempts fail, each seen to fail, before one is right.
2. RLOO with K samples a prompt at temperature T > 1: A_i = R'_i - mean of the other K - 1, R' = R - beta log(pi / ref).
3. R = 1 for a right answer and 0 for a wrong one, and -1 whatever the answer where a rule finds repetition.
4. Subtract c times the entropy of every sampled token's distribution from the loss.
5. After each step ref <- m ref + (1 - m) pi.

Departs from the paper
----------------------
Four numbers of 1 to 10 that are to make a target by signs alone, for a 200k-parameter transformer, in place of
mathematics for 9B to 32B parameters; K is 4 or 16, not up to 64.  The abstract of the second version no longer names
bonus and anchor.  beta, c and m are unverified: what is here was guessed.  The entropy's gradient is estimated from
the sampled tokens (`learn.entropy`).  Repetition is a line that is said again; there are no rules for garbled or
overlong answers.  Left out: choosing prompts that are solved at most three times in ten (all arms would have them
alike), K at equal prompts, T below 1 and at 1.5, no anchor at all, the penalty by itself, bonus and anchor apart.

Details that matter
-------------------
- Every trained arm has the same rollouts and optimiser steps: K = 16 sees a quarter of the prompts of K = 4.
- Log-probs are those at the sampling temperature, or learning would be off-policy; every arm is tested greedily.
- KL to a moving anchor says nothing about drift: `kl` (to the beginner) and `entropy` are measured at the end.
- What an answer is worth when the thinking is cut after n tokens is read off the greedy answer: the last attempt that
  stands there whole is taken for the answer, in every arm alike, so that no arm fails by its form.
- `random-reward` has the whole system with coin flips as rewards (null); `more-sft` imitates fresh chains, as many as
  there are rollouts, in as many steps.  `held` has neither bonus nor moving anchor.
- Reinforcement, and what `more-sft` imitates, has problems that no chain was shown of.
- What the policy starts from decides.  Where it could not judge its attempts (15% right), reinforcement taught it to
  say that the first is right and stop, at every rate.  With the target written beside what an attempt makes (see
  `data.sign_chains`) judging is learnt, 40% are right, and more thinking is better than less from the start.
- Where nothing is gained over the start, parts can add little: the last claim is on that gain, at equal pretraining
  alone.
- The chains shown have up to two failures; `cap` leaves room for a third and fourth attempt.
- The rate is the best of those tried on dev problems: plain RLOO loses at three times as much, while the system does
  not yet.

At full size
------------
`trivium claim t1 --size full --policy hf:FOLDER` with a model that was taught such chains, or
`trivium learn --objective rloo:beta=0.01 --temperature 1.2 --samples 64 --warmup-steps 0` on a `file:` task of
mathematics after supervised learning on the released THUDM/T1 chains.

References
----------
Hou et al. 2025, arXiv:2501.11651 (v1 and abstract of v2); THUDM/T1 (weights and data; no training code).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from trivium.claims import Claim
from trivium.data.countdown_search import state
from trivium.data.sign_chains import chain, forced
from trivium.lab.bases import given, taught
from trivium.lab.cut_short import cut_short
from trivium.lab.drift import drift
from trivium.lab.lab import Lab, Scored
from trivium.lab.measure import attempts, scored
from trivium.lab.on_policy import reinforce_anchored
from trivium.lab.recipe import Paper, Recipe
from trivium.lab.reworded import Reworded
from trivium.lab.train import demonstrations, imitate
from trivium.lab.unseen import unseen
from trivium.learn.entropy import with_entropy
from trivium.learn.policy_gradient import rloo
from trivium.policies.local import LocalPolicy
from trivium.rewards import REWARDS
from trivium.rewards.repetition import unless_repeated
from trivium.types import Problem


@dataclass(frozen=True)
class Size:
    """`lessons` steps on chains of up to `fails` failures, then `steps` of `rollouts`, `many` or `few` a prompt.

    `kl` is beta, `bonus` c and `hold` m; `cuts` are characters, a token each
    here, after which an answer is forced at the test.
    """

    task: str = "countdown:numbers=4,largest=10,target=40,ops=+-,use_all=true"
    model: str = "200k"
    examples: int = 2000
    lessons: int = 1200
    batch: int = 16
    lesson_lr: float = 6e-3
    fails: int = 2
    cap: int = 100
    steps: int = 20
    rollouts: int = 64
    many: int = 16
    few: int = 4
    lr: float = 1e-4
    imitating: float = 6e-4
    heat: float = 1.2
    kl: float = 0.01
    bonus: float = 0.003
    hold: float = 0.9
    cuts: tuple[int, ...] = (25, 45, 65)
    test: int = 360


SIZES = {
    "smoke": Size(model="30k", examples=8, lessons=2, cap=24, steps=2, rollouts=4, many=4, few=2, test=8),
    "lab": Size(),
    "full": Size(
        "countdown:numbers=4,largest=99,target=200,ops=+-,use_all=true", "10M", 100_000, 10_000, 32, 1e-3,
        fails=4, cap=200, steps=300, rollouts=2048, many=64, few=8, lr=1e-5, imitating=1e-4, test=2000,
    ),
}  # fmt: skip


def puzzle(lab: Lab[Size]) -> Reworded:
    """The task, asked as `2 3 7 12>14`."""
    return Reworded(lab.task(lab.size.task), lambda p: state(p.reference["numbers"], p.reference["target"]))


def shown(lab: Lab[Size]) -> list[tuple[Problem, str]]:
    problems = lab.problems(puzzle(lab), "train", lab.size.examples, seed=1000 + lab.seed)
    return [(problem, chain(problem, lab.size.fails)) for problem in problems]


def fresh(lab: Lab[Size]) -> list[tuple[Problem, str]]:
    """As many chains as there are rollouts, about problems that none was shown of: all that `few` a prompt reach."""
    problems = unseen(lab, puzzle(lab), lab.size.steps * lab.size.rollouts // lab.size.few)
    return [(p, chain(replace(p, key=f"{p.key}/{i}"), lab.size.fails)) for p in problems for i in range(lab.size.few)]


def beginner(lab: Lab[Size]) -> LocalPolicy:
    """A fresh copy of the policy that imitated such chains."""
    s = lab.size
    return given(lab.policy_spec) if lab.policy_spec else lab.policy(
        "beginner", lambda inner: taught(inner, shown(inner), s.model, s.lessons, s.batch, s.lesson_lr)
    )  # fmt: skip


def imitated(lab: Lab[Size], *, more: bool = False) -> Scored:
    """The beginner, or after as many further steps on fresh chains, as many as there are rollouts."""
    s, policy = lab.size, beginner(lab)
    if more:
        imitate(lab, policy, demonstrations(policy, fresh(lab)), steps=s.steps, batch=s.rollouts, lr=s.imitating)
    return measured(lab, policy)


def explored(
    lab: Lab[Size], *, few: bool = False, cool: bool = False, bonus: bool = True, moving: bool = True,
    tidy: bool = True, pay: str = "outcome",
) -> Scored:  # fmt: skip
    """RLOO with all parts of the system or without some of them; `tidy` is the penalty for repetition."""
    s, policy, reward = lab.size, beginner(lab), REWARDS.build(pay)
    samples = s.few if few else s.many
    reinforce_anchored(
        lab, policy, puzzle(lab), steps=s.steps, prompts=s.rollouts // samples, samples=samples, lr=s.lr,
        max_tokens=s.cap, objective=with_entropy(rloo(beta=s.kl), s.bonus * bonus),
        reward=unless_repeated(reward) if tidy else reward, temperature=1.0 if cool else s.heat,
        hold=s.hold if moving else 1.0,
    )  # fmt: skip
    return measured(lab, policy)


def measured(lab: Lab[Size], policy: LocalPolicy) -> Scored:
    """Greedy accuracy, in full and when cut, and how far the policy has come from the beginner."""
    s, task = lab.size, puzzle(lab)
    problems = lab.problems(task, "test", s.test)
    traces = attempts(lab, policy, task, problems, max_tokens=s.cap)
    found, cut = scored(problems, traces), cut_short(task, problems, traces, s.cuts, forced)
    lab.note(**drift(lab, policy, beginner(lab), problems[: s.test // 5], max_tokens=s.cap)._asdict())
    return Scored(found.questions, {**found.scores, **cut})


SPENT = ("pretrain_tokens", "optimiser_steps", "rollouts")
PARTS = {
    "few": ("16 samples a prompt are better than 4", "up to 64: more accuracy, longer answers, less KL"),
    "cool": ("sampling at 1.2 is better than at 1", "1.2 is best; higher temperatures do harm"),
    "held": ("the bonus for entropy and the anchor that moves help", "they keep exploration up and let it go further"),
}
RECIPE = Recipe(
    slug="t1",
    paper=Paper(91, arxiv="2501.11651"),
    says="Many hot samples a prompt, an entropy bonus and a moving anchor beat plain RLOO at equal rollouts.",
    arms={
        "sft": imitated,
        "more-sft": partial(imitated, more=True),
        "plain": partial(explored, few=True, cool=True, bonus=False, moving=False, tidy=False),
        "t1": explored,
        "few": partial(explored, few=True),
        "cool": partial(explored, cool=True),
        "held": partial(explored, bonus=False, moving=False),
        "random-reward": partial(explored, pay="random"),
    },
    sizes=SIZES,
    claims=[
        Claim(
            "the whole system beats RLOO with few samples at temperature 1, no bonus and a fixed anchor", better="t1",
            worse="plain", margin=0.03, matched=SPENT, null="random-reward", rivals=("more-sft",),
            paper="the system lifts Qwen2.5-14B from 77.2 to 87.4 on MATH500; its parts are shown to help one by one",
        ),
        Claim(
            "it gains what further imitation does not", better="t1", worse="more-sft", margin=0.03,
            matched=SPENT[:2], null="random-reward", paper="T1-SFT to T1: 60.2 to 65.8, 77.2 to 87.4, 83.4 to 92.4",
        ),
        Claim(
            "and makes more of thinking on than imitation does", better="t1", worse="more-sft", margin=0.02,
            metric="gain by thinking on", matched=SPENT[:2], paper="accuracy rises more with the tokens of thinking",
        ),
        *(Claim(says, "t1", arm, 0.02, matched=SPENT, paper=paper) for arm, (says, paper) in PARTS.items()),
        Claim("and it gains on what it starts from", "t1", "sft", 0.02, matched=SPENT[:1], paper="60.2 to 65.8"),
    ],
    seeds=8, tried=20,
)  # fmt: skip
