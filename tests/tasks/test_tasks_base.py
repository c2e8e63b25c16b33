"""Dealing: splits for ever, determinism across processes, and honest refusal when a space is used up."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivium.errors import UnknownName, UserError
from trivium.tasks import task
from trivium.tasks.base import Described, ask, at_least, deal, guarded, leaks, new_problem, one_of, split_of
from trivium.types import Message, Problem, Verdict


def _number(rng: random.Random, limit: int = 10**6) -> Problem:
    x = rng.randrange(limit)
    return new_problem("double", f"{x}", f"Double {x}.", reference=2 * x, gold=str(2 * x), answer_format="number")


def test_splits_never_change() -> None:
    # Frozen: a new hash would move test problems into the training split of everyone's earlier runs.
    frozen = {
        "1+1": "train",
        "41+87-35": "test",
        "a": "dev",
        "b": "train",
        "\u00e9": "train",
        "": "train",
        "11": "test",
    }
    assert {key: split_of(key) for key in frozen} == frozen


def test_splits_have_the_promised_shares() -> None:
    shares = Counter(split_of(str(i)) for i in range(20_000))
    assert shares["train"] / 20_000 == pytest.approx(0.8, abs=0.02)
    assert shares["dev"] / 20_000 == pytest.approx(0.1, abs=0.015)


def test_dealing_repeats_extends_and_depends_on_name_split_and_seed() -> None:
    hand = deal("double", "test", 30, 0, _number)
    assert deal("double", "test", 30, 0, _number) == hand
    assert deal("double", "test", 12, 0, _number) == hand[:12]
    assert len({p.key for p in hand}) == 30
    assert {p.split for p in hand} == {"test"}
    for other in (deal("double", "test", 30, 1, _number), deal("triple", "test", 30, 0, _number)):
        assert [p.key for p in other] != [p.key for p in hand]
    assert deal("double", "test", 0, 0, _number) == []


def test_dealing_is_the_same_in_a_fresh_process() -> None:
    code = "from trivium.tasks import task; print([p.key for p in task('sums').problems('dev', 8, 3)])"
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        )
        for seed in ("1", "2")
    ]
    assert runs[0].stdout == runs[1].stdout == f"{[p.key for p in task('sums').problems('dev', 8, 3)]}\n"


def test_a_used_up_space_says_how_many_there_are() -> None:
    def few(rng: random.Random) -> Problem:
        return _number(rng, 40)

    there = sum(split_of(str(i)) == "train" for i in range(40))
    assert len(deal("double", "train", there, 0, few)) == there
    with pytest.raises(
        UserError, match=f"double has only {there} different train problems, {there + 1} were asked for"
    ):
        deal("double", "train", there + 1, 0, few)


def test_rejected_draws_are_not_dealt() -> None:
    hand = deal("even", "train", 20, 0, lambda rng: p if int((p := _number(rng)).key) % 2 == 0 else None)
    assert all(int(p.key) % 2 == 0 for p in hand)


@pytest.mark.parametrize(
    ("answer", "prompt", "found"),
    [("35", "41+87-35", True), ("3", "41+35", False), ("5", "3.5", False), ("3", "3.5", False), ("5", "is 5.", True),
     ("B", "A B", True), ("ab", "cab", False), ("", "x", False), ("(1+2)", "so (1+2)", True)],
)  # fmt: skip
def test_leaks(answer: str, prompt: str, found: bool) -> None:
    assert leaks(answer, prompt) is found


@settings(deadline=None, derandomize=True)
@given(st.text(min_size=1).filter(str.strip))
def test_any_answer_alone_leaks(answer: str) -> None:
    assert leaks(answer, answer)


def test_ask_and_new_problem() -> None:
    assert ask("u") == (Message("user", "u"),)
    assert ask("u", "s") == (Message("system", "s"), Message("user", "u"))
    first, again, other = (
        new_problem(s, k, "u", reference=1, gold="1") for s, k in [("a", "x"), ("a", "x"), ("b", "x")]
    )
    assert first == again
    assert first.question.id != other.question.id
    assert first.split == split_of("x")


@dataclass(frozen=True, slots=True)
class Fruit(Described):
    """Name a fruit.

    More words.
    """

    family: ClassVar[str] = "fruit"
    kind: str = "apple"
    ripe: bool = True
    count: int | None = 3

    @guarded
    def verify(self, problem: Problem, response: str) -> Verdict:
        return Verdict.right(str(problem.reference["x"]))


def test_a_described_task_spells_its_own_spec() -> None:
    assert Fruit().name == "fruit"
    assert Fruit("pear", False, None).name == "fruit:kind=pear,ripe=false,count=none"
    assert Fruit().summary == "Name a fruit."


def test_a_guarded_verifier_turns_its_own_failure_into_an_error() -> None:
    verdict = Fruit().verify(new_problem("fruit", "k", "u", reference=None, gold="x"), "x")
    assert (verdict.status, verdict.score) == ("error", None)
    assert "TypeError" in verdict.detail


def test_option_checks_say_what_to_type() -> None:
    with pytest.raises(UserError, match="task t: n=0 is too small; expected 2 or more"):
        at_least("t", 2, m=2, n=0)
    with pytest.raises(UserError, match=r"ops='\+x' is not understood; expected some of \+ -"):
        one_of("t", "ops", "+x", "+-")
    with pytest.raises(UserError):
        one_of("t", "ops", "", "+-")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("sum", "Did you mean sums"),
        ("sums:term=2", "terms"),
        ("sums:terms=1", "expected 2 or more"),
        ("sums:ops=^", "expected some of"),
        ("sums:terms=50", "at most 20 terms"),
        ("sums:min_terms=9", "expected 2 to terms=3"),
        ("countdown:numbers=1", "expected 2 or more"),
        ("countdown:numbers=40", "expected 2 to 10"),
        ("countdown:min_numbers=5", "expected 2 to 4"),
        ("chain:steps=40", "26"),
        ("chain:steps=0", "expected 1 or more"),
        ("chain:min_steps=4", "expected 1 to steps=3"),
        ("chain:digits=13", "1 to 12"),
        ("graph-search:nodes=2", "more than degree=2"),
        ("graph-search:distance=10", "below nodes=10"),
        ("graph-search:min_distance=1", "expected 2 or more"),
        ("rules:hops=40", "too large"),
        ("rules:min_hops=3", "expected 1 to hops=2"),
    ],
)
def test_bad_options_get_one_clear_message(spec: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        task(spec)


def test_an_unknown_task_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="countdown"):
        task("countdwn")
