"""Claims as the ledger has them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from synthetic_ledger import ENTRY, MAIN, lines, recipe, results
from viewed import PAPER

from trivium.recipes.board import board
from trivium.store.ledger import FIELDS
from trivium.view.claims import Claims, Paper

OTHER = Paper(92, "other", "reinforce", "Another", "Its idea.", False)


def verdict(claim: str, said: str, date: str, **changes: Any) -> str:
    line = dict.fromkeys(FIELDS, 0) | {
        "slug": "t1", "claim": claim, "verdict": said, "date": date, "scores": {}, "metric": "accuracy", "size": "lab",
    } | changes  # fmt: skip
    return json.dumps(line) + "\n"


def test_verdicts_are_counted_as_the_board_counts_them(tmp_path: Path) -> None:
    before, now = recipe((MAIN, replace(MAIN, says="a claim that was dropped"))), recipe()
    written = [*lines(before, results(), date="2026-01-01"), *lines(now, results(), date="2026-01-02")]
    ledger = tmp_path / "ledger.jsonl"
    ledger.write_text("".join(json.dumps(line) + "\n" for line in written))
    counted = Claims([PAPER, OTHER], str.upper, ledger).counts()
    page = board([ENTRY], {now.slug: now}, written)
    told = re.search(r"all \d+ claims: (\d+) confirmed, (\d+) refuted, (\d+) inconclusive", page)
    assert told is not None
    assert [counted[name] for name in ("confirmed", "refuted", "inconclusive")] == [int(n) for n in told.groups()]
    assert sum(int(n) for n in told.groups()) == len(now.claims)


def test_all_looks_are_kept_and_only_the_last_run_of_a_recipe_stands(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    claims = Claims([PAPER, OTHER], str.upper, ledger)
    assert claims.counts() == {"confirmed": 0, "refuted": 0, "inconclusive": 0, "papers": 2, "recipes": 1}
    assert claims.slugs() == []
    ledger.write_text(verdict("worded so", "refuted", "1") + verdict("stays", "inconclusive", "1"))
    assert claims.counts()["refuted"] == 1
    with open(ledger, "a") as file:
        file.write(verdict("stays", "confirmed", "2") + verdict("worded anew", "inconclusive", "2") + '{"torn')
    assert claims.counts() | {"papers": 0} == {
        "confirmed": 1,
        "refuted": 0,
        "inconclusive": 1,
        "papers": 0,
        "recipes": 1,
    }
    [family] = claims.families()["families"]
    assert [line["claim"] for line in family["papers"][0]["claims"]] == ["stays", "worded anew"]
    assert [(p["slug"], p["says"]) for p in family["papers"]] == [("t1", "T1"), ("other", "Its idea.")]
    paper = claims.paper("t1")
    assert paper is not None
    told = [(line["claim"], line["date"], line["former"]) for line in paper["claims"]]
    assert told == [
        ("stays", "2", False), ("worded anew", "2", False), ("worded so", "1", True), ("stays", "1", False),
    ]  # fmt: skip
    assert claims.paper("none") is None


def test_what_a_large_model_did_is_told_apart(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    ledger.write_text(verdict("a", "refuted", "1") + verdict("a", "confirmed", "2", size="full", policy="hf:X"))
    paper = Claims([PAPER, OTHER], str.upper, ledger).paper("t1")
    assert paper is not None
    assert [(line["verdict"], line["former"]) for line in paper["claims"]] == [("refuted", False)]
    assert [(line["verdict"], line["policy"]) for line in paper["full"]] == [("confirmed", "hf:X")]


def test_a_damaged_ledger_is_said_and_the_rest_works(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    claims = Claims([PAPER, OTHER], str.upper, ledger)
    for text in ('{"slug": "t1"}\n', "nonsense\n", "[1]\n"):
        ledger.write_text(text)
        assert claims.counts()["papers"] == 2
        assert str(ledger) in claims.counts()["error"]
        assert str(ledger) in claims.families()["error"]
        ledger.unlink()
        ledger.write_text("")
        assert "error" not in claims.counts()
        ledger.unlink()


def test_lines_say_their_unit_and_those_that_did_not_are_guessed(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    scores = {"a": {"0": 0.5}, "b": {"0": 1.0}}
    ledger.write_text(
        verdict("shares", "refuted", "1", scores=scores)
        + verdict("counts", "refuted", "1", scores={"a": {"0": 3.0}}, metric="children_each")
        + verdict("said", "refuted", "1", scores=scores, unit="nats")
    )
    claims = Claims([PAPER], str.upper, ledger)
    [family] = claims.families()["families"]
    assert [line["unit"] for line in family["papers"][0]["claims"]] == ["points", "children each", "nats"]
    told = claims.paper("t1")
    assert told is not None
    assert [line["unit"] for line in told["claims"]] == ["points", "children each", "nats"]
