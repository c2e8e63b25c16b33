"""OREO: learn a policy and its value from a fixed set of samples, so that every token gets its own credit.

Idea
----
Imitating right samples wastes the wrong ones; preferring right to wrong needs pairs and credits all tokens alike.  The
best policy near a reference and its value satisfy an equation in every state of every sample, whoever drew it and
however it ended.  Fit both to it: no pairs, and the value says where a sample went wrong.

Algorithm
---------
1. Draw 10 samples for each prompt from the fine-tuned policy, once; the reward R is 1 if right, else 0.
2. With l_i = log pi/ref of token i, value: mean_t (V(s_t) - R + beta sum_{i >= t} l_i)^2, the log-ratios held fixed.
3. Policy: the same square, in which l_t alone carries a gradient, plus a small KL to the reference.  Values are those
   before step 2 of the same batch.
4. By step: states at line breaks, actions are lines.  By response: one state, one action.
5. When answering, a beam: each of B beginnings gets B next lines, the B of highest value stay, the best end wins.

Departs from the paper
----------------------
A 100k-parameter model on chained sums in place of Qwen2.5-Math-1.5B and DeepSeekMath-7B on mathematics; agents in
ALFWorld are left out, and so are KTO, further iterations, and a beam on the policy that was not trained.  The KL is
estimated on the samples, which the reference drew, and not summed over the vocabulary.

Details that matter
-------------------
- The gradient of the square in step 3 is that of REINFORCE with 2 beta (R - beta sum_{i >= t} l_i - V(s_t)) as
  advantage, which is how it is computed; a test on a small tree finds the exact best policy and value.
- The value is a copy of the policy with a head of zeros.  The state after the last token is not learned.
- All arms see the same samples and as many responses in as many steps.  The value is a second network: `critic_tokens`
  says what it cost, and `rft-long` imitates for twice as many steps.
- Every way has the best of the rates tried on dev problems.  With the paper's leashes of 0.1 and 0.3 `step` and
  `response` have the same one, of 3e-6, 1e-5, 3e-5 and 1e-4: 77% and 76% (means of two seeds), 74% at 1e-5, 75% and
  70% at 1e-4.  With the leash of `token`, ten and thirty times as weak, both broke at 3e-5 (one seed, 46 to 49%), and
  lost to `token` by 4.0 points [+2.3, +5.7]: older lines of the ledger are of that.
- Rates differ by an order of magnitude: imitation is as good at 3e-5 as at 3e-4, learning by token holds up to 3e-5 and
  loses what it gained at 1e-4, and DPO wants 3e-6.  Nothing here keeps a wrong response from being pushed far away:
  beta of 0.3 and ten times the leash hold for `token` at 1e-4 as well, and are no better than what the paper takes.  At
  ten times the leash alone the policy stays where it was.
- `told apart` of `step` and `response` reads their values where they were not fitted, in the midst of a line; only that
  of `token` is a claim.
- `coin` deals the outcomes of each prompt's samples anew (null).
- `told apart` is the share of held-out problems where the value (or, without one, log pi/ref of the line) puts the
  right line above a wrong one in its place: the first that the untrained policy wrote itself, or where its sample has
  none, a slip put into the solution.
- `beam`, `vote` and `best-of-n` answer with the policy and the value of `token`; the latter two may sample as many
  tokens as the beam took.

At full size
------------
`trivium claim oreo --size full --policy hf:FOLDER` runs the arms; for the paper's setting Qwen2.5-Math-1.5B after
fine-tuning, 10 samples a question of GSM8K and MATH, beta 0.03, rate 5e-6, batches of 128, one pass.

References
----------
Wang et al. 2024, arXiv:2412.16145, sections 3 and 4, appendices A to C; code jwhj/OREO (pcl_trainer.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from trivium.claims import Claim
from trivium.data.contrast import right_ones, shuffled_outcomes
from trivium.data.pairs import outcome_pairs
from trivium.lab.bases import Lesson, base
from trivium.lab.bellman import by_value, fit_bellman
from trivium.lab.drawn import draw
from trivium.lab.lab import Lab, Scored
from trivium.lab.matched import cost_of
from trivium.lab.measure import attempts, greedy_accuracy, scored
from trivium.lab.mistakes import mistakes, told_by_ratio, told_by_values
from trivium.lab.recipe import Paper, Recipe
from trivium.lab.select import copied, put, weights
from trivium.lab.train import imitate, prefer
from trivium.lab.unseen import unseen
from trivium.learn.batch import Rollout
from trivium.learn.critic import Critic, critic
from trivium.learn.soft_bellman import Level
from trivium.policies.local import LocalPolicy
from trivium.search import method

TASKS = ("sums:terms=6,min_terms=3,digits=1,ops=+", "sums:terms=5,min_terms=4,digits=1")
LEASH: dict[Level, float] = {"token": 0.01, "step": 0.1, "response": 0.3}
"""What leaving the reference costs, by how long an action is: the paper's."""


