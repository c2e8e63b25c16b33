"""OREAL: clone one right sample of a prompt, push one wrong one away, and weigh both token by token.

Idea
----
With a reward of right or wrong, imitating the right ones of many samples already leads to the best policy near the
reference, however many were drawn.  It makes right samples likelier than the policy had them, so wrong ones have to be
weighed by how often the prompt fails to be seen on the same scale.  A reward for the whole response says little about
its tokens; a critic that must predict the outcome by a mean over tokens finds out which of them matter.

Algorithm
---------
1. Sample K responses to each prompt; of every prompt with both kinds keep one right and one wrong.
2. Critic: cross-entropy between the outcome and sigmoid(mean_t w_t), w_t being its value after token t.
3. With m_t the mean of w_1 to w_t: a token of a right response weighs max(2 sigmoid(m_t) - 1, 0), one of a wrong
   response max(1 - 2 sigmoid(m_t), 0).
4. Policy: minus the weighed log-likelihood of right responses, plus (1 - p) / 2 times that of wrong ones, each averaged
   over its own tokens, plus 0.01 KL to the policy at the start.  p is the share of the K that is right.
5. In the first steps the critic alone learns.

Departs from the paper
----------------------
A 100k-parameter model on chained sums in place of 7B and 32B on mathematics; 8 prompts of 8 samples a step in place of
64 of 16.  The critic learns from all samples of a step, since one pair a prompt is too little for a critic this small;
the sampling is the same.  A nucleus of 0.9, filtering and repeating prompts by their pass rate, and the fine-tuning on
skills that stay weak are left out.  The text does not say what the factor of wrong responses is: 1/2 is the code's.

Details that matter
-------------------
- Text and code weigh differently.  The code multiplies right responses by 2 (1 - p) K / (K - 1) and wrong ones by p K /
  (K - 1), their advantage over the others of the group (`as-coded`), the opposite of (1 - p) for wrong ones.
- m_t, the mean so far, is the code's; the text has w_t itself.  The code reads w_t before token t, here it is after.
- All values are 0 at first, so the weights are, and without the first steps of step 5 nothing would move.
- Weights are those of the critic before it learns from the same responses, as in the code.
- Arms spend equal rollouts, those of the first steps included; what a critic costs beside is in `critic_tokens`.  All
  have the same factor on leaving the reference, which weighs some twenty times more beside gradients that small weights
  make small.  `reinforce` (rewards of 1 and -1) and `grpo-pair` learn from one right and one wrong response a prompt as
  well; `grpo` from all, which is the stronger rival.
- Rates are the best on dev problems: 1e-4 of 5e-5, 1e-4 and 2.5e-4 without a critic, where they hardly differ; 5e-5
  with one, as weights are noise on top of the reward's, and twice that loses up to 10 points.  A critic's rate of 3e-4
  leaves weights near 0, 3e-3 makes them large before they mean anything.
- After some three thousand judged responses this critic is little better than chance at naming a wrong line (`credit`
  of 0.5 to 0.6 on dev), and the mean weight of a token is about a twentieth.
- `coin` deals the outcomes of a group anew (null).  `shuffled-weights` keeps the weights and loses their places (null
  of the second claim).
- `credit` is the share of held-out problems where the critic values the right line above a wrong one in its place: the
  first that the untrained policy wrote itself, or where its sample has none, a slip put into the solution.

At full size
------------
`trivium learn --objective signed-reinforce --warmup-steps 0 --policy hf:FOLDER --task file:...` clones the right
responses of mixed groups beside a reference; `trivium claim oreal --size full --policy hf:FOLDER` runs the arms.  The
authors took 64 prompts of 16, rate 5e-7 (critic 2e-6), 90 steps of which 10 for the critic alone.

References
----------
Lyu et al. 2025, arXiv:2502.06781, sections 2 and 3, table 2; code InternLM/OREAL (train_oreal.py, configs).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from trivium.claims import Claim
from trivium.data.contrast import (
    Pay,
    against_others,
    by_failures,
    even,
    one_of_each,
    only_right,
    shuffled_outcomes,
    succeeded,
)
from trivium.lab.bases import Lesson, base
from trivium.lab.drawn import draw
from trivium.lab.lab import Lab, Scored
from trivium.lab.measure import greedy_accuracy
from trivium.lab.mistakes import mistakes, told_by_values
from trivium.lab.recipe import Paper, Recipe
from trivium.lab.train import MICRO_TOKENS, step_with
from trivium.lab.unseen import unseen
from trivium.learn import OBJECTIVES
from trivium.learn.batch import step_batch
from trivium.learn.critic import Outcome, critic
from trivium.learn.fit import Learner, Optimiser
from trivium.learn.token_credit import shuffled_weights, token_weights, weighed

TASKS = ("sums:terms=6,min_terms=3,digits=1,ops=+", "sums:terms=5,min_terms=4,digits=1")


@dataclass(frozen=True)
class Size:
    """`steps` of `prompts` groups of `samples`, in the first `warm` of which a critic learns alone.

    `judged_lr` is the policy's rate where tokens are weighed.  The lesson's last task is the one that is reinforced and
    tested.
    """

    lesson: Lesson = Lesson(TASKS, "100k", 2000, 500, lr=8e-3, offset=1_000_000)
    steps: int = 44
    warm: int = 8
    prompts: int = 8
    samples: int = 8
    lr: float = 1e-4
    judged_lr: float = 5e-5
    critic_lr: float = 1e-3
    beta: float = 0.01
    test: int = 300


SMALL = Lesson(("sums:terms=3,digits=1",), "30k", 128, 40, 16, 8e-3)
SIZES = {
    "smoke": Size(SMALL, 3, 1, 2, 4, test=4),
    "lab": Size(),
    "full": Size(steps=90, warm=10, prompts=64, samples=16, lr=5e-7, judged_lr=5e-7, critic_lr=2e-6, test=1000),
}


def train(
    lab: Lab[Size], *, objective: str = "signed-reinforce", pay: Pay | None = None, judged: bool = False,
    shuffled: bool = False, coin: bool = False,
) -> Scored:  # fmt: skip
    """Reinforcement learning; with `pay` on one right and one wrong response a prompt, if `judged` token by token."""
    s, policy, task = lab.size, base(lab, lab.size.lesson), lab.task(lab.size.lesson.tasks[-1])
    asked, order = unseen(lab, task, s.steps * s.prompts), torch.Generator().manual_seed(lab.seed)
    how = rate(s.judged_lr, s.steps - s.warm) if judged else rate(s.lr, s.steps)
    learner = Learner(policy.model, how, MICRO_TOKENS, seed=lab.seed)
    learner.reference = copy.deepcopy(policy.model).requires_grad_(False)
    judge = critic(policy.model, rate(s.critic_lr, s.steps), MICRO_TOKENS) if judged else None
    plain: Any = OBJECTIVES.build(f"{objective}:beta={s.beta}")
    for step in range(s.steps):
        new, seed = asked[step * s.prompts :][: s.prompts], lab.seed * 1_000_003 + step
        drawn = draw(lab, policy, task, new, n=s.samples, seed=seed)
        lab.at("accuracy of rollouts", step + 1, drawn.mean("accuracy"))
        rollouts = shuffled_outcomes(drawn.rollouts, seed) if coin else drawn.rollouts
        kept = rollouts if pay is None else one_of_each(rollouts, pay)
        now = plain
        if judge is not None and kept:
            right, mask = torch.tensor([succeeded(r) for r in kept]), step_batch(kept).mask
            weights = token_weights(judge.values(kept), right, mask)
            lab.at("mean weight of a token", step + 1, float(weights[mask].mean()))
            now = weighed(plain, shuffled_weights(weights, mask, order) if shuffled else weights)
        if judge is not None:
            found = judge.learn(rollouts, Outcome(torch.tensor([succeeded(r) for r in rollouts])))
            lab.charge("critic_tokens", found.trained_tokens)
        if kept and (judge is None or step >= s.warm):
            step_with(lab, learner, kept, now)
            policy.weights_version += 1
    problems = lab.problems(task, "test", s.test)
    answered = greedy_accuracy(lab, policy, task, problems)
    if judge is None:
        return answered
    pairs = lab.data("mistakes", lambda inner: mistakes(inner, base(inner, s.lesson), task, problems))
    return Scored(answered.questions, {**answered.scores, "credit": told_by_values(judge, pairs)})


def rate(lr: float, steps: int) -> Optimiser:
    return Optimiser(lr=lr, steps=steps, lr_warmup=3, schedule="cosine", lr_floor=0.2, beta2=0.95)


EQUAL = ("pretrain_tokens", "rollouts")
RECIPE = Recipe(
    slug="oreal",
    paper=Paper(128, arxiv="2502.06781"),
    says="Cloning one right sample and repelling one wrong one, weighed by token, beats REINFORCE at equal rollouts.",
    arms={
        "reinforce": partial(train, pay=even),
        "grpo-pair": partial(train, objective="grpo", pay=even),
        "grpo": partial(train, objective="grpo"),
        "clone": partial(train, pay=only_right),
        "reshaped": partial(train, pay=by_failures),
        "oreal": partial(train, pay=by_failures, judged=True),
        "as-coded": partial(train, pay=against_others, judged=True),
        "shuffled-weights": partial(train, pay=by_failures, judged=True, shuffled=True),
        "coin": partial(train, pay=by_failures, judged=True, coin=True),
    },
    sizes=SIZES,
    claims=[
        Claim(
            "cloning with reshaped failures and token weights beats REINFORCE at equal rollouts",
            better="oreal", worse="reinforce", margin=0.02, matched=EQUAL, null="coin",
            rivals=("clone", "grpo", "grpo-pair", "as-coded"),
            paper="a 7B model on MATH-500: 85.8 with REINFORCE, 86.6 with shaped rewards, 87.6 with cloning, 89.0 with "
            "token weights",
        ),
        Claim(
            "weights by token add to it",
            better="oreal", worse="reshaped", margin=0.02, matched=EQUAL, null="shuffled-weights",
            paper="from 87.6 to 89.0 on MATH-500",
        ),
        Claim(
            "a critic that saw outcomes alone values a right line above a wrong one in its place",
            better="oreal", worse="coin", metric="credit", margin=0.05, matched=EQUAL,
            paper="not measured there",
        ),
    ],
    seeds=5,
    tried=13,
)  # fmt: skip
