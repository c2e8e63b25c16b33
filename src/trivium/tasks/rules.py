"""Facts and if-then rules with explicit negation: does a statement follow, does its negation, or neither?"""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from trivium.errors import UserError
from trivium.tasks.base import Described, at_least, deal, guarded, judged, new_problem
from trivium.tasks.steps import Step, judge_lines, step_share
from trivium.types import Problem, Split, Verdict
from trivium.verify.parse import truth

LABELS = ("true", "false", "unknown")
Rule = tuple[tuple[str, ...], str]
"""Body and head; a literal is `word` or `not word`."""

_WORDS = tuple(
    re.findall(
        r"\w+",
        """
        red blue green round big small old new hot cold wet dry loud quiet fast slow soft hard light dark sweet sour
        kind rude rich poor calm angry brave shy clean dirty smart happy sad tall short young strong weak thick thin
        rough smooth heavy empty full open sharp flat deep wide pale bright rare safe wild lazy busy fresh ripe bitter
        proud
        """,
    )
)


@dataclass(frozen=True, slots=True)
class Rules(Described):
    """Decide from facts and if-then rules whether a statement is true, false or unknown.

    The label needs `hops` rules in a row (for `unknown`, a chain as long that breaks somewhere); `distractors` further
    rules, the first of which would prove the opposite but does not fire.  The world is open: what neither follows nor
    is contradicted is unknown.  Labels are dealt in turn, so a constant answer gets one third.  `min_hops` deals a
    mixture from there to `hops`; 0 means `hops` only.  Verdict parts: `format` (a label) and `steps` from `lines`.
    Level: hops.
    """

    family: ClassVar[str] = "rules"
    hops: int = 2
    distractors: int = 2
    min_hops: int = 0

    def __post_init__(self) -> None:
        at_least("rules", 1, hops=self.hops)
        at_least("rules", 0, distractors=self.distractors)
        if 3 * (self.hops + self.distractors) > len(_WORDS) - 4:
            raise UserError(f"task rules: hops + distractors is too large; expected at most {(len(_WORDS) - 4) // 3}")
        if self.min_hops and not 1 <= self.min_hops <= self.hops:
            raise UserError(f"task rules: min_hops={self.min_hops}; expected 1 to hops={self.hops}, or 0")

    @property
    def max_tokens(self) -> int:
        return 24 + 16 * (self.hops + self.distractors)

    def problems(self, split: Split, n: int, seed: int = 0) -> list[Problem]:
        each = -(-n // len(LABELS))
        hands = [deal(self.name, split, each, seed, functools.partial(self._draw, label)) for label in LABELS]
        return [problem for turn in zip(*hands, strict=True) for problem in turn][:n]

    def _draw(self, label: str, rng: random.Random) -> Problem | None:
        hops = rng.randint(self.min_hops or self.hops, self.hops)
        facts, rules, asked = _world(label, hops, self.distractors, rng)
        rounds = forward_chain(facts, rules)
        found = _label(rounds, asked)
        if found != label or any(_negation(literal) in rounds for literal in rounds):
            return None
        settled = asked if label == "true" else _negation(asked)
        if label != "unknown" and rounds[settled] != hops:
            return None
        rng.shuffle(facts)
        rng.shuffle(rules)
        prompt = f"Facts: {', '.join(facts)}\nRules:\n" + "\n".join(map(_show, rules)) + f"\nIs it {asked}? "
        prompt += "Answer true, false or unknown."
        work = derivation(facts, rules, None if label == "unknown" else settled)
        return new_problem(
            self.family,
            prompt,
            prompt,
            reference={"facts": facts, "rules": rules, "asked": asked, "label": label},
            gold=label,
            answer_format="truth",
            level=hops,
            solution="\n".join([*map(_show, work), f"Answer: {label}"]),
        )

    @guarded
    def verify(self, problem: Problem, response: str) -> Verdict:
        label, asked = problem.reference["label"], problem.reference["asked"]
        facts, rules = problem.reference["facts"], _read_rules(problem)
        if label not in LABELS or _label(forward_chain(facts, rules), asked) != label:
            raise ValueError(f"the reference says {label!r}, its rules do not")
        settled = {"true": asked, "false": _negation(asked), "unknown": None}[label]
        steps = step_share(self.lines(problem, response), len(derivation(facts, rules, settled)))
        answer = truth(response)
        if answer is None:
            return Verdict.unparseable("none of true, false, unknown", format=0.0, steps=steps)
        return judged(answer == label, answer, {"format": 1.0, "steps": steps})

    def lines(self, problem: Problem, response: str) -> list[Step]:
        """Each line's verdict: `big, not red -> old` is right if it is one of the rules, used for the first time, and
        its body has been established; a line without an arrow claims nothing.
        """
        known = set(problem.reference["facts"])
        unused = {_show(rule).replace(" ", ""): rule for rule in _read_rules(problem)}

        def judge(line: str) -> bool | None:
            if "->" not in line:
                return None
            rule = unused.get(line.rstrip("."))
            if rule is None or not known.issuperset(rule[0]):
                return False
            del unused[line.rstrip(".")]
            known.add(rule[1])
            return True

        return judge_lines(response, judge)


def forward_chain(facts: list[str], rules: list[Rule]) -> dict[str, int]:
    """Every literal that follows, with the round in which it first does: facts in round 0."""
    rounds = dict.fromkeys(facts, 0)
    for count in range(1, len(rules) + 1):
        fresh = {head for body, head in rules if head not in rounds and all(part in rounds for part in body)}
        if not fresh:
            break
        rounds |= dict.fromkeys(sorted(fresh), count)
    return rounds


def derivation(facts: list[str], rules: list[Rule], goal: str | None) -> list[Rule]:
    """Rules that derive `goal` from `facts`, each after those it needs; for `None`, all that add a literal."""
    rounds = forward_chain(facts, rules)
    makers: dict[str, Rule] = {}
    for rule in sorted(rules, key=lambda r: max((rounds.get(part, len(rules) + 1) for part in r[0]), default=0)):
        if all(part in rounds for part in rule[0]) and rounds[rule[1]] > 0:
            makers.setdefault(rule[1], rule)
    wanted = list(makers) if goal is None else [goal]
    needed: set[str] = set()
    while wanted:
        literal = wanted.pop()
        if literal in makers and literal not in needed:
            needed.add(literal)
            wanted.extend(makers[literal][0])
    return [rule for head, rule in makers.items() if head in needed]


def _world(label: str, hops: int, distractors: int, rng: random.Random) -> tuple[list[str], list[Rule], str]:
    """Facts, rules and question meant for `label`; the caller checks that the label really holds."""
    words: Iterator[str] = iter(rng.sample(_WORDS, len(_WORDS)))

    def literal() -> str:
        # Even odds: a contradicted premise must not show by its sign.
        return next(words) if rng.random() < 0.5 else f"not {next(words)}"

    asked = next(words)
    goal = {"true": asked, "false": f"not {asked}"}.get(label) or rng.choice([asked, f"not {asked}"])
    links = [literal() for _ in range(hops)] + [goal]
    facts, rules = [links[0]], list[Rule]()
    broken = rng.randrange(hops) if label == "unknown" else -1
    for i, (before, after) in enumerate(pairwise(links)):
        # A broken link has as many premises and facts as a whole one, so that counting them says nothing: either its
        # second premise is contradicted by a fact, or its only premise is one that nothing establishes.
        body = [before]
        if rng.random() < 0.5:
            body.append(literal())
            facts.append(_negation(body[1]) if i == broken else body[1])
        elif i == broken:
            body = [literal()]
        rng.shuffle(body)
        rules.append((tuple(body), after))
    for i in range(distractors):
        # The first would prove the opposite of the goal, were its missing premise there: so neither the sign of a rule
        # that ends in the asked word nor the presence of one gives the label away.
        known, missing = rng.choice(links[:-1]), literal()
        head = _negation(goal) if i == 0 else literal()
        body = [known, missing] if i == 0 or rng.random() < 0.5 else [known]
        if i == 0 and rng.random() < 0.5:
            facts.append(_negation(missing))
        rng.shuffle(body)
        rules.append((tuple(body), head))
    return facts, rules, asked


def _label(rounds: dict[str, int], asked: str) -> str:
    return "true" if asked in rounds else "false" if _negation(asked) in rounds else "unknown"


def _negation(literal: str) -> str:
    return literal.removeprefix("not ") if literal.startswith("not ") else f"not {literal}"


def _show(rule: Rule) -> str:
    return f"{', '.join(rule[0])} -> {rule[1]}"


def _read_rules(problem: Problem) -> list[Rule]:
    return [(tuple(body), head) for body, head in problem.reference["rules"]]
