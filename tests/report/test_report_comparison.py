"""The page of a comparison: honest sentences, self-contained, and drawings that other programs can read."""

from __future__ import annotations

import copy
import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from test_report_page import ATTACK, Tags

from trivium.report.comparison import findings, headline, notes, pass_lines, render_comparison, write_comparison


def row(method: str, accuracy: float | None, budget: float, **changes: Any) -> dict[str, Any]:
    spent = {"sampled_per_problem": budget * 0.9, "prompt_per_problem": 50.0, "cached_per_problem": 10.0}
    made = {
        "method": method, "spec": method, "budget": budget, "accuracy": accuracy,
        "low": None if accuracy is None else accuracy - 0.05, "high": None if accuracy is None else accuracy + 0.05,
        "n": 200, "questions": 200, "tokens_per_problem": budget * 0.9, **spent, "calls_per_problem": 2.0,
        "seconds_per_problem": 0.5, "latency": 3.0, "abstained": 4, "abstention_rate": 0.02, "errors": 2,
        "error_rate": 0.01, "judge_calls": 0, "oracle_calls": 0, "refused": "",
    }  # fmt: skip
    return made | changes


def pair(better: str, worse: str, difference: float, real: bool, **changes: Any) -> dict[str, Any]:
    made = {
        "better": better, "worse": worse, "difference": difference, "low": difference - 0.04 if real else -0.01,
        "high": difference + 0.04, "n": 198, "left_out": 2, "p": 0.01, "p_holm": 0.03 if real else 0.3, "real": real,
    }  # fmt: skip
    return made | changes


def comparison(**changes: Any) -> dict[str, Any]:
    small = {
        "budget": 128,
        "rows": [row("greedy", 0.5, 128), row("vote", 0.51, 128), row("best-of-n", 0.5, 128), row("mcts", 0.45, 128)],
        "pairs": [pair("vote", "greedy", 0.01, False)],
    }
    large = {
        "budget": 2048,
        "rows": [row(m, a, 2048) for m, a in (("greedy", 0.5), ("vote", 0.6), ("best-of-n", 0.58), ("mcts", 0.7))],
        "pairs": [
            pair("vote", "greedy", 0.1, True), pair("mcts", "vote", 0.1, True), pair("mcts", "greedy", 0.2, True),
            pair("vote", "best-of-n", 0.02, False), pair("best-of-n", "greedy", 0.08, False, low=0.001),
        ],
    }  # fmt: skip
    made = {
        "task": "countdown", "policy": "smollm2", "unit": "sampled_tokens", "budget": 2048, "rows": large["rows"],
        "pairs": large["pairs"], "curve": [small, large], "against": ["greedy", "vote"], "concurrency": None,
        "pass_at_k": [
            {"method": m, "k": k, "pass_at_k": 0.4 + k / 20, "low": 0.3, "high": 0.9, "n": 198, "samples": 9}
            for m in ("vote", "best-of-n") for k in (1, 2, 4, 8)
        ],
        "amortised": {"training_tokens": 60000, "problems": 1000, "tokens_per_problem": 60.0},
        "settings": {"n": 200, "seeds": [0], "task": "countdown"}, "created": "2026-07-01T10:20:00+0000",
        "command": ["trivium", "compare"], "versions": {"python": "3.11"}, "commit": None,
        "machine": {"cpu": "one", "cores": 2},
    }  # fmt: skip
    return copy.deepcopy(made | changes)


def test_the_headline_says_whether_search_paid() -> None:
    made = comparison()
    assert headline(made) == "mcts beats a plain vote at 2,048 sampled tokens a problem."
    made["pairs"][1] |= {"real": False, "low": -0.01}
    assert headline(made) == "No method beats a plain vote at 2,048 sampled tokens a problem."
    made = comparison()
    made["rows"][3]["oracle_calls"] = 7
    assert headline(made) == "No method beats a plain vote at 2,048 sampled tokens a problem."
    assert headline(comparison(pairs=[])).startswith("mcts is the most accurate")
    assert "No method could be measured" in headline(comparison(rows=[row("greedy", None, 2048)]))


def test_sentences_say_which_differences_are_real_and_which_are_not() -> None:
    made = comparison()
    said = findings(made, made["curve"][-1])
    assert said[0] == (
        "Against greedy: vote is better (+10.0 points [+6.0, +14.0]); mcts is better (+20.0 points [+16.0, +24.0]); "
        "best-of-n cannot be told apart from it."
    )
    assert "greedy is worse (\N{MINUS SIGN}10.0 points [\N{MINUS SIGN}14.0, \N{MINUS SIGN}6.0])" in said[1]
    assert said[2].startswith("best-of-n over greedy: the interval excludes 0, but of 5 pairs")
    assert "cannot be told apart" in findings(made, made["curve"][0])[0]


