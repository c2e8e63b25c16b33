"""Pretrained bases: small models that know the surface of a task family, made once a seed and used by many recipes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from trivium.errors import UserError
from trivium.lab.code import digest
from trivium.lab.lab import Lab
from trivium.lab.train import demonstrations, imitate, solutions
from trivium.policies import policy as make_policy
from trivium.policies.local import LocalPolicy
from trivium.policies.tiny import byte_tokenizer, trained_tokenizer, untrained
from trivium.tasks import task as make_task
from trivium.types import Message, Problem


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a base was taught: the written solutions of some tasks' training problems.

    `size` is that of `tiny`; each of `tasks` gives `examples` problems, dealt by the seed plus `offset`; `vocab` above
    0 learns a tokenizer of so many tokens from them, else every byte is one.  `init` is added to the seed of the first
    weights: two bases that are to differ must not begin as one.  `policy` is what becomes of it where a user names one:
    that stands for it, it is taught all the same, or the recipe needs two that share a tokenizer.
    """

    tasks: tuple[str, ...]
    size: str = "300k"
    examples: int = 4000
    steps: int = 800
    batch: int = 32
    lr: float = 2e-3
    vocab: int = 0
    offset: int = 0
    init: int = 0
    policy: Literal["stands-for-it", "taught", "refused"] = "stands-for-it"


def base(lab: Lab[Any], lesson: Lesson) -> LocalPolicy:
    """A fresh copy of the policy that learned a lesson with the lab's seed, made if nobody did before.

    With `trivium claim --policy SPEC` it is that policy instead, as it comes.  Raises UserError where one is too few.
    """
    if lab.policy_spec is not None and lesson.policy == "refused":
        raise UserError(f"--policy names one model, and {lab.slug} takes two that share a tokenizer: use --size lab")
    if lab.policy_spec is not None and lesson.policy == "stands-for-it":
        return given(lab.policy_spec)

    def make(inner: Lab[Any]) -> LocalPolicy:
        shown = [
            shown
            for spec in lesson.tasks
            for shown in solutions(
                inner.problems(make_task(spec), "train", lesson.examples, seed=lab.seed + lesson.offset)
            )
        ]
        return schooled(inner, lesson, shown)

    return lab.policy("base", make, shared=f"base-{digest([repr(lesson)])}")


def schooled(lab: Lab[Any], lesson: Lesson, shown: Sequence[tuple[Problem, str]]) -> LocalPolicy:
    """`taught` what is shown, in the size, the steps and from the first weights of a lesson."""
    return taught(
        lab, shown, lesson.size, lesson.steps, lesson.batch, lesson.lr, vocab=lesson.vocab, init=lesson.init
    )  # fmt: skip


def taught(
    lab: Lab[Any],
    shown: Sequence[tuple[Problem, str]],
    size: str,
    steps: int,
    batch: int,
    lr: float,
    vocab: int = 0,
    watch: Callable[[int], None] = lambda step: None,
    init: int = 0,
) -> LocalPolicy:
    """Random weights after imitating responses to problems, charged as `pretrain_tokens` and `pretrain_steps`.

    What arms share must not make what they differ in look small.
    """
    policy = blank(lab, size, [(problem.question.messages, text) for problem, text in shown], vocab, init)
    moved = (("trained_tokens", "pretrain_tokens"), ("optimiser_steps", "pretrain_steps"))
    before = [lab.spent[unit] for unit, _ in moved]
    imitate(lab, policy, demonstrations(policy, shown), steps=steps, batch=batch, lr=lr, watch=watch)
    for (unit, shared), had in zip(moved, before, strict=True):
        lab.spent[shared] += lab.spent[unit] - had
        lab.spent[unit] = had
    return policy


def blank(
    lab: Lab[Any], size: str, talks: Sequence[tuple[Sequence[Message], str]], vocab: int = 0, init: int = 0
) -> LocalPolicy:
    """Random weights of the lab's seed plus `init`; with `vocab`, a tokenizer learnt from what it will read and say."""
    if not vocab:
        return untrained(size, byte_tokenizer(), seed=lab.seed + init)
    texts = (text for messages, said in talks for text in (*(m.content for m in messages), said))
    return untrained(size, trained_tokenizer(texts, vocab), seed=lab.seed + init)


def given(spec: str) -> LocalPolicy:
    """The policy that a user named for the full size."""
    made = make_policy(spec)
    if not isinstance(made, LocalPolicy):
        raise UserError(f"--policy {spec}: a recipe trains its policy, and this one's weights are not here")
    return made
