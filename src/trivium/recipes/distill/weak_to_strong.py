"""Weak-to-strong reasoning: a strong model learns from a weaker one's answers where both agree, then from its doubts.

Idea
----
A weak model taught on few labels answers questions that nobody has labelled, and is often wrong.  A stronger model that
imitates all of it learns the errors too.  Where its own answer, drawn out of it by a few of the weak model's, is the
same, both are probably right: two different models seldom make the same mistake.  What it then says with confidence can
correct the weak model's answers by preference learning.

Algorithm
---------
1. Gold solutions of split 1 train the weak model; it answers the questions of split 2, of which nothing else is known.
2. The strong model sees a few of the weak answers and then answers split 2 as well.
3. Where both final answers agree, the strong model is trained from its first weights on both responses.
4. Again, with the model of step 3 as the second voice: M_plus.
5. Sample ten answers a question from M_plus; a+ is the majority's with share c.  If c >= 0.6 and the weak answer is a+,
   the weak response is preferred to a random other sample; if c >= 0.8 and it is not, a sample of the majority is
   preferred to the weak response.  DPO on these pairs.

Departs from the paper
----------------------
Transformers of 100k parameters and sums of four numbers in place of Gemma-2b, Llama2-70b and GSM8K.  The weak one
learned 500 of them; the strong one, from other first weights, 3,000 sums of three to five numbers, for longer, and none
of split 2.  Models this small do not learn from examples in a prompt: step 2 is a short fine-tuning on `shots` weak
answers.  ORPO is left out.

Details that matter
-------------------
- Only questions of split 2 reach policies, filter and votes, and no checkpoint is selected; `gold` alone reads more.
- `naive` imitates as many weak answers as the filter keeps, for as many steps as both trainings of `agreed` together;
  `naive-all` imitates all of them.
- `any` keeps as many questions as the filter does, with the responses of both models, whether they agree or not (null).
- `strong` is the strong model as it is, and `self` imitates as many of its own answers: the trivial rivals, which need
  no weak model.  Without them it would not show that this strong model is right far more often before any training on
  weak answers than after it: what the other arms differ in is how much of that is lost.
- `iterated` gets as many further supervised steps as `preferred` takes with pairs, both of as many responses.
- Everything hangs on a small rate.  Eight steps on 64 weak answers, most of them wrong, took the strong model from 63%
  of dev problems to 17% at a rate of 1e-3, to 44% at 4e-4 and to 49% at 2e-4, and without knowledge of its own an
  agreement means little.
- A strong model that knew only chains, or sums of other lengths, agreed with the weak one hardly more often on right
  answers than the weak one was right: near misses of the same size coincide.
- `gold` is the ceiling (solutions of split 2), `weak` the floor, `elicited` the strong model after step 2; the gap
  recovered is (accuracy - weak) / (gold - weak).

At full size
------------
Gemma-2b or Qwen-0.5B for a 7B to 70B model on the halves of GSM8K (7 thousand questions each), LoRA on all linear
layers.  `trivium claim` names one policy, and this takes two that share a tokenizer: the full size waits for that.

References
----------
Yang et al. 2024, arXiv:2407.13647; code GAIR-NLP/weak-to-strong-reasoning (src/construct_training_data.py).  The
claims' numbers are from a survey's note on it, not from the paper itself.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from trivium.claims import Claim
from trivium.data.unlabelled import Reply, agreeing, vote_pair
from trivium.lab.bases import Lesson, base
from trivium.lab.lab import Lab, Scored
from trivium.lab.measure import greedy_accuracy
from trivium.lab.null_pairs import coined
from trivium.lab.recipe import Paper, Recipe
from trivium.lab.replies import replies
from trivium.lab.train import demonstrations, imitate, prefer, solutions
from trivium.learn.batch import Demonstration
from trivium.learn.preference import Preference
from trivium.policies.local import LocalPolicy
from trivium.types import Problem


@dataclass(frozen=True)
class Size:
    """The weak model learned `weak.examples` labels; `split2` further questions have none."""

    weak: Lesson = Lesson(("sums:terms=4,digits=1",), "100k", 500, 250, 32, 4e-3, init=1000, policy="refused")
    strong: Lesson = Lesson(("sums:terms=5,min_terms=3,digits=1",), "100k", 3000, 350, 32, 4e-3)
    split2: int = 600
    shots: int = 64
    shot_steps: int = 8
    steps: int = 120
    batch: int = 32
    lr: float = 2e-4
    samples: int = 10
    pair_steps: int = 40
    pair_lr: float = 1e-5
    test: int = 500


SMALL = (Lesson(("sums:terms=2,digits=1",), "30k", 8, 2, 4), Lesson(("sums:terms=3,digits=1",), "30k", 8, 2, 4))
SIZES = {
    "smoke": Size(*SMALL, split2=8, shots=4, shot_steps=1, steps=2, batch=4, samples=3, pair_steps=1, test=4),
    "lab": Size(),
    "full": Size(strong=Lesson(("sums:terms=5,min_terms=3,digits=1",), "6M", 20_000, 5000), split2=7000, test=1000),
}


def split2(lab: Lab[Size]) -> list[Problem]:
    """Problems that neither model learned: they follow those of the weak one, without those of the strong one."""
    s = lab.size
    taught = {p.question.id for spec in s.strong.tasks for p in lab.problems(spec, "train", s.strong.examples)}
    dealt = lab.problems(s.weak.tasks[0], "train", s.weak.examples + s.split2)[s.weak.examples :]
    return [p for p in dealt if p.question.id not in taught]


def heard(lab: Lab[Size], policy: LocalPolicy, n: int = 1, temperature: float = 0.0) -> list[list[Reply]]:
    """What a policy says to the questions of split 2, which are all that is read of it."""
    questions, most = [p.question for p in split2(lab)], lab.task(lab.size.weak.tasks[0]).max_tokens
    return replies(lab, policy, questions, max_tokens=most, n=n, temperature=temperature)


def weak_says(lab: Lab[Size]) -> list[Reply]:
    return [a for [a] in lab.data("weak-says", lambda inner: heard(inner, base(inner, inner.size.weak)))]


def tuned(lab: Lab[Size], policy: LocalPolicy, said: Sequence[Reply], steps: int, lr: float = 0.0) -> LocalPolicy:
    shown = [Demonstration(r.prompt, r.ids) for r in said]
    imitate(lab, policy, shown, steps=steps, batch=lab.size.batch, lr=lr or lab.size.lr)
    return policy


def model(lab: Lab[Size], rounds: int) -> LocalPolicy:
    """The strong model after a few weak answers (0 rounds), or trained where the weak one and its predecessor agree."""

    def make(inner: Lab[Size]) -> LocalPolicy:
        s, policy = inner.size, base(inner, inner.size.strong)
        if not rounds:
            return tuned(inner, policy, weak_says(inner)[: s.shots], s.shot_steps)
        return tuned(inner, policy, kept(both(inner, rounds - 1)), s.steps)

    return lab.policy(f"model-{rounds}", make)


def both(lab: Lab[Size], rounds: int = 0) -> list[tuple[Reply, Reply]]:
    """What the weak model and the strong one after so many rounds say to every question of split 2."""
    second = lab.data(f"model-{rounds}-says", lambda inner: heard(inner, model(inner, rounds)))
    return [(a, b) for a, [b] in zip(weak_says(lab), second, strict=True)]


def kept(pairs: Sequence[tuple[Reply, Reply]]) -> list[Reply]:
    """Both responses wherever the answers agree, or all where they never do."""
    return [reply for pair in agreeing(pairs) or pairs for reply in pair]


def measured(lab: Lab[Size], policy: LocalPolicy) -> Scored:
    task = lab.task(lab.size.weak.tasks[0])
    return greedy_accuracy(lab, policy, task, lab.problems(task, "test", lab.size.test))


def imitated(lab: Lab[Size], *, of: str) -> Scored:
    """The strong model after supervised steps on some responses to split 2."""
    s, alone = lab.size, of != "any"
    pairs = both(lab.apart() if alone else lab)
    every = range(len(pairs))
    some = every if of == "naive-all" else random.Random(lab.seed).sample(every, len(kept(pairs)) // 2)
    if of == "self":
        said = [own for i, [own] in enumerate(heard(lab, base(lab, s.strong))) if i in some]
    else:
        weak_says(lab)
        said = [reply for i in some for reply in pairs[i][: 1 + (of == "any")]]
    # What eliciting a second voice would cost goes into the training itself.
    return measured(lab, tuned(lab, base(lab, s.strong), said, s.steps + alone * s.shot_steps))


def gold(lab: Lab[Size]) -> Scored:
    """The ceiling: the solutions of split 2, which no other arm reads."""
    s, policy, known = lab.size, base(lab, lab.size.strong), solutions(split2(lab))
    imitate(lab, policy, demonstrations(policy, known), steps=s.steps + s.shot_steps, batch=s.batch, lr=s.lr)
    return measured(lab, policy)


def filtered(lab: Lab[Size], *, then: str = "") -> Scored:
    """Trained where both agree: once, or twice and `then` further by imitation or preferences."""
    s, rng = lab.size, random.Random(lab.seed)
    if not then:
        return measured(lab, model(lab, 1))
    policy, made = model(lab, 2), list[Preference]()
    if then != "imitation":
        drawn = lab.data("samples", lambda inner: heard(inner, policy, s.samples, 1.0))
        made = [pair for a, of in zip(weak_says(lab), drawn, strict=True) if (pair := vote_pair(a, of, rng))]
    made = coined(made, rng) if then == "coin" else made
    if not made:
        return measured(lab, tuned(lab, policy, kept(both(lab, 1)), s.pair_steps, s.pair_lr))
    prefer(lab, policy, made, steps=s.pair_steps, batch=s.batch // 2, lr=s.pair_lr)
    return measured(lab, policy)


RECIPE = Recipe(
    slug="weak-to-strong",
    paper=Paper(21, arxiv="2407.13647"),
    says="A strong model learns more from a weak one's answers where both agree, and more again from its own doubts.",
    arms={
        "weak": lambda lab: measured(lab, base(lab, lab.size.weak)),
        "strong": lambda lab: measured(lab, base(lab, lab.size.strong)),
        "elicited": lambda lab: measured(lab, model(lab, 0)),
        "naive": partial(imitated, of="naive"),
        "naive-all": partial(imitated, of="naive-all"),
        "any": partial(imitated, of="any"),
        "self": partial(imitated, of="self"),
        "agreed": filtered,
        "iterated": partial(filtered, then="imitation"),
        "preferred": partial(filtered, then="preferences"),
        "coin-pairs": partial(filtered, then="coin"),
        "gold": gold,
    },
    sizes=SIZES,
    claims=[
        Claim(
            "weak answers that the strong model agrees with teach more than as many at random",
            better="agreed", worse="naive", margin=0.03, matched=("pretrain_tokens", "optimiser_steps"),
            null="any", rivals=("naive-all", "strong", "self"),
            paper="GSM8K, Gemma-2b for Llama2-70b: 29 from all weak answers, about 56 from those agreed on, twice",
        ),
        Claim(
            "preferences by confident votes add to two rounds of agreement",
            better="preferred", worse="iterated", margin=0.02, matched=("pretrain_tokens", "optimiser_steps"),
            null="coin-pairs", paper="from about 56 to 64.5 with DPO and 63.9 with ORPO",
        ),
    ],
    seeds=10,
    tried=10,
)  # fmt: skip
