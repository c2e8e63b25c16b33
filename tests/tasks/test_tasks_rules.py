"""Rules: labels against brute-force closure, even classes, and no shortcut that beats guessing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from trivium.tasks.base import new_problem
from trivium.tasks.rules import LABELS, Rules, derivation, forward_chain
from trivium.types import Problem

FACTS = ["red", "not big"]
RULES = [(["red"], "round"), (["round", "not big"], "old"), (["old", "hot"], "wet"), (["big"], "not old")]


def problem(asked: str = "old", label: str = "true") -> Problem:
    reference = {"facts": FACTS, "rules": [[body, head] for body, head in RULES], "asked": asked, "label": label}
    return new_problem("rules", asked, "?", reference=reference, gold=label, level=2)


def _read(p: Problem) -> tuple[set[str], list[tuple[set[str], str]], str]:
    """Facts, rules and question from the prompt alone, as a model sees them."""
    facts, _, *rules, question = p.question.messages[0].content.splitlines()
    made = [(set(body.split(", ")), head) for body, _, head in (rule.partition(" -> ") for rule in rules)]
    return set(facts.removeprefix("Facts: ").split(", ")), made, question.split("?")[0].removeprefix("Is it ")


@pytest.mark.parametrize("task", [Rules(), Rules(hops=5, min_hops=1, distractors=5), Rules(hops=1, distractors=0)])
def test_labels_follow_from_the_prompt(task: Rules) -> None:
    for p in task.problems("train", 60):
        known, rules, asked = _read(p)
        for _ in rules:
            known |= {head for body, head in rules if body <= known}
        assert not any(f"not {literal}" in known for literal in known)
        assert p.gold == ("true" if asked in known else "false" if f"not {asked}" in known else "unknown")
        assert p.solution is not None
        assert task.verify(p, p.solution).parts == {"format": 1.0, "steps": 1.0}
        if p.gold != "unknown":
            assert forward_chain(p.reference["facts"], p.reference["rules"])[_settled(p)] == p.level


def _settled(p: Problem) -> str:
    return str(p.reference["asked"]) if p.gold == "true" else f"not {p.reference['asked']}"


def test_labels_are_dealt_evenly() -> None:
    assert Counter(p.gold for p in Rules().problems("test", 30)) == dict.fromkeys(LABELS, 10)
    assert {p.level for p in Rules(hops=3, min_hops=1).problems("train", 60)} == {1, 2, 3}


@pytest.mark.parametrize(
    "feature",
    [
        lambda facts, rules, asked: len(facts),
        lambda facts, rules, asked: sum(len(body) for body, _ in rules),
        lambda facts, rules, asked: sum(fact.startswith("not") for fact in facts),
        lambda facts, rules, asked: sum(head == asked for _, head in rules),
        lambda facts, rules, asked: sum(head == f"not {asked}" for _, head in rules),
        lambda facts, rules, asked: next(i for i, (_, head) in enumerate(rules) if head.endswith(asked)),
    ],
    ids=["facts", "premises", "negations", "heads", "negated heads", "order"],
)
def test_counting_does_not_give_the_label_away(feature: Callable[..., int]) -> None:
    """The best guess from one count, fitted on one half and measured on the other, stays near one third."""
    hand = [(feature(*_read(p)), p.gold) for p in Rules(hops=3).problems("train", 1200)]
    seen: dict[int, Counter[str]] = {}
    for value, label in hand[:600]:
        seen.setdefault(value, Counter())[label] += 1
    guesses = [seen[value].most_common(1)[0][0] == label for value, label in hand[600:] if value in seen]
    assert sum(guesses) / len(guesses) < 0.40  # 1/3 with a standard error of 0.02


@pytest.mark.parametrize(
    ("response", "status", "steps"),
    [
        ("red -> round\nround, not big -> old\nAnswer: true", "correct", 1.0),
        ("red->round\nround, not big->old\nTrue", "correct", 1.0),
        ("true", "correct", 0.0),
        ("red -> round\nAnswer: false", "wrong", 0.5),
        ("red -> round\nred -> round\nAnswer: true", "correct", 0.5),
        ("round, not big -> old\nAnswer: true", "correct", 0.0),  # round is not established yet
        ("red -> old\nAnswer: true", "correct", 0.0),  # no such rule
        ("unknown", "wrong", 0.0),
        ("yes", "unparseable", 0.0),
    ],
)
def test_verdicts(response: str, status: str, steps: float) -> None:
    verdict = Rules().verify(problem(), response)
    assert (verdict.status, verdict.parts["steps"]) == (status, steps)


def test_unknown_needs_all_that_follows_and_a_wrong_label_is_an_error() -> None:
    assert (
        Rules().verify(problem("wet", "unknown"), "red -> round\nround, not big -> old\nAnswer: unknown").parts["steps"]
        == 1.0
    )
    assert Rules().verify(problem("wet", "unknown"), "unknown").parts["steps"] == 0.0
    assert Rules().verify(problem("wet", "true"), "true").status == "error"
    assert Rules().verify(problem("wet", "maybe"), "true").status == "error"


def test_a_derivation_holds_only_what_is_needed_in_order() -> None:
    rules = [(tuple(body), head) for body, head in RULES]
    rules.insert(0, (("red",), "sad"))
    assert derivation(FACTS, rules, "old") == [(("red",), "round"), (("round", "not big"), "old")]
    assert {head for _, head in derivation(FACTS, rules, None)} == {"sad", "round", "old"}
