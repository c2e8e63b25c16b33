"""The search for one program for a whole task, on a model whose programs are good or bad by their name."""

from __future__ import annotations

import asyncio
import json
import random
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from trivium import policies, tasks
from trivium.cli import main as cli
from trivium.errors import RunError, UserError
from trivium.policies.scripted import Scripted, Turn
from trivium.search import method, program_search
from trivium.search.emulate import read_programs
from trivium.search.evaluate import evaluate
from trivium.search.program_search import Search
from trivium.types import Message, Policy, Problem, Question, Split, Verdict
from trivium.verify.parse import parse_answer


@dataclass
class Adding:
    """Sums of two numbers; what was verified is written down by split."""

    name: str = "adding"
    summary: str = ""
    max_tokens: int = 80

    def __post_init__(self) -> None:
        self.judged: dict[Split, int] = {"train": 0, "dev": 0, "test": 0}

    def problems(self, split: Split, n: int, seed: int = 0) -> list[Problem]:
        rng = random.Random(f"{split} {seed}")
        drawn = [(rng.randrange(100), rng.randrange(100)) for _ in range(n)]
        return [
            Problem(
                Question(f"{split}-{i}", (Message("user", f"Add {a} and {b}."),), "number"),
                a + b, "", f"{split}{i}", split, "toy",
            )
            for i, (a, b) in enumerate(drawn)
        ]  # fmt: skip

    def verify(self, problem: Problem, response: str) -> Verdict:
        self.judged[problem.split] += 1
        answer = parse_answer("number", response)
        if answer is None:
            return Verdict.unparseable()
        return Verdict.right(answer) if answer == str(problem.reference) else Verdict.wrong(answer)


def model(*quality: int, given: list[str] | None = None) -> Policy:
    """Writes programs named after their quality, in turn, and emulates each so that this percentage comes out right."""
    rest = iter(quality)

    def script(turn: Turn) -> str:
        if given is not None:
            given.append(turn.question)
        if not turn.question.startswith("Answer the instruction with"):
            share = next(rest, None)
            body = f"def add_{share}(x, y):\n    return {{'answer': x + y}}\n\n>>> add(41, 87)"
            return body if share is not None else "I cannot"
        a, b = map(int, re.findall(r"Add (\d+) and (\d+)", turn.question)[-1])
        share = int(re.findall(r"add_(\d+)\(", turn.question)[0])
        right = (a * 7 + b * 3) % 100 < share
        return f">>> add({a}, {b})\n\n### Output\noutput = {{'answer': {a + b if right else 'None'}}}"

    return Scripted(script)


def search(*given: Any, **options: Any) -> Search:
    return asyncio.run(program_search.search_program(*given, **options))


def qualities(found: Search) -> list[str]:
    return [re.findall(r"add_(\d+)", c.program)[0] for c in found.kept]


def test_the_best_program_on_dev_is_kept_and_follows_on_test(tmp_path: Path) -> None:
    task, given = Adding(), list[str]()
    found = search(task, model(60, 95, 70, given=given), train=20, dev=40, candidates=3, tries=1, max_tokens=200)
    assert qualities(found) == ["95"]
    [best] = found.kept
    assert best.question_id == "train-1"
    assert ">>>" not in best.program, "the source question's own call must not come along"
    assert best.dev is not None
    assert best.dev > 0.8
    assert found.passed
    assert [c.dev for c in found.tried] == [None, None, None]
    assert task.judged == {"train": 3 * 20, "dev": 3 * 40, "test": 0}
    assert len(given) == found.usage.calls == 3 + 3 * 20 + 3 * 40
    assert not any("41" in asked and "87" in asked for asked in given[3:])

    file = tmp_path / "best.py"
    file.write_text(found.text())
    assert read_programs(str(file)) == [best.program]
    result = evaluate(method(f"emulate:program={file}"), task, model(), n=50)
    assert (result.accuracy.accuracy or 0) > 0.8


def test_a_bad_program_is_written_again_but_not_for_ever() -> None:
    found = search(Adding(), model(10, 90, 20, 80, 30), train=20, dev=10, candidates=2, tries=9)
    # Both questions first (10 and 90), then only the one whose program was bad, until it has a good one.
    assert [c.question_id for c in found.tried] == ["train-0", "train-1", "train-0", "train-0"]
    assert qualities(found) == ["90"]
    bad = search(Adding(), model(10, 30, 20), train=20, dev=10, candidates=1, tries=3)
    assert not bad.passed
    assert qualities(bad) == ["30"], "the best there is, where none reaches alpha"


