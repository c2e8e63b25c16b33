"""EMPO: reinforcement learning without labels, paid by how many other answers of the group mean the same.

Idea
----
A model is right more often when its answers agree.  So the share of a group of answers that means the same as this one
can stand in for a verifier: raising it lowers the entropy of the meanings, and no label is asked for.

Algorithm
---------
1. Sample G answers to every unlabelled prompt and read the final answer of each; equal answers are one cluster.
2. R_i = |cluster of i| / G.  An answer that cannot be read gets 0.
3. One GRPO step on R.  Its mean is sum_c p_c^2: what is maximised is the chance that two samples agree (Renyi's entropy
   of order 2), not Shannon's entropy, whose gradient would pay log p_c.
4. Groups whose answers all differ or all agree have equal rewards and teach nothing.

Departs from the paper
----------------------
A 100k-parameter transformer on chained sums, after a short supervised start on other problems, in place of
Qwen2.5-Math on NuminaMath.  Clusters are equal numbers: no judge of meaning is needed.  GRPO with one update a step and
no KL, as in the paper's first code; its later code has GSPO's loss.  The entropy threshold is the one above (TRL code);
the text variant's (largest share below 0.2) is left out, as are the penalties for empty answers and copied questions.

Details that matter
-------------------
- Accuracy is that of greedy answers to new questions.  Mere sharpening raises accuracy at temperature 1, and changes no
  greedy answer.
- Every trained arm has the same prompts, none of them shown in the supervised start, and as many rollouts and steps.
  Only `gold` reads whether an answer is right, and is charged a label a prompt.
- `random` pays answers by chance (null).  `format` pays answers that can be read, `majority` pays 1 to the most common
  answer and 0 to others, `log` pays log p_c.  `self-training` imitates what most samples of the untrained model say.
- Whether a question's majority was right is read from other samples of the untrained model than those compared, so that
  the split does not select by their noise.
- Agreement has a better optimum than being right: one answer to everything.  From an untrained model whose errors are
  vague, or at three times this rate, sums drift to small numbers that all samples share, and accuracy is lost.  Gold
  labels bear the higher rate, the best of those tried on dev problems; each has its own.  In the ledger's last run
  agreement ends below the untrained model, and about a third of what gold labels gain over it is that harm.
- `weak-untrained` had fewer steps of supervision, and its majority is mostly wrong.
- Bases differ by 20 points with the seed, and agreement gains on the one and loses on the other.
- The share is of all G, those that cannot be read included, so that a lone answer is paid little.

At full size
------------
`trivium claim empo --size full --policy hf:FOLDER` on longer sums; for the paper's setting
`trivium learn --policy hf:FOLDER --task file:... --warmup-steps 0 --reward agreement=1` on NuminaMath prompts, 16
samples, rate 5e-7.

References
----------
Zhang et al. 2025, arXiv:2504.05812; code QingyangZhang/EMPO (rewards in trl and verl).  The preprint and the code's
page differ: 30.7 to 48.1 for Qwen2.5-Math-7B in the first, 33.7 to 51.6 in the second.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from trivium.claims import Claim
from trivium.lab.bases import Lesson, base
from trivium.lab.lab import Lab, Scored
from trivium.lab.measure import answer_entropy, greedy_accuracy, pass_at, verdicts, vote_right
from trivium.lab.recipe import Paper, Recipe
from trivium.lab.train import demonstrations, imitate, reinforce
from trivium.lab.unseen import unseen
from trivium.policies.local import LocalPolicy
from trivium.search.vote import majority

APART = 1_000_000
"""Added to a seed for draws that must differ from all others: problems of the supervised start, samples of before."""


@dataclass(frozen=True)
class Size:
    """`steps` of `prompts` groups of `samples`; the first `sampled` of `test` questions are answered `votes` times."""

    task: str = "sums:terms=5,min_terms=4,digits=1"
    easier: str = "sums:terms=6,min_terms=3,digits=1,ops=+"
    model: str = "100k"
    examples: int = 2000
    lessons: int = 500
    weak: int = 350
    steps: int = 60
    prompts: int = 8
    samples: int = 16
    lr: float = 3e-5
    gold_lr: float = 1e-4
    imitation_lr: float = 3e-4
    test: int = 500
    sampled: int = 100
    votes: int = 16


SIZES = {
    "smoke": Size("sums:terms=2,digits=1", "sums:terms=2,digits=1,ops=+", "30k", 8, 2, 1, 2, 2, 2, test=8, sampled=2),
    "lab": Size(),
    "full": Size(steps=300, prompts=256, lr=5e-7, gold_lr=5e-7, imitation_lr=5e-6, test=1000, sampled=1000),
}


def start(lab: Lab[Size], weak: bool) -> LocalPolicy:
    """The policy after its supervised start, or a small one's after a shorter start."""
    s = lab.size
    whole = Lesson((s.easier, s.task), s.model, s.examples, s.lessons, lr=8e-3, offset=APART)
    return base(lab, replace(whole, steps=s.weak, policy="taught") if weak else whole)


