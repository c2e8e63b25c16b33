"""Every registered task keeps the contract, and the contract notices each way of breaking it."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trivium.tasks import TASKS, task
from trivium.tasks.contract import check_task, leaked_answer
from trivium.tasks.sums import Sums
from trivium.types import Problem, Split, Task, Verdict

# Specs beyond a task's bare name; a task not listed here is tested with its defaults, so a new one needs no new test.
VARIANTS = {
    "sums": ["sums", "sums:terms=4,ops=+-*,min_terms=2,negative=true", "sums:terms=2,digits=3"],
    "countdown": ["countdown", "countdown:numbers=3,use_all=true", "countdown:numbers=5,min_numbers=3,ops=+-"],
    "chain": ["chain", "chain:steps=5,min_steps=2,ops=+-*,shuffle=true", "chain:distractors=0,digits=2"],
    "graph-search": ["graph-search", "graph-search:shortest=true,nodes=16,distance=5"],
    "word-rules": ["word-rules", "word-rules:look=third,kind=tool,then=first,other=second,ask=size,told=false"],
    "rules": ["rules", "rules:hops=4,min_hops=1,distractors=4"],
    "gym": ["gym:basic_arithmetic", "gym:chain_sum", "gym:countdown,max_numbers=4", "gym:spell_backward"],
    "file": ["file:ROWS,question=q,answer=a,verifier=number", "file:ROWS,question=q,answer=word"],
    "shots": ["shots:4,of=sums,terms=2", "shots:2,of=rules", "shots:2,of=file:ROWS,question=q,answer=word"],
}
# Dealing these costs tens of milliseconds a problem: every draw is checked against rivals, or on databases.
COSTLY = {"programs": 5, "sql": 5, "gym": 8}
SPECS = [spec for name in TASKS.names() for spec in VARIANTS.get(name, [name])]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small data file, the `ROWS` of the specs above."""
    path = tmp_path_factory.mktemp("data") / "rows.jsonl"
    words = ["nought", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    made = [
        {"q": f"What is {i} plus 500?", "a": i + 500, "word": " ".join(words[int(c)] for c in str(i))}
        for i in range(1, 400)
    ]
    path.write_text("\n".join(map(json.dumps, made)))
    return path


@pytest.mark.parametrize("spec", SPECS)
def test_every_task_keeps_the_contract(spec: str, rows: Path) -> None:
    assert check_task(task(spec.replace("ROWS", str(rows))), n=COSTLY.get(spec.partition(":")[0], 20)) == []


@pytest.mark.parametrize("name", sorted(set(TASKS.names()) - {"gym", "file", "shots"}))
def test_no_prompt_of_our_own_contains_its_answer(name: str) -> None:
    """Chance is no excuse where we write the generator."""
    assert [
        leaked_answer(p) for p in task(name).problems("train", 5 if name in COSTLY else 200) if leaked_answer(p)
    ] == []


@pytest.mark.parametrize("spec", SPECS)
def test_no_response_makes_a_verifier_raise(spec: str, rows: Path) -> None:
    built = task(spec.replace("ROWS", str(rows)))
    problems = built.problems("train", 3)

    @settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
    @given(st.one_of(st.text(), st.text(alphabet="0123456789+-*/=()>: \nABCabc,.{}\\`")), st.sampled_from(problems))
    def judge(response: str, problem: Problem) -> None:
        verdict = built.verify(problem, response)
        assert verdict.status != "error", verdict.detail
        assert all(0 <= part <= 1 for part in verdict.parts.values())

    judge()


def test_names_and_summaries_load_no_heavy_package() -> None:
    heavy = {
        "torch",
        "transformers",
        "duckdb",
        "sqlglot",
        "math_verify",
        "reasoning_gym",
        "datasets",
        "pyarrow",
        "httpx",
    }
    code = (
        "import json, sys; from trivium.tasks import TASKS; [TASKS.summary(n) for n in TASKS.names()];"
        f"print(json.dumps([m for m in {heavy!r} if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


class Broken(Sums):
    """Sums with one method replaced."""

    family = "not-registered"


def _with(**methods: Any) -> Task:
    return type("Mutant", (Broken,), methods)()  # type: ignore[no-any-return]


def _changed(change: Callable[[Problem], Problem]) -> Task:
    def problems(self: Sums, split: Split, n: int, seed: int = 0) -> list[Problem]:
        return [change(p) for p in Sums.problems(self, split, n, seed)]

    return _with(problems=problems)


def _say(problem: Problem, text: str) -> Problem:
    message = dataclasses.replace(problem.question.messages[0], content=text)
    return dataclasses.replace(problem, question=dataclasses.replace(problem.question, messages=(message,)))


def _same_hand(self: Sums, split: Split, n: int, seed: int = 0) -> list[Problem]:
    return Sums.problems(self, split, n, 0)


def _no_test(self: Sums, split: Split, n: int, seed: int = 0) -> list[Problem]:
    return [] if split == "test" else Sums.problems(self, split, n, seed)


def _one_pool(self: Sums, split: Split, n: int, seed: int = 0) -> list[Problem]:
    return [dataclasses.replace(p, split=split) for p in Sums.problems(self, "train", n, seed)]


def _forgetful(calls: list[int] = []) -> Callable[..., list[Problem]]:
    def problems(self: Sums, split: Split, n: int, seed: int = 0) -> list[Problem]:
        calls.append(1)
        return Sums.problems(self, split, n, seed + 1000 * len(calls))

    return problems


def _raises(self: Sums, problem: Problem, response: str) -> Verdict:
    if not response.strip():
        raise RuntimeError("boom")
    return Sums.verify(self, problem, response)


def _pays_silence(self: Sums, problem: Problem, response: str) -> Verdict:
    return Sums.verify(self, problem, response) if response.strip() else Verdict.right("")


def _pays_near(self: Sums, problem: Problem, response: str) -> Verdict:
    return Sums.verify(self, problem, problem.gold if response[:1] == problem.gold[:1] else response)


def _blames_model(self: Sums, problem: Problem, response: str) -> Verdict:
    verdict = Sums.verify(self, problem, response)
    return Verdict.wrong(detail="oops") if verdict.status == "error" else verdict


@pytest.mark.parametrize(
    ("mutant", "finding"),
    [
        (_with(problems=_same_hand), "every seed deals the same"),
        (_with(problems=_one_pool), "in both"),
        (_with(problems=_forgetful()), "differ from call to call"),
        (_changed(lambda p: _say(p, f"{p.question.messages[0].content} It is {p.gold}.")), "contains the gold answer"),
        (_changed(lambda p: dataclasses.replace(p, gold="12345")), "expected correct"),
        (_changed(lambda p: dataclasses.replace(p, solution="1+1=3")), "solution of"),
        (_changed(lambda p: dataclasses.replace(p, gold="?")), "cannot vote"),
        (_changed(lambda p: dataclasses.replace(p, reference={**p.reference, "set": {1}})), "is not JSON"),
        (_changed(lambda p: dataclasses.replace(p, key="same")), "repeat a key"),
        (_changed(lambda p: dataclasses.replace(p, question=dataclasses.replace(p.question, id="q"))), "two problems"),
        (
            _changed(lambda p: dataclasses.replace(p, question=dataclasses.replace(p.question, answer_format="nr"))),
            "unknown",
        ),
        (_with(verify=_raises), "verify raises RuntimeError"),
        (_with(verify=_pays_silence), "'' is judged correct"),
        (_with(verify=_pays_near), "is judged correct for"),
        (_with(verify=_blames_model), "expected error"),
        (_with(max_tokens=0), "max_tokens=0"),
        (_with(max_tokens=4), "cuts it off"),
        (_with(summary=" "), "no summary"),
        (_with(problems=_no_test), "has no test problems"),
        (_with(problems=lambda self, split, n, seed=0: []), "deals no problems"),
    ],
)
def test_the_contract_notices(mutant: Task, finding: str) -> None:
    assert check_task(Broken(), n=6) == []
    found = check_task(mutant, n=6)
    assert any(finding in line for line in found), found
    assert all(line.startswith(mutant.name) for line in found)


def test_a_task_smaller_than_asked_for_is_checked_on_what_it_has() -> None:
    assert check_task(Sums(terms=2, digits=1), n=64) == []


def test_a_registered_name_that_builds_another_task_is_noticed() -> None:
    liar = type("Mutant", (Sums,), {"name": "sums:terms=5"})()
    assert any("does not build the same task" in line for line in check_task(liar, n=4))
