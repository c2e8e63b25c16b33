"""MCTS-DPO: the policy searches with a tree, learns which of two next steps is better, and searches again.

Idea
----
A tree search says more about a solution than its outcome: siblings in the tree are alternatives at one place, and their
values differ.  Preferring the better to the worse sibling trains single steps, and searching with the policy that is
being trained keeps the pairs about mistakes that it really makes.

Algorithm
---------
1. Search every prompt of a round with the current policy: PUCT over lines of the solution, valued by rollouts.
2. After every beginning in the tree take the sibling of highest and of lowest value as a pair.
3. DPO on the tokens from the first difference on; the chance that a pair is the wrong way round is
   N_worse / (N_better + N_worse), at most one half, N being visits.  The reference is the initial policy.
4. Repeat with the policy that this gave.

Departs from the paper
----------------------
A small transformer on chained arithmetic, steps are lines.  No self-evaluation (the paper's shows the gold solution to
the judge in training); values are outcomes of rollouts alone.  All pairs of a tree are used, where the paper takes
those on the path that its search commits to.  Rounds of prompts and updates alternate instead of one prompt a time: two
of 20,000 sampled tokens.  A search without smoothing is left out (on dev it made no difference).

Details that matter
-------------------
- Every arm may sample the same number of tokens and takes the same number of updates of the same batch (`grpo`: the
  same tokens).  What a search spends on a prompt depends on the tree, so prompts are dealt until the tokens are spent.
- Pairs want small rates and large batches.  On dev eight steps of 128 pairs at 3e-5 lifted bases of 62% and 60% to some
  75% and 69%, by either kind of pair alike; at 1e-4 they gained nothing, and three times as many steps of 32 pairs at
  that rate ruined the model.  20,000 tokens of search give about 140 pairs of steps, of plain samples 100 of responses.
- A search ends by itself after about 125 tokens here; the limit of 160 a prompt keeps the trees many and the run short.
- A rollout to the end is no sibling of the steps that it starts beside, though its end has a value; it was paired with
  them until 29 settings had been tried.
- Outcomes come from the verifier, on training problems only, in every arm alike.
- `offline` makes all trees with the initial policy; `plain-steps` takes the pairs of steps from plain samples (no
  search); `coin` turns every pair by a coin (null).
- Seeds 0 to 5 were asked 500 questions each, which left the headline open at its margin; other seeds are asked 2,000,
  for answering costs little beside searching.

At full size
------------
`trivium improve --method mcts --data process:by=value,smooth=true --warmup-steps 0 --policy hf:FOLDER --task file:...`
with beta 0.1, rate 1e-6 and 64 simulations a step on GSM8K or MATH prompts.

References
----------
Xie et al. 2024, arXiv:2405.00451; code YuxiXie/MCTS-DPO (mcts.py, tsrl_trainer.py).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from trivium.claims import Claim
from trivium.data.pairs import Pairs
from trivium.data.reject import Reject
from trivium.data.siblings import sampled_lines, searched_lines
from trivium.data.step_pairs import Process
from trivium.data.trees import Tree
from trivium.lab.bases import Lesson, base
from trivium.lab.forest import forest
from trivium.lab.lab import Lab, Scored
from trivium.lab.measure import greedy_accuracy
from trivium.lab.null_pairs import coined
from trivium.lab.recipe import Paper, Recipe
from trivium.lab.train import imitate, prefer, reinforce
from trivium.policies.local import LocalPolicy
from trivium.search import method


@dataclass(frozen=True)
class Size:
    """`rounds` of `tokens` sampled tokens, at most `most` a prompt; then `steps` updates of `batch` examples."""

    lesson: Lesson = Lesson(
        ("sums:terms=6,min_terms=3,digits=1,ops=+", "sums:terms=5,min_terms=4,digits=1"), "100k", 2000, 500, lr=8e-3,
        offset=1_000_000,
    )  # fmt: skip
    rounds: int = 2
    tokens: int = 20_000
    most: int = 160
    steps: int = 8
    batch: int = 128
    lr: float = 3e-5
    beta: float = 0.1
    imitating: float = 3e-4
    reinforcing: float = 1e-4
    test: int = 2000


SIZES = {
    "smoke": Size(Lesson(("sums:terms=3,digits=1",), "30k", 64, 30, 16), 1, 300, 100, 2, 4, test=8),
    "lab": Size(),
    "full": Size(rounds=8, tokens=5_000_000, most=4096, steps=100, batch=64, lr=1e-6, imitating=1e-5, reinforcing=1e-6),
}
SEARCH = "mcts:n=none,branch=3,depth=4,exploration=1,by=oracle,temperature=1"
PLAIN = "vote:n=none,temperature=1"
Data = Literal["search", "plain-steps", "responses", "correct"]


def examples(policy: LocalPolicy, data: Data, trees: Sequence[Tree], seed: int) -> Sequence[Any]:
    """What is learned from trees: pairs of steps or of responses, or right responses."""
    if data == "responses":
        return Pairs()(trees, seed)
    if data == "correct":
        return Reject()(trees, seed)
    [newline] = policy.encode_text("\n")
    lines = sampled_lines(trees, newline) if data == "plain-steps" else searched_lines(trees, newline, policy.eos)
    return Process(by="value", smooth=True).pairs(lines)


def improve(lab: Lab[Size], *, data: Data = "search", offline: bool = False, coin: bool = False) -> Scored:
    """Rounds of sampling and learning from what was sampled, then greedy answers to the test questions."""
    s, policy = lab.size, base(lab, lab.size.lesson)
    initial = base(lab, s.lesson)
    task, how = lab.task(s.lesson.tasks[-1]), method(SEARCH if data == "search" else PLAIN)
    rng = random.Random(lab.seed)
    for r in range(s.rounds):
        grow = partial(
            forest, policy=initial if offline else policy, task=task, method=how, tokens=s.tokens, most=s.most,
            seed=lab.seed + 1000 * (r + 1),
        )  # fmt: skip
        # The first trees are those of the initial policy in every arm: made once, paid by each.
        trees = grow(lab) if r else lab.data(f"first-trees-{data == 'search'}", grow)
        made = examples(policy, data, trees, lab.seed + r)
        lab.note(**{f"examples_{r + 1}": len(made)})
        if data == "correct":
            imitate(lab, policy, made, steps=s.steps, batch=s.batch, lr=s.imitating)
            continue
        if coin:
            made = coined(made, rng)
        prefer(
            lab, policy, made, steps=s.steps, batch=s.batch, lr=s.lr, objective=f"step-dpo:beta={s.beta}",
            reference=initial,
        )  # fmt: skip
    return greedy_accuracy(lab, policy, task, lab.problems(task, "test", s.test))


def grpo(lab: Lab[Size]) -> Scored:
    s, policy, task = lab.size, base(lab, lab.size.lesson), lab.task(lab.size.lesson.tasks[-1])
    reinforce(
        lab, policy, task, steps=10_000, prompts=16, samples=8, lr=s.reinforcing, max_tokens=task.max_tokens,
        allowance=s.rounds * s.tokens,
    )  # fmt: skip
    return greedy_accuracy(lab, policy, task, lab.problems(task, "test", s.test))


RECIPE = Recipe(
    slug="mcts-dpo",
    paper=Paper(135, arxiv="2405.00451"),
    says="Preferring steps that a tree search values, with the policy in training searching, beats pairs of responses.",
    arms={
        "mcts-dpo": improve,
        "offline": partial(improve, offline=True),
        "plain-steps": partial(improve, data="plain-steps"),
        "instance-dpo": partial(improve, data="responses"),
        "rejection-sft": partial(improve, data="correct"),
        "grpo": grpo,
        "coin": partial(improve, coin=True),
    },
    sizes=SIZES,
    claims=[
        Claim(
            "step preferences from a tree search beat preferences between whole responses at equal sampled tokens",
            better="mcts-dpo", worse="instance-dpo", margin=0.02,
            matched=("pretrain_tokens", "sampled_tokens", "optimiser_steps"), null="coin",
            rivals=("rejection-sft", "plain-steps", "grpo"),
            paper="step pairs beat instance pairs; Mistral-7B from 75.9 to 81.8 on GSM8K with the whole method",
        ),
        Claim(
            "searching with the policy in training beats trees of the initial policy",
            better="mcts-dpo", worse="offline", margin=0.02,
            matched=("pretrain_tokens", "sampled_tokens", "optimiser_steps"), null="coin",
            paper="online is better than offline use of the same machinery",
        ),
    ],
    seeds=10,
    first_seed=6,
    tried=29,
)  # fmt: skip
