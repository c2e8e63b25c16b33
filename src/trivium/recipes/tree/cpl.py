"""CPL: searches over abstract plan steps and prefers the steps by how decisive they were, for plans carry over.

Idea
----
A solution is written in the symbols of its own domain, a plan in words that other domains share.  So search over plan
steps, and learn which of them to prefer: what is learned about plans in one domain should help in another.  Some steps
decide whether a solution will be right and most do not, so the difference between the values of two steps says how far
apart their probabilities should be.

Algorithm
---------
1. A response is plan steps, one a line, and then one line with the whole solution.  Search every training question
   with PUCT over these lines (prior: exp of the mean log-prob of a step); a right answer is worth 1, a wrong one -1.
2. Of the lines after the same beginning pair each with Q > 0 with each with Q < 0; of solutions only the best with the
   worst, their Q times 0.3.
3. Step-APO: minimise -log sigmoid(beta [log pi/ref(better) - log pi/ref(worse)] - alpha (Q_better - Q_worse)) on the
   two lines.  alpha 0 is step-DPO.

Departs from the paper
----------------------
Moves in a small world (raise one of three symbols, turn the state round) that is told in digits or in letters take the
place of mathematics, code and other benchmarks.  A 100k-parameter model is first taught a little of both; search and
learning see digits alone.  A leaf's value is the outcome of one rollout, not a learned value head (which is random in
the paper's first round).  One round, about ten simulations a question instead of 200, 3 children everywhere, and a
node's finished children are visited again.  No fine-tuning on right paths comes between; it is an arm.
The second round, the value model, other alpha (to be tried on dev), and the correlation of implicit rewards with true
advantages are left out.

Details that matter
-------------------
- `states-apo` is the same method on solutions without a plan: the same states, one a line, its own base taught by the
  same problems for the same steps.  As the two bases are not equally good, the headline compares gains over them.
- Digits and letters share no symbol; what they share are the names of the moves, a letter each.  A response is right if
  its states follow from its plan and the last one is the goal, whatever the way: some wrong moves can be made good.
- Every arm has the same sampled tokens, whatever its tree spent on a prompt, and the same updates and batch.
- `random-tree` cuts plain samples into lines; `sft` imitates up to 4 right paths a question, `instance-dpo` pairs whole
  responses, both from the trees of the search.  `coin` turns each pair by a coin (null of the headline): nothing is
  learned by it, where the headline is about two forms that both learn; `shuffled-gaps` gives each pair the margin of
  another (null of Step-APO).
- In the ledger's lines of 2026-11-26 and before, a rollout that was one line long counted as a step.
- Seeds 0 to 17 were asked 400 questions in either alphabet and could not decide the headline: of the variance between
  seeds 5 parts in 9 were the luck of the questions, and answering costs little beside searching.  So 18 other seeds are
  asked 2,000.
- The margin is subtracted; with the sign turned, decisive pairs would be those that teach least.
- All seeds have one base of each form, as the paper has one model: what differs between seeds is what is searched,
  paired and asked.  How good a base becomes is a matter of luck: taught the same with another seed, plans were right on
  13% of dev problems, where these are right on 61% and states on 72%.
- With beta 0.3 nothing moves at rates up to 5e-5, and at 1e-4 as much as a third is lost; with beta 3 at 1e-4 both
  forms gained 5 points in digits on dev problems, and 0 to 2 in letters.

At full size
------------
`trivium improve --method mcts:branch=3,depth=6,by=oracle --data process:by=value,pick=all,margin=2 --policy hf:FOLDER
--warmup-steps 0 --task file:...` on GSM8K and MATH with prompts that ask for a plan first; beta 0.3, rate 1e-6, three
epochs.

References
----------
Wang et al. 2024, arXiv:2409.08642; a public copy of its code, keesh0410/CPL-Reasoning (mcts_plan, gen_data; of the two
rounds' scripts the first), where the backup is a running mean and the paper's is weighted by visits.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from trivium.claims import Claim
from trivium.data.pairs import Pairs
from trivium.data.reject import Reject
from trivium.data.siblings import advantage_pairs, sampled_lines, searched_lines
from trivium.data.trees import Tree
from trivium.lab.bases import Lesson, given, schooled
from trivium.lab.forest import forest
from trivium.lab.joined import gains, joined
from trivium.lab.lab import Lab, Scored
from trivium.lab.measure import greedy_accuracy
from trivium.lab.null_pairs import coined, margins_shuffled
from trivium.lab.recipe import Paper, Recipe
from trivium.lab.train import imitate, prefer, solutions
from trivium.learn.preference import Preference
from trivium.policies.local import LocalPolicy
from trivium.search import method
from trivium.tasks.moves import ALPHABETS, Form, Moves


@dataclass(frozen=True)
class Size:
    """A base taught `lesson.examples` problems of either alphabet; then `tokens` sampled, at most `most` a prompt, and
    `steps` updates of `batch`.  What is searched and tested is at least `near` moves away.
    """

    lesson: Lesson = Lesson((), "100k", 6000, 2400, 32, 3e-3)
    near: int = 3
    far: int = 4
    tokens: int = 40_000
    most: int = 640
    steps: int = 60
    batch: int = 32
    lr: float = 1e-4
    imitating: float = 3e-4
    alpha: float = 1.0
    beta: float = 3.0
    test: int = 2000


SIZES = {
    "smoke": Size(Lesson((), "30k", 16, 4, 8), tokens=120, most=60, steps=2, batch=4, test=4),
    "lab": Size(),
    "full": Size(tokens=5_000_000, most=4096, steps=500, batch=64, lr=1e-6, imitating=1e-5, beta=0.3),
}
SEARCH = "mcts:n=none,branch=3,depth=6,exploration=1.5,by=oracle,temperature=1"
PLAIN = "vote:n=none,temperature=1"
MATCHED = ("sampled_tokens", "optimiser_steps")


def start(lab: Lab[Size], form: Form) -> LocalPolicy:
    """A fresh copy of the model that was taught both alphabets in a form, the same for all seeds."""

    def make(inner: Lab[Size]) -> LocalPolicy:
        s, lesson = inner.size, inner.size.lesson
        tasks = [Moves(alphabet, form, 1, s.far) for alphabet in ALPHABETS]
        shown = [one for task in tasks for one in solutions(inner.problems(task, "train", lesson.examples))]
        return schooled(inner, lesson, shown)

    return given(lab.policy_spec) if lab.policy_spec else lab.policy(f"base-{form}", make, seed=0)


def grown(lab: Lab[Size], form: Form, plain: bool) -> list[Tree]:
    """Trees of the base on questions in digits: searched, or plain samples."""

    def make(inner: Lab[Size]) -> list[Tree]:
        s = inner.size
        task, how = Moves("digits", form, s.near, s.far), method(PLAIN if plain else SEARCH)
        return forest(inner, start(inner, form), task, how, tokens=s.tokens, most=s.most, seed=inner.seed + 1000)

    return lab.data(f"trees-{form}{'-plain' * plain}", make)


def learn(
    lab: Lab[Size],
    *,
    form: Form = "plan",
    by: Literal["advantage", "steps", "responses", "imitation"] = "advantage",
    plain: bool = False,
    spoil: Callable[[Sequence[Preference], random.Random], list[Preference]] | None = None,
) -> Scored:
    """Learn from trees on questions in digits, then answer in digits and in letters."""
    s, policy, trees = lab.size, start(lab, form), grown(lab, form, plain)
    if by == "imitation":
        shown = Reject(k=4)(trees, lab.seed)
        imitate(lab, policy, shown, steps=s.steps, batch=s.batch, lr=s.imitating)
    else:
        if by == "responses":
            pairs: Sequence[Preference] = Pairs()(trees, lab.seed)
        else:
            [newline] = policy.encode_text("\n")
            lines = sampled_lines(trees, newline) if plain else searched_lines(trees, newline, policy.eos)
            alpha = s.alpha if by == "advantage" else 0.0
            pairs = advantage_pairs(lines, alpha=alpha, ends=policy.eos, scale=0.3)
        pairs = pairs if spoil is None else spoil(pairs, random.Random(lab.seed))
        lab.note(pairs=len(pairs))
        prefer(lab, policy, pairs, steps=s.steps, batch=s.batch, lr=s.lr, objective=f"step-dpo:beta={s.beta}")
    before = lab.data(f"before-{form}", lambda inner: answered(inner, start(inner, form), form))
    return gains(before, answered(lab, policy, form), {"gain": "accuracy", "gain-elsewhere": "elsewhere"})


def answered(lab: Lab[Size], policy: LocalPolicy, form: Form) -> Scored:
    """Greedy `accuracy` in digits, and `elsewhere`, in letters."""
    s, tests = lab.size, dict[str, Scored]()
    for name, alphabet in zip(("accuracy", "elsewhere"), ALPHABETS, strict=True):
        task = Moves(alphabet, form, s.near, s.far)
        tests[name] = greedy_accuracy(lab, policy, task, lab.problems(task, "test", s.test))
    return joined(tests)


RECIPE = Recipe(
    slug="cpl",
    paper=Paper(126, arxiv="2409.08642"),
    says="Preferring plan steps by how decisive a search found them helps in a domain that was never searched.",
    arms={
        "step-apo": learn,
        "states-apo": partial(learn, form="states"),
        "step-dpo": partial(learn, by="steps"),
        "instance-dpo": partial(learn, by="responses"),
        "sft": partial(learn, by="imitation"),
        "random-tree": partial(learn, plain=True),
        "shuffled-gaps": partial(learn, spoil=margins_shuffled),
        "coin": partial(learn, spoil=coined),
    },
    sizes=SIZES,
    claims=[
        Claim(
            "what is learned from plan steps in one domain helps more in another than what is learned from solutions",
            better="step-apo", worse="states-apo", margin=0.02, metric="gain-elsewhere", matched=MATCHED, null="coin",
            rivals=("sft", "instance-dpo", "random-tree"),
            paper="trained on GSM8K and MATH, a 7B model rises from 40.9 to 53.1 on HumanEval, 25.8 to 34.3 on GPQA; "
            "imitating plans beats imitating solutions by 0.6 on BBH",
        ),
        Claim(
            "margins as wide as the advantage gap beat equal ones (step-DPO) in the domain that is searched",
            better="step-apo", worse="step-dpo", margin=0.01, matched=("pretrain_tokens", *MATCHED),
            null="shuffled-gaps", paper="after one round MATH 40.6 against 37.9; SFT 36.3, pairs of responses 37.7",
        ),
        Claim(
            "and pairs of steps beat pairs of whole responses",
            better="step-apo", worse="instance-dpo", margin=0.01, matched=("pretrain_tokens", *MATCHED), null="coin",
            paper="after one round MATH 40.6 against 37.7",
        ),
    ],
    seeds=18,
    first_seed=18,
    tried=17,
)  # fmt: skip
