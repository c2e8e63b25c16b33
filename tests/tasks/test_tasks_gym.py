"""Every generator of reasoning-gym, its options, and the scorers that must not be trusted."""

from __future__ import annotations

import pytest

from trivium.errors import UnknownName, UserError
from trivium.tasks import task
from trivium.tasks.contract import check_task
from trivium.tasks.gym import EVALUATED, UNUSABLE, gym_names, harmless


def test_every_generator_deals_problems_whose_gold_is_correct() -> None:
    """All of them in one test: they share one worker, and a table says which cannot be used."""
    names = gym_names()
    assert len(names) > 100
    assert set(UNUSABLE) | EVALUATED < set(names)
    broken = {}
    for name in names:
        if name in UNUSABLE:
            with pytest.raises(UserError, match=f"gym:{name} cannot be used: .+"):
                task(f"gym:{name}")
            continue
        built = task(f"gym:{name}")
        problems = built.problems("train", 2)
        verdicts = [built.verify(problem, problem.gold).status for problem in problems]
        verdicts.append(built.verify(problems[0], "<answer>plugh</answer>").status)
        if len({p.key for p in problems}) != 2 or verdicts[:2] != ["correct"] * 2 or verdicts[2] == "correct":
            broken[name] = verdicts
    assert not broken


def test_a_generator_whose_scorer_evaluates_keeps_the_contract() -> None:
    assert check_task(task("gym:n_queens,n=5,min_remove=1,max_remove=3"), n=4, extractive=True) == []


def test_options_reach_the_generator() -> None:
    problems = task("gym:countdown,min_numbers=3,max_numbers=3,operators=+").problems("dev", 3)
    for problem in problems:
        assert problem.gold.count("+") == 2
        assert problem.split == "dev"
    built = task("gym:countdown,min_numbers=3,max_numbers=3")
    assert built.name == "gym:countdown,min_numbers=3,max_numbers=3"


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("gym:countdwn", "unknown reasoning-gym generator 'countdwn'. Did you mean countdown"),
        ("gym:countdown,min_number=3", "unknown option of gym:countdown: 'min_number'. Did you mean min_numbers"),
        ("gym:countdown,min_numbers=x", "min_numbers='x' is not a valid int; the default is 4"),
        ("gym:countdown,shuffle=perhaps", "is not a valid bool"),
        ("gym:countdown,min_numbers=9", "refuses these options: AssertionError: max_numbers must be"),
        ("gym:countdown,seed=3", "unknown option of gym:countdown: 'seed'"),
        ("gym", "task gym needs dataset"),
    ],
)
def test_mistakes_are_answered(spec: str, says: str) -> None:
    with pytest.raises(UserError) as caught:
        task(spec)
    assert says in str(caught.value)


def test_answers_that_would_run_code_never_reach_a_scorer() -> None:
    problem = task("gym:countdown").problems("train", 1)[0]
    for said in (
        "__import__('os').system('touch /tmp/trivium-owned')",
        "exec('1')",
        "[open][0]('/etc/passwd')",
        "(lambda: 1)()",
        "\uff45\uff58\uff45\uff43('1')",
        "5! + eval\n('1')",
        "f\"{print('x')}\"",
    ):
        verdict = task("gym:countdown").verify(problem, f"<answer>{said}</answer>")
        assert verdict.status == "wrong"
        assert "more than an expression" in verdict.detail
    for said in ("(1 + 2) * 3", "[[1, 2], [3, 4]]", "sin(x)**2 + exp(2*x) + C", "['A', 'B']", "a b\nc d", "(1, 2)"):
        assert harmless(said)


def test_a_scorer_that_hangs_is_an_error_and_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    built = task("gym:countdown")
    problem = built.problems("train", 1)[0]
    monkeypatch.setattr("trivium.tasks.gym._SCORE_SECONDS", 0.5)
    verdict = built.verify(problem, "<answer>9**9**9**9</answer>")
    assert verdict.status == "error"
    assert "the scorer of gym:countdown failed" in verdict.detail
    monkeypatch.undo()
    assert built.verify(problem, problem.gold).correct


def test_a_problem_of_another_version_is_an_error() -> None:
    built = task("gym:countdown")
    first, second = built.problems("train", 2)
    swapped = {**first.reference, "fingerprint": second.reference["fingerprint"]}
    verdict = built.verify(type(first)(**{**_fields(first), "reference": swapped}), first.gold)
    assert verdict.status == "error"
    assert "deal the problems again" in verdict.detail


def _fields(problem: object) -> dict[str, object]:
    return {name: getattr(problem, name) for name in problem.__slots__}  # type: ignore[attr-defined]


def test_unknown_names_carry_their_nearest() -> None:
    with pytest.raises(UnknownName) as caught:
        task("gym:sudoko")
    assert "sudoku" in caught.value.nearest
