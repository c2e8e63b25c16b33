"""Rules over word lists: no two alike, and their programs do what they say."""

from __future__ import annotations

import random

import pytest

from trivium.tasks import task
from trivium.tasks.word_lists import KINDS, WORDS, WordLists, follow, program, rules

RULES = list(rules())


def lists(n: int) -> list[list[str]]:
    rng = random.Random(0)
    return [rng.sample(list(WORDS), 24) for _ in range(n)]


def test_every_kind_has_as_many_words_and_both_sizes() -> None:
    for kind in KINDS:
        mine = [word for word in WORDS.values() if word.kind == kind]
        assert len(mine) == 12
        assert sum(word.size == "big" for word in mine) == 6
        assert len({word.colour for word in mine}) == 6


def test_no_two_rules_answer_alike() -> None:
    answers = [tuple(rule.steps(words)["answer"] for words in lists(120)) for rule in RULES]
    assert len(RULES) == len(set(answers)) == 144


@pytest.mark.parametrize("rule", RULES[::7], ids=lambda rule: rule.name)
def test_the_program_of_a_rule_run_with_true_helpers_gives_its_answer(rule: WordLists) -> None:
    for problem in rule.problems("test", 3):
        words = problem.reference["words"]
        assert follow(program(rule), words) == problem.reference["answer"]


def test_a_program_of_other_helpers_or_a_broken_one_gives_nothing() -> None:
    words = ["horse", "frog"]
    assert follow("def answer(items):\n    return {'answer': fly(items)}", words) is None
    assert follow("def answer(items):\n    return 1 / 0", words) is None
    assert follow("def answer(items):\n    return {'answer': count(animals(items))}", words) == "2"


def test_a_plan_has_no_code() -> None:
    text = program(RULES[0], code=False)
    assert "=" not in text
    assert text.endswith("return output")


def test_an_instruction_that_does_not_tell_is_the_same_for_many_rules() -> None:
    told = {rule.instruction for rule in RULES}
    vague = {task(f"{rule.name}{',' if ':' in rule.name else ':'}told=false").instruction for rule in RULES}
    assert (len(told), len(vague)) == (144, 3 * len(KINDS))