def test_where_none_is_good_only_the_best_by_train_score_are_chosen_among() -> None:
    task = Adding()
    found = search(task, model(0, 10, 30, 20, 40, 5), train=20, dev=30, candidates=2, tries=3, keep=2)
    assert len(found.tried) == 6
    assert set(qualities(found)) == {"30", "40"}
    assert task.judged["dev"] == 2 * 30
    level = Adding()
    found = search(level, model(0, 1, 2), train=1, dev=30, candidates=1, tries=3, keep=1)
    assert [c.train for c in found.tried] == [0.0] * 3
    assert level.judged["dev"] == 3 * 30, "those that are level are all compared on dev"


def test_equal_programs_are_scored_once_and_several_may_be_kept(tmp_path: Path) -> None:
    task = Adding()
    found = search(task, model(90, 60, 90, 80), train=20, dev=30, candidates=4, tries=1, keep=3, max_tokens=200)
    assert qualities(found) == ["90", "80", "60"]
    assert task.judged["train"] == 3 * 20
    assert len(found.tried) == 4
    file = tmp_path / "three.py"
    file.write_text(found.text())
    assert read_programs(str(file)) == [c.program for c in found.kept]


def test_the_same_seed_searches_the_same() -> None:
    def once(seed: int) -> Search:
        return search(Adding(), model(60, 95), train=10, dev=10, candidates=2, tries=1, seed=seed)

    first, again, other = once(1), once(1), once(2)
    assert (first.kept, first.tried) == (again.kept, again.tried)
    assert first.tried != other.tried


def test_how_many_are_emulated_at_a_time_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def once(at_once: int) -> tuple[Search, list[tuple[str, int, int]]]:
        monkeypatch.setattr(program_search, "AT_ONCE", at_once)
        told = list[tuple[str, int, int]]()
        options: dict[str, Any] = {"train": 10, "dev": 10, "candidates": 3, "tries": 2, "keep": 2}
        found = search(Adding(), model(60, 95, 30, 80), hear=lambda *heard: told.append(heard), **options)
        return found, told

    (together, few), (alone, many) = once(1000), once(1)
    assert (together.kept, together.tried, together.passed) == (alone.kept, alone.tried, alone.passed)
    assert replace(together.usage, seconds=0.0) == replace(alone.usage, seconds=0.0)
    assert few == many
    first, second = "scoring programs, round 1", "scoring programs, round 2"
    assert few[:2] == [(first, 0, 3)] * 2
    assert [told for told in few if told[1] == told[2]] == [
        (first, 3, 3), (second, 1, 1), ("choosing by dev score", 2, 2)
    ]  # fmt: skip


def test_searches_that_cannot_be() -> None:
    with pytest.raises(RunError, match="no Python function"):
        search(Adding(), model(), train=3, dev=3)
    for numbers in ({"train": 0}, {"candidates": 4}, {"keep": 0}, {"tries": 0}):
        given: dict[str, Any] = {"train": 3, "dev": 3} | numbers
        with pytest.raises(UserError, match="expected 1 or more"):
            search(Adding(), model(90), **given)


def test_a_verifier_that_always_breaks_ranks_nothing() -> None:
    class Broken(Adding):
        def verify(self, problem: Problem, response: str) -> Verdict:
            return Verdict.error("broken")

    with pytest.raises(RunError, match="verifier broke"):
        search(Broken(), model(90), train=3, dev=3, candidates=1)


def test_the_command_writes_a_program_and_says_what_it_is_worth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "task", lambda spec: Adding())
    out = tmp_path / "new" / "program.py"
    line = ["program", "--task", "adding", "--policy", "scripted", "--train", "10", "--dev", "20", "--test", "30"]
    line += ["--candidates", "2", "--tries", "1", "--keep", "2", "--out", str(out)]
    monkeypatch.setattr(policies, "policy", lambda spec: model(80, 90))
    assert cli.main([*line, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert {"accuracy", "low", "high", "abstained", "errors", "program", "passed", "usage"} <= set(said)
    assert (said["n"], said["tried"], said["passed"], said["errors"]) == (30, 2, True, 0)
    assert [round(c["dev"]) for c in said["kept"]] == [1, 1]
    assert len(read_programs(str(out))) == 2

    monkeypatch.setattr(policies, "policy", lambda spec: model(80, 90))
    assert cli.main(line) == 0
    text = capsys.readouterr().out
    assert "def add_90" in text
    assert f"emulate:program={out}" in re.sub(r"\s", "", text)
    assert cli.main([*line[:-1], str(tmp_path)]) == 2
    assert cli.main([*line, "--mode", "hybird"]) == 2
    assert "hybrid" in capsys.readouterr().err
