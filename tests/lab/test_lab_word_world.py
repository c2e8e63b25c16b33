"""Models of the world of words: kinds read one tokenizer, are shown equal questions, and are charged steps alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from trivium.lab.lab import Lab
from trivium.lab.word_world import knowing, shown, talks
from trivium.search.emulate import answer_in, read_template
from trivium.tasks.word_rules import follow, rules

SOME = list(rules())[:3]


def lab() -> Lab[None]:
    return Lab("test", "", None, "smoke", 0)


def test_every_kind_is_shown_the_same_questions_told_and_not() -> None:
    kinds = {kind: talks(lab(), SOME, 2, kind) for kind in ("code", "plan", "direct")}  # type: ignore[arg-type]
    assert len({tuple(p.question.id for p, _ in shown) for shown in kinds.values()}) == 1
    assert len(kinds["code"]) == len(SOME) * 2 * 2


def test_what_a_program_is_shown_to_return_is_what_it_returns() -> None:
    for problem, said in talks(lab(), SOME, 2, "code"):
        written = read_template(said)
        assert written.program is not None
        assert follow(written.program, problem.reference["words"]) == answer_in(written.output) == problem.gold


def test_kinds_start_from_one_model_and_pay_in_steps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    here = lab()
    policy, again = (knowing(here, SOME, 1, size="30k", vocab=400, steps=2, lr=1e-3) for _ in range(2))
    assert here.spent["pretrain_steps"] == 2
    assert policy.tokenizer.get_vocab() == again.tokenizer.get_vocab()
    shown(here, policy, SOME, 1, "direct", steps=1, batch=2, lr=1e-3)
    assert here.spent["pretrain_steps"] == 3
    assert not here.spent["trained_tokens"]