def test_all_pairs_are_summed_up() -> None:
    made = comparison(against=["all"])
    made["curve"][-1]["pairs"] += [pair("mcts", "best-of-n", 0.12, True), pair("x", "best-of-n", 0.01, False)]
    said = findings(made, made["curve"][-1])
    assert (
        "Among the others: mcts beats best-of-n (+12.0 points [+8.0, +16.0]). 1 of 2 pairs cannot be told apart."
        in said
    )


def test_notes_name_errors_bounds_and_what_did_not_run() -> None:
    made = comparison()
    for at in made["curve"]:
        at["rows"].append(row("best-of-n:by=oracle", 0.9, at["budget"], oracle_calls=100))
        at["rows"].append(row("debate", None, at["budget"], refused="it needs two voices"))
    said = " ".join(notes(made))
    assert "among the 5 pairs of a budget" in said
    assert "at most 2" in said
    assert "best-of-n:by=oracle asked the verifier 200 times" in said
    assert said.count("debate did not run: it needs two voices") == 1


def test_methods_with_the_same_samples_share_a_line_of_pass_at_k() -> None:
    rows = comparison()["pass_at_k"]
    assert list(pass_lines(rows)) == ["vote, best-of-n"]
    rows[-1]["pass_at_k"] = 0.5
    assert list(pass_lines(rows)) == ["vote", "best-of-n"]


def test_the_page_is_whole_and_needs_no_network(tmp_path: Path) -> None:
    made = comparison()
    written = write_comparison(tmp_path, made)
    assert [path.name for path in written] == ["comparison.html", "accuracy.svg", "curve.svg"]
    page = Tags(written[0].read_text(encoding="utf-8"))
    assert page.open == []
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert not [value for name, value in page.attributes if name in ("src", "href") or name.startswith("on")]
    for words in (
        "mcts beats a plain vote",
        "128 sampled tokens",
        "pass@8",
        "60.0 tokens of training",
        "mcts over vote",
    ):
        assert words in page.words, words
    for path in written[1:]:
        root = ET.parse(path).getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert {"greedy", "vote", "best-of-n", "mcts"} <= {element.text for element in root.iter()}


def test_one_budget_has_no_curve_and_no_answers_no_drawing(tmp_path: Path) -> None:
    made = comparison()
    made["curve"] = made["curve"][-1:]
    assert [path.name for path in write_comparison(tmp_path, made)] == ["comparison.html", "accuracy.svg"]
    rows = [row("greedy", None, 2048, n=0, refused="no room")]
    empty = comparison(rows=rows, pairs=[], curve=[{"budget": 2048, "rows": rows, "pairs": []}], pass_at_k=[])
    assert [path.name for path in write_comparison(tmp_path, empty)] == ["comparison.html"]


def test_drawings_stay_inside_their_frame(tmp_path: Path) -> None:
    made = comparison()
    for at in made["curve"]:
        at["pairs"] = []
        at["rows"] = [
            row(f"a-method-with-a-long-name:width={i}", min(1.0, 0.9 + i / 100), at["budget"]) for i in range(14)
        ]
        for each in at["rows"]:
            each["high"] = min(1.0, each["high"])
    made["rows"] = made["curve"][-1]["rows"]
    for path in write_comparison(tmp_path, made)[1:]:
        root = ET.parse(path).getroot()
        _, _, width, height = map(float, root.attrib["viewBox"].split())
        for element in root.iter():
            for name, most in (
                ("x", width),
                ("cx", width),
                ("x1", width),
                ("y", height),
                ("cy", height),
                ("y1", height),
            ):
                assert -1 <= float(element.attrib.get(name, 0)) <= most + 1, (path.name, element.attrib)
        names = [float(e.attrib["y"]) for e in root.iter() if e.attrib.get("class") in ("label", "name")]
        assert len(names) == 14
        assert min(b - a for a, b in zip(sorted(names), sorted(names)[1:], strict=False)) > 12


@pytest.mark.parametrize("place", ["task", "policy", "method"])
def test_names_from_outside_stay_text(place: str) -> None:
    made = comparison()
    if place == "method":
        made = json.loads(json.dumps(made).replace('"mcts"', json.dumps(ATTACK)))
    else:
        made[place] = ATTACK
    page = Tags(render_comparison(made))
    assert "script" not in page.tags
    assert page.open == []
    assert not [name for name, _ in page.attributes if name.startswith("on")]
