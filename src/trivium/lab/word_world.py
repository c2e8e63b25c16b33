"""A world of words for emulation: models that know its words, and are shown rules about them as programs or answers."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

from trivium.errors import UserError
from trivium.lab.bases import blank
from trivium.lab.lab import Lab
from trivium.lab.train import demonstrations, imitate
from trivium.learn.batch import Demonstration
from trivium.policies.local import LocalPolicy
from trivium.search.emulate import bare
from trivium.tasks.base import ask
from trivium.tasks.word_rules import WordRules, facts, listed, program
from trivium.types import Problem

Kind = Literal["code", "plan", "direct"]
"""What a model says to a question: a program and what it returns, the same with the program's plan only, the answer."""
FACTS_BATCH = 32


def item(rule: WordRules, problem: Problem, code: bool) -> str:
    """Program, call and output of a question, in the template of CoGEX (Weir et al. 2024, arXiv:2405.16337)."""
    words = problem.reference["words"]
    return f"{program(rule, full=code)}\n\n>>> answer({listed(words)!r})\n\n### Output\noutput = {rule.steps(words)}"


def talks(lab: Lab[Any], rules: Sequence[WordRules], each: int, kind: Kind) -> list[tuple[Problem, str]]:
    """What a kind of model is shown: `each` training questions of every rule that is told, and as many untold."""
    made = []
    for i, (rule, told) in enumerate(itertools.product(rules, (True, False))):
        for p in lab.problems(replace(rule, told=told), "train", each, seed=1000 * lab.seed + i):
            asked = p if kind == "direct" else replace(p, question=bare(p.question))
            made.append((asked, f"Answer: {p.gold}" if kind == "direct" else item(rule, p, kind == "code")))
    return made


def knowing(
    lab: Lab[Any], rules: Sequence[WordRules], each: int, *, size: str, vocab: int, steps: int, lr: float
) -> LocalPolicy:
    """A fresh copy of a model that imitated pieces of the rules' programs and what they give, each piece once.

    Its tokenizer is learnt from what all kinds of models will be shown of the rules.  Raises UserError for a policy
    that a user named: what is learned here begins from random weights.
    """
    if lab.policy_spec is not None:
        raise UserError(
            f"--policy {lab.policy_spec}: {lab.slug} teaches a model of its own from random weights; use --size lab"
        )

    def make(inner: Lab[Any]) -> LocalPolicy:
        read = [talk for kind in get_args(Kind) for talk in talks(inner, rules, each, kind)]
        policy = blank(inner, size, [(p.question.messages, said) for p, said in read], vocab)
        pieces = [
            Demonstration(policy.encode(ask(lines)), policy.encode_response(repr(values)))
            for lines, values in facts(rules, steps * FACTS_BATCH, random.Random(inner.seed))
        ]
        imitate(inner, policy, pieces, steps=steps, batch=FACTS_BATCH, lr=lr)
        pretrained(inner)
        return policy

    return lab.policy("knowing", make)


def shown(
    lab: Lab[Any], policy: LocalPolicy, rules: Sequence[WordRules], each: int, kind: Kind, *, steps: int, batch: int,
    lr: float,
) -> None:  # fmt: skip
    """Teach a policy the rules, as one kind of model."""
    imitate(lab, policy, demonstrations(policy, talks(lab, rules, each, kind)), steps=steps, batch=batch, lr=lr)
    pretrained(lab)


def pretrained(lab: Lab[Any]) -> None:
    """Count steps as pretraining, and no tokens: direct answers are shorter, so kinds saw equal examples."""
    lab.charge("pretrain_steps", lab.spent.pop("optimiser_steps"))
    del lab.spent["trained_tokens"]
