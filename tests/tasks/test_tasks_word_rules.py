"""Rules about words: no two alike, and their programs do what they say."""

from __future__ import annotations

import random

import pytest

from trivium.errors import UserError
from trivium.tasks import task
from trivium.tasks.word_rules import HELPERS, READS, WORDS, WordRules, facts, follow, program, rules

RULES = list(rules())


def triples(n: int) -> list[list[str]]:
    rng = random.Random(0)
    return [rng.sample(list(WORDS), 3) for _ in range(n)]


def test_every_kind_has_as_many_words_of_both_sizes_and_every_colour() -> None:
    for kind in ("animal", "food", "tool", "cloth", "vehicle", "plant"):
        mine = [word for word in WORDS.values() if word.kind == kind]
        assert len(mine) == 12
        assert sum(word.size == "big" for word in mine) == 6
        assert len({word.colour for word in mine}) == 6


def test_no_two_rules_answer_alike() -> None:
    answers = {tuple(rule.steps(words)["answer"] for words in triples(400)) for rule in RULES}
    assert len(RULES) == len(answers) == 3 * 6 * 6 * 2


@pytest.mark.parametrize("rule", RULES[::13], ids=lambda rule: rule.name)
def test_the_program_of_a_rule_run_with_true_helpers_gives_its_answer(rule: WordRules) -> None:
    for problem in rule.problems("test", 3):
        assert follow(program(rule), problem.reference["words"]) == problem.reference["answer"]


def test_a_program_of_other_helpers_or_a_broken_one_gives_nothing() -> None:
    words = ["horse", "frog", "pea"]
    assert follow("def answer(items):\n    return {'answer': fly(items)}", words) is None
    assert follow("def answer(items):\n    return {'answer': colour_of(items)}", words) is None
    assert follow("def answer(items):\n    return 1 / 0", words) is None
    assert follow("def answer(items):\n    return {'answer': colour_of(word_at('third', items))}", words) == "green"


def test_a_plan_has_no_code() -> None:
    text = program(RULES[0], full=False)
    assert "=" not in text
    assert text.endswith("return output")


def test_a_fact_is_what_its_lines_give_and_facts_are_of_every_step() -> None:
    made = facts(RULES, 300, random.Random(0))
    for lines, values in made:
        known: dict[str, object] = dict(HELPERS)
        exec(lines, known)
        assert values == {name: known[name] for name in values}
    assert {list(values)[-1] for _, values in made} == set(READS)
    fits = [values["fits"] for _, values in made if list(values)[-1] == "fits"]
    assert 0.4 < fits.count("yes") / len(fits) < 0.8


def test_an_instruction_that_does_not_tell_is_the_same_for_six_rules() -> None:
    told = {rule.instruction for rule in RULES}
    vague = {task(f"{rule.name}{',' if ':' in rule.name else ':'}told=false").instruction for rule in RULES}
    assert (len(told), len(vague)) == (216, 36)


def test_a_rule_needs_two_places_to_choose_between() -> None:
    with pytest.raises(UserError, match="then and other are both second"):
        task("word-rules:other=second")
