"""Thought Cloning: imitate what a demonstrator wanted at every step as well as what it did, and act on what is wanted.

Idea
----
Actions alone do not say what they were for.  Somebody who thinks aloud while acting shows the sub-goal behind each
action; a policy that learns to say it, and to act by what it said, has learned two easier things, which can be put
together anew where a mission is longer than any that was shown.

Algorithm
---------
1. Demonstrations: at every step the mission, what is seen, a thought (the sub-goal of a planner in words, the same
   until it is done) and the action.  With a small probability a few random moves come between, so that finding back
   is shown as well.
2. Upper level: mission and what is seen -> thought.  Lower level: these and the thought -> action.
3. Loss of a step: -log p(action) - alpha sum_w log p(thought word w).
4. At test time the thought is decoded greedily at every step, and then the action.

Departs from the paper
----------------------
Rows of three rooms with keys and locked doors, told in a few words, take the place of BabyAI's BossLevel and its 7 x 7
cells of view, and one 200k-parameter transformer that writes the thought before the action that of two levels with
memory.
There is no memory in any arm: what is seen (the room, what is carried, a compass) says what the planner's next action
depends on.  Each token weighs the same, where alpha is 2; the entropy bonus is left out.  Thoughts are always the true
ones in training, where the paper mixes in more and more of its own.  About 12,000 steps are shown instead of a million
episodes; random moves are twice as likely, and they themselves are not imitated.
Left out: stopping an episode by what is declared (Precrime), harder compositions, and curves over demonstrations.

Details that matter
-------------------
- Thoughts speak only of what is in view or in the mission: they bring no knowledge of rooms that were not seen.
- Every arm has the same demonstrations, updates, initial weights and tokenizer.
- `constant` writes the same words before every action (as long to compute, nothing to learn), `afterwards` says the
  thought after the action, so that it is an auxiliary target and cannot be acted on.  `shuffled` shows the thoughts of
  another episode (null).
- What is shown takes at most 12 actions, and `far` missions at least 13: most lead through a room with two doors, one
  open behind and one locked ahead, which short plans seldom see.  Where they had a room more than any shown instead,
  nobody that was tried on dev finished one.
- On dev problems, with one seed, thoughts were the guide's in 96% of the near steps and 82% of the far ones, and
  actions in 93% and 85%; imitating actions alone, they were in 96% and 91%. Wishes go wrong where something is to be
  picked up that one may also go to.
- In the ledger's first run, of 3 seeds, the words of `constant` were so many tokens that its answers were cut off
  before the action: those rows are void, the ones of 16 seeds count.
- `shuffled` gains as much over actions alone as thoughts do, and more: the gain, such as it is, need not come from what
  the thoughts say.
- Seeds differ much: on far missions thoughts gained 35 points with two of 16 seeds and lost up to 9 with nine.
- A greedy policy without memory that meets the same view again would go round for ever; its episode ends there, failed.
- `declared` is the share of things picked up and doors opened that the thought of the step had named; the paper's exact
  formula is unverified.
- Thinking costs time: see the test tokens.

At full size
------------
`trivium claim thought-cloning --size full --policy hf:FOLDER`; for the paper's own setting 1M demonstrations of
BabyAI's BossLevel (`minigrid` has the planner), 8 passes, Adam at 5e-4, batches of 180 episodes cut at 80 steps, or
traces of any agent with a thought before each action.

References
----------
Hu and Clune 2023, arXiv:2306.00323; code ShengranHu/Thought-Cloning.  Chevalier-Boisvert et al. 2019, arXiv:1810.08272
(BabyAI).
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

from trivium.claims import Claim
from trivium.lab.bases import blank, given
from trivium.lab.joined import joined
from trivium.lab.lab import Lab, Scored
from trivium.lab.measure import attempts_each, scored
from trivium.lab.recipe import Paper, Recipe
from trivium.lab.train import imitate
from trivium.learn.batch import Demonstration
from trivium.policies.local import LocalPolicy
from trivium.search.by_view import THINKING, Thinking, act_by_view, say, steps, view
from trivium.tasks.guided_grid import GuidedGrid, demonstration, named
from trivium.types import Message

NEAR = GuidedGrid(rooms=3, size=3, things=1, locked=True, most=12)
FAR = GuidedGrid(rooms=3, size=3, things=1, locked=True, least=13)
NOTHING = "go through the door"
"""The same words for every step, of the guide's own: others are many tokens, and no action would follow in time."""
SPENT = ("labels", "optimiser_steps")


@dataclass(frozen=True)
class Size:
    """`episodes` of a guide, random moves before a step with probability `noise`; then `steps` updates of `batch`."""

    model: str = "200k"
    vocab: int = 500
    episodes: int = 1800
    noise: float = 0.02
    steps: int = 700
    batch: int = 32
    lr: float = 4e-3
    near: int = 120
    far: int = 250