def train(lab: Lab[Size], *, reward: str | None = None, weak: bool = False) -> Scored:
    """GRPO with a reward, or nothing at all; only `outcome` knows labels."""
    s, task, policy = lab.size, lab.task(lab.size.task), start(lab, weak)
    if reward is not None:
        asked = unseen(lab, task, s.steps * s.prompts)
        reinforce(
            lab, policy, task, steps=s.steps, prompts=s.prompts, samples=s.samples,
            lr=s.gold_lr if reward == "outcome" else s.lr, max_tokens=task.max_tokens, reward=reward,
            choose=lambda step: asked[step * s.prompts :][: s.prompts],
            watch=lambda step, drawn, _: lab.at("accuracy of rollouts", step, drawn.mean("accuracy")),
        )  # fmt: skip
        lab.charge("rollouts", s.steps * s.prompts * s.samples)
        lab.charge("labels", s.steps * s.prompts * (reward == "outcome"))
    return measured(lab, policy, weak)


def self_train(lab: Lab[Size]) -> Scored:
    """Imitate what most samples of the untrained policy say, with the same prompts, rollouts and steps."""
    s, task, policy = lab.size, lab.task(lab.size.task), start(lab, False)
    problems, agreed = unseen(lab, task, s.steps * s.prompts), []
    groups = verdicts(lab, policy, task, problems, n=s.samples, unit="sampled_tokens")
    for problem, group in zip(problems, groups, strict=True):
        winner, _ = majority([verdict.answer for _, verdict in group])
        agreed += [(problem, text) for text, verdict in group if verdict.answer == winner]
    batch = max(1, len(agreed) // s.steps)
    imitate(lab, policy, demonstrations(policy, agreed), steps=s.steps, batch=batch, lr=s.imitation_lr)
    lab.charge("rollouts", s.steps * s.prompts * s.samples)
    return measured(lab, policy, False)


def measured(lab: Lab[Size], policy: LocalPolicy, weak: bool) -> Scored:
    """Greedy accuracy; on the first of the test questions also what samples say, and whether most were right before."""
    s, task = lab.size, lab.task(lab.size.task)
    problems = lab.problems(task, "test", s.test)
    greedy = greedy_accuracy(lab, policy, task, problems)
    groups = verdicts(lab, policy, task, problems[: s.sampled], n=s.votes)
    once, was = pass_at(groups, 1), lab.data(f"majority-{weak}", partial(before, weak=weak))
    lab.note(majority_was_right=sum(was) / len(was))
    sampled: dict[str, list[float | None]] = {
        "pass@1": once,
        "vote": [float(vote_right(group)) for group in groups],
        "pass@votes": pass_at(groups, s.votes),
        "entropy": [answer_entropy(group) for group in groups],
        "pass@1, majority right": [p if right else None for p, right in zip(once, was, strict=True)],
        "pass@1, majority wrong": [None if right else p for p, right in zip(once, was, strict=True)],
    }
    rest = [None] * (len(problems) - len(groups))
    return Scored(greedy.questions, {**greedy.scores, **{name: [*row, *rest] for name, row in sampled.items()}})


def before(lab: Lab[Size], *, weak: bool) -> list[bool]:
    """Whether the untrained policy's majority was right: to sort results by, never to learn from."""
    task = lab.task(lab.size.task)
    problems = lab.problems(task, "test", lab.size.test)[: lab.size.sampled]
    groups = verdicts(replace(lab, seed=lab.seed + APART), start(lab, weak), task, problems, n=lab.size.votes)
    return [vote_right(group) for group in groups]


RECIPE = Recipe(
    slug="empo",
    paper=Paper(78, arxiv="2504.05812"),
    says="Paying answers for agreeing with the others of their group teaches without a single label.",
    arms={
        "untrained": train,
        "empo": partial(train, reward="agreement"),
        "majority": partial(train, reward="agreement(rule=majority)"),
        "log": partial(train, reward="agreement(rule=log)"),
        "gold": partial(train, reward="outcome"),
        "random": partial(train, reward="random"),
        "format": partial(train, reward="format"),
        "self-training": self_train,
        "weak-untrained": partial(train, weak=True),
        "weak-empo": partial(train, reward="agreement", weak=True),
    },
    sizes=SIZES,
    claims=[
        Claim(
            "agreement as the only reward raises greedy accuracy on new questions, without a label",
            better="empo", worse="untrained", margin=0.03, matched=("pretrain_tokens", "labels"), null="random",
            rivals=("majority", "log", "format", "self-training"),
            paper="Qwen2.5-Math-7B from 33.7 to 51.6 on an average of mathematics (30.7 to 48.1 in the preprint)",
        ),
        Claim(
            "a label for every prompt is worth more than two points over agreement",
            better="gold", worse="empo", margin=0.02, matched=("pretrain_tokens", "optimiser_steps", "rollouts"),
            paper="near parity: 51.7 against 51.6, 42.8 against 42.6; 31.0 against 27.6 from a weaker base",
        ),
        Claim(
            "of 16 samples at least one is right less often than before",
            better="empo", worse="untrained", metric="pass@votes", lower=True, margin=0.02, paper="not reported there",
        ),
        Claim(
            "a base whose majority is mostly wrong gains as well",
            better="weak-empo", worse="weak-untrained", margin=0.03, paper="OctoThinker-3B from 7.7 to 27.6",
        ),
    ],
    seeds=8,
    tried=50,
)  # fmt: skip