@dataclass(frozen=True)
class Size:
    """`samples` for each of `prompts`, drawn once; `steps` of `batch` responses; a beam of `width` on `searched`
    questions.  The lesson's last task is the one that is learned and tested.  `coarse_lr` is for steps and responses.
    """

    lesson: Lesson = Lesson(TASKS, "100k", 2000, 500, lr=8e-3, offset=1_000_000)
    prompts: int = 256
    samples: int = 10
    steps: int = 80
    batch: int = 32
    lr: float = 1e-5
    coarse_lr: float = 3e-5
    critic_lr: float = 1e-3
    imitating: float = 1e-4
    preferring: float = 3e-6
    width: int = 3
    test: int = 400
    searched: int = 100


SMALL = Lesson(("sums:terms=3,digits=1",), "30k", 128, 40, 16, 8e-3)
SIZES = {
    "smoke": Size(SMALL, 4, 4, 2, 8, width=2, test=4, searched=2),
    "lab": Size(),
    "full": Size(Lesson(TASKS), 10_000, 10, 800, 128, 5e-6, 5e-6, 5e-6, 1e-5, 5e-7, 7, 1000, 1000),
}


def sampled(lab: Lab[Size]) -> list[Rollout]:
    """The fixed set of samples, judged."""
    s, policy, task = lab.size, base(lab, lab.size.lesson), lab.task(lab.size.lesson.tasks[-1])
    return draw(lab, policy, task, unseen(lab, task, s.prompts), n=s.samples, seed=lab.seed).rollouts


def learned(lab: Lab[Size], level: Level = "token", coin: bool = False) -> tuple[LocalPolicy, Critic]:
    """Policy and value by tokens, steps or responses, made once."""

    def make(inner: Lab[Size]) -> tuple[dict[str, Any], dict[str, Any]]:
        s, made, rows = inner.size, base(inner, inner.size.lesson), inner.data("samples", sampled)
        rows = shuffled_outcomes(rows, inner.seed) if coin else rows
        judge = fit_bellman(
            inner, made, rows, lr=s.lr if level == "token" else s.coarse_lr, critic_lr=s.critic_lr, steps=s.steps,
            batch=s.batch, level=level, leash=LEASH[level],
        )  # fmt: skip
        return weights(made), copied(judge.model)

    found, values = lab.data(f"{level}{'-coin' * coin}", make)
    policy = base(lab, lab.size.lesson)
    put(policy, found)
    judge = critic(policy.model)
    judge.model.load_state_dict(values)
    return policy, judge


def imitated(lab: Lab[Size], *, times: int = 1) -> Scored:
    """Fine-tune on the right samples, each different one once a pass."""
    s, policy, shown = lab.size, base(lab, lab.size.lesson), right_ones(lab.data("samples", sampled))
    imitate(lab, policy, shown, steps=times * s.steps, batch=s.batch, lr=s.imitating)
    return measured(lab, policy)


