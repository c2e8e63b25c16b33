"""The report: honest sentences, a self-contained page, and nothing a model writes becomes markup."""

from __future__ import annotations

import copy
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from synthetic_run import SETTINGS, make_run, result

from trivium.report import judge, write_report
from trivium.report.page import render
from trivium.store import Run

ATTACK = "</pre></section><script>alert(1)</script><img src=x onerror=alert(2)>\x00\x1b[31m<svg onload=alert(3)>&amp;"
VOID = {"meta", "br", "hr", "img", "link", "input"}


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.words = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def page_of(run: Run) -> Tags:
    tags = Tags(write_report(run).read_text(encoding="utf-8"))
    assert tags.open == []
    return tags


def changed(**parts: Any) -> dict[str, Any]:
    return result(Path("runs/x")) | parts


def test_a_finished_run_tells_its_story(tmp_path: Path) -> None:
    page = page_of(make_run(tmp_path))
    for words in (
        "over the tokens trained on",
        "from 1.3% to 77.0% on 300 unseen problems", "warm-up gave +11.0 points, reinforcement learning +64.7",
        "beats a majority vote of the untrained model over 3 samples", "What is 41 + 87 - 35?", "--task countdown",
        "sums:terms=3,digits=2", "268,512", "torch version",
    ):  # fmt: skip
        assert words in page.words, words
    assert page.tags.count("figure") == 10
    assert page.tags.count("title") == 1 + page.tags.count("svg") - 1  # every drawing but the mark, and the page
    assert page.tags.count("article") == 6


def test_the_page_needs_no_network(tmp_path: Path) -> None:
    page = page_of(make_run(tmp_path))
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert not [value for name, value in page.attributes if name in ("src", "href") or name.startswith("on")]


def test_what_a_model_writes_stays_text(tmp_path: Path) -> None:
    about = {
        "name": ATTACK, "created": ATTACK, "command": [ATTACK], "settings": SETTINGS | {"task": ATTACK},
        "versions": {"python": ATTACK}, "machine": {"cpu": ATTACK}, "commit": ATTACK,
    }  # fmt: skip
    done = changed(next=[ATTACK], model=ATTACK)
    for pair in done["transcripts"]:
        pair["question"] = pair["gold"] = ATTACK
        pair["before"] = {"response": ATTACK, "status": ATTACK}
    rows = list(make_run(tmp_path).rows())
    for row in rows:
        if row["phase"] == "rl":
            row["terms"] = {ATTACK: 0.5}
    page = Tags(render(about, rows, done))
    assert page.open == []
    assert not {"script", "img"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert "<script>alert(1)</script>" in page.words
    assert "\x00" not in page.words


@pytest.mark.parametrize("steps", [0, 1, 7])
def test_an_unfinished_run_shows_what_there_is(tmp_path: Path, steps: int) -> None:
    whole = list(make_run(tmp_path / "whole", steps=7).rows())
    run = Run.create(tmp_path, "part", SETTINGS)
    for row in whole:
        if row["phase"] != "rl" or row["step"] <= steps:
            if row["phase"] == "eval" and row["stage"] == "after":
                break
            run.metrics(row)
    page = page_of(run)
    assert "not finished" in page.words
    assert "--resume" in page.words
    assert (f"Step {steps} of 7 is done" in page.words) == (steps > 0)


def test_a_run_that_has_recorded_nothing(tmp_path: Path) -> None:
    assert "No training step is done yet" in page_of(Run.create(tmp_path, "new", SETTINGS)).words


def test_numbers_that_could_not_be_computed_are_left_out(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "holes", SETTINGS)
    for row in make_run(tmp_path / "whole", steps=5).rows():
        if row["phase"] == "rl" and row["step"] != 3:
            row |= {"kl": None, "mismatch": None, "entropy": None, "signal": None, "seconds_verify": None}
            row["terms"] = {"outcome": None}
        run.metrics(row)
    page = page_of(run)
    assert "nan" not in page.words.lower().split()
    assert "None" not in page.words


def interval(mean: float, low: float, high: float) -> dict[str, float]:
    return {"mean": mean, "low": low, "high": high}


@pytest.mark.parametrize(
    ("difference", "tone", "words"),
    [
        (interval(0.5, 0.4, 0.6), "gain", "It learned"),
        (interval(0.01, -0.02, 0.04), "none", "No reliable change"),
        (interval(-0.2, -0.3, -0.1), "loss", "It got worse"),
    ],
)
def test_the_verdict_follows_the_interval(difference: dict[str, float], tone: str, words: str) -> None:
    finding = judge(changed(difference_vs_greedy=difference))
    assert finding.tone == tone
    assert finding.headline.startswith(words)


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        (interval(0.5, 0.4, 0.6), "beats"),
        (interval(0.0, -0.1, 0.1), "cannot be told apart from"),
        (interval(-0.2, -0.3, -0.1), "loses to"),
    ],
)
def test_the_vote_is_compared_as_honestly(difference: dict[str, float], words: str) -> None:
    assert words in judge(changed(difference_vs_vote=difference)).sentences[-1]


def test_without_a_warm_up_nothing_is_said_of_one() -> None:
    assert not [s for s in judge(changed(after_warmup=None)).sentences if "warm-up" in s]


def test_verifier_failures_are_said() -> None:
    done = copy.deepcopy(changed(verifier_error_rate=0.025))
    assert "2.5%" in judge(done).sentences[-1]