SIZES = {
    "smoke": Size(model="30k", vocab=300, episodes=4, steps=2, batch=4, near=2, far=2),
    "lab": Size(),
    "full": Size(episodes=50_000, steps=20_000, batch=256, lr=1e-5, near=500, far=500),
}


class Step(NamedTuple):
    """What was asked at a step of an episode, and what the guide wanted and did."""

    episode: int
    asked: tuple[Message, ...]
    thought: str
    action: str


def shown(lab: Lab[Size]) -> list[Step]:
    """Every step of the guide's episodes."""
    rng, found = random.Random(lab.seed), list[Step]()
    for number, p in enumerate(lab.problems(NEAR, "train", lab.size.episodes)):
        for seen, wish, action in demonstration(NEAR.environment(p), rng, lab.size.noise):
            found.append(Step(number, view(p.question, seen), wish, action))
    lab.charge("labels", len(found))
    return found


def beginner(lab: Lab[Size]) -> LocalPolicy:
    """A fresh copy of the random weights that every arm begins with; its tokenizer is learnt from what all arms say."""

    def make(inner: Lab[Size]) -> LocalPolicy:
        found = inner.data("demonstrations", shown)
        talks = [(step.asked, say(step.thought, step.action, either)) for step in found for either in THINKING]
        return blank(inner, inner.size.model, talks, inner.size.vocab)

    return given(lab.policy_spec) if lab.policy_spec else lab.policy("beginner", make)


def asked(lab: Lab[Size]) -> list[tuple[int, ...]]:
    """What is asked at every step, as tokens."""
    policy = beginner(lab)
    return [policy.encode(step.asked) for step in lab.data("demonstrations", shown)]


def of_others(found: Sequence[Step], rng: random.Random) -> list[Step]:
    """The same steps, with the thoughts of another episode each, in their order, the last one as long as needed."""
    thoughts, left = defaultdict[int, list[str]](list), dict[int, list[str]]()
    for step in found:
        thoughts[step.episode].append(step.thought)
    order = rng.sample(sorted(thoughts), len(thoughts))
    for mine, other in zip(order, order[1:] + order[:1], strict=True):
        left[mine] = thoughts[other][::-1]
    return [step._replace(thought=queue.pop() if len(queue := left[step.episode]) > 1 else queue[0]) for step in found]


def clone(lab: Lab[Size], *, thinking: Thinking = "before", spoil: Literal["", "constant", "shuffled"] = "") -> Scored:
    """Imitate the guide, then act in missions such as it was shown in, and in longer ones."""
    s, policy, found = lab.size, beginner(lab), lab.data("demonstrations", shown)
    if spoil == "constant":
        found = [step._replace(thought=NOTHING) for step in found]
    elif spoil == "shuffled":
        found = of_others(found, random.Random(lab.seed))
    said = [policy.encode_response(say(step.thought, step.action, thinking)) for step in found]
    imitate(
        lab, policy, list(map(Demonstration, lab.data("asked", asked), said)), steps=s.steps, batch=s.batch, lr=s.lr
    )
    tests, how = dict[str, Scored](), partial(act_by_view, thinking=thinking)
    tasks = [(task, lab.problems(task, "test", n), how) for task, n in ((NEAR, s.near), (FAR, s.far))]
    made = attempts_each(lab, policy, tasks, max_tokens=16)
    for name, (task, problems, _), traces in zip(("accuracy", "far"), tasks, made, strict=True):
        tests[name] = scored(problems, traces)
        pairs = zip(problems, traces, strict=True)
        hits = [hit for p, t in pairs for hit in named(task.environment(p), steps(t.response))]
        lab.note(**{f"declared {name}": sum(hits) / max(1, len(hits))})
    return joined(tests)


RECIPE = Recipe(
    slug="thought-cloning",
    paper=Paper(24, arxiv="2306.00323"),
    says="Imitating what a demonstrator wanted beside what it did helps in missions longer than any that was shown.",
    arms={
        "actions": partial(clone, thinking="none"),
        "thoughts": clone,
        "constant": partial(clone, spoil="constant"),
        "afterwards": partial(clone, thinking="after"),
        "shuffled": partial(clone, spoil="shuffled"),
    },
    sizes=SIZES,
    claims=[
        Claim(
            "imitating thoughts as well beats imitating actions alone on missions longer than those that were shown",
            better="thoughts", worse="actions", margin=0.05, metric="far", matched=SPENT, null="shuffled",
            rivals=("constant", "afterwards"),
            paper="learns much faster than behaviour cloning, and the gap grows with the distance from what was shown "
            "(success rates unverified)",
        ),
        Claim(
            "and on missions like those that were shown",
            better="thoughts", worse="actions", margin=0.03, matched=SPENT, null="shuffled",
            rivals=("constant", "afterwards"), paper="it learns much faster than cloning of behaviour alone",
        ),
    ],
    seeds=16,
    tried=6,
)  # fmt: skip