def preferred(lab: Lab[Size]) -> Scored:
    """DPO on right against wrong samples of a prompt, as many responses a step as the others."""
    s, policy, pairs = lab.size, base(lab, lab.size.lesson), outcome_pairs(lab.data("samples", sampled))
    prefer(lab, policy, pairs, steps=s.steps, batch=s.batch // 2, lr=s.preferring)
    return measured(lab, policy)


def measured(lab: Lab[Size], policy: LocalPolicy, judge: Critic | None = None) -> Scored:
    """Greedy accuracy, and whether the right line is told from a wrong one."""
    task, start = lab.task(lab.size.lesson.tasks[-1]), base(lab, lab.size.lesson)
    problems = lab.problems(task, "test", lab.size.test)
    pairs = lab.data("mistakes", lambda inner: mistakes(inner, start, task, problems))
    told = told_by_values(judge, pairs) if judge else told_by_ratio(policy.model, start.model, pairs)
    found = greedy_accuracy(lab, policy, task, problems)
    return Scored(found.questions, {**found.scores, "told apart": told})


def searched(lab: Lab[Size], *, spec: str = "") -> Scored:
    """Answers by a beam that the value guides, or by as many sampled tokens in the way that `spec` names."""
    s, task, (policy, judge) = lab.size, lab.task(lab.size.lesson.tasks[-1]), learned(lab)
    named: Any = method(spec or f"beam:width={s.width},branch={s.width}")
    made = named if spec.startswith("vote") else partial(named, by=by_value(policy, judge))
    budget = cost_of(lab.apart().data("beam", searched)) if spec else None
    problems = lab.problems(task, "test", s.searched)
    return scored(problems, attempts(lab, policy, task, problems, made, budget=budget))


EQUAL = ("pretrain_tokens", "sampled_tokens", "optimiser_steps")
RECIPE = Recipe(
    slug="oreo",
    paper=Paper(130, arxiv="2412.16145"),
    says="A policy and its value by the soft Bellman equation learn more from fixed samples than imitation does.",
    arms={
        "base": lambda lab: measured(lab, base(lab, lab.size.lesson)),
        "rft": imitated,
        "rft-long": partial(imitated, times=2),
        "dpo": preferred,
        "token": lambda lab: measured(lab, *learned(lab)),
        "step": lambda lab: measured(lab, *learned(lab, "step")),
        "response": lambda lab: measured(lab, *learned(lab, "response")),
        "coin": lambda lab: measured(lab, *learned(lab, coin=True)),
        "beam": lambda lab: lab.data("beam", searched),
        "vote": partial(searched, spec="vote:n=none"),
        "best-of-n": partial(searched, spec="best-of-n:n=none"),
    },
    sizes=SIZES,
    claims=[
        Claim(
            "learning by token from all samples beats imitating the right ones",
            better="token", worse="rft", margin=0.02, matched=EQUAL, null="coin", rivals=("base", "rft-long", "dpo"),
            paper="Qwen2.5-Math-1.5B on GSM8K and MATH: 77.3 and 52.5, against 74.9 and 50.3 (DPO 74.4 and 49.2)",
        ),
        Claim(
            "credit by token beats credit by response",
            better="token", worse="response", margin=0.02, matched=EQUAL, rivals=("step",),
            paper="by token about as good as by step, both better than by response",
        ),
        Claim(
            "the value tells a wrong line from the right one in its place better than the log-ratios of DPO",
            better="token", worse="dpo", metric="told apart", margin=0.05, matched=EQUAL, rivals=("coin", "step"),
            paper="unverified",
        ),
        Claim(
            "a beam that the value guides beats a vote at equal sampled tokens",
            better="beam", worse="vote", margin=0.03, matched=("pretrain_tokens", "sampled_tokens", "test_tokens"),
            rivals=("best-of-n",), paper="a beam of 7 is 11.4% and 17.9% above greedy answers, relatively",
        ),
    ],
    seeds=10,
    tried=36,
)  # fmt: skip
