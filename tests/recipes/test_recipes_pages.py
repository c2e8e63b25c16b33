"""Board, pages, drawings and the README's table: what they say follows from recipes and ledger, and nothing else."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from synthetic_ledger import ENTRY, MAIN, RATES, SAID, SHORTER, lines, recipe, results

from trivium import recipes
from trivium.claims import Claim
from trivium.cli import main as cli
from trivium.errors import UserError
from trivium.recipes.board import BEGIN, END, board, readme_table, with_table
from trivium.recipes.numbers import amount, compared, margin, unit
from trivium.recipes.pages import page
from trivium.recipes.papers import Entry
from trivium.recipes.plots import plot
from trivium.recipes.standing import WRITTEN, standing
from trivium.store.ledger import append

OTHER = Entry(1, "cogex", "program", "Programs_ and *stars*", "Writes programs.")
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def ledger() -> list[dict[str, Any]]:
    return lines(recipe(), results())


def row(text: str, start: str) -> list[str]:
    """The cells of the first table row whose first cell is `start`."""
    found = next(line for line in text.splitlines() if line.startswith(f"| {start} |"))
    return [cell.strip() for cell in found.strip("|").replace("\\|", "\0").split("|")]


def written(text: str) -> list[str]:
    """Every text element of a drawing."""
    return [element.text or "" for element in ET.fromstring(text).iter() if element.tag.endswith("}text")]


def test_the_board_shows_the_newest_verdict_on_the_first_claim(ledger: list[dict[str, Any]]) -> None:
    older = lines(recipe(), results(dict.fromkeys(RATES, 0.5)))
    text = board([ENTRY, OTHER], {ENTRY.slug: recipe()}, [*older, *ledger])
    number, title, slug, verdict, effect, least, seeds, minutes = row(text, "133")
    assert (number, slug, verdict, seeds, minutes) == ("133", "masked-thought", "confirmed", "5", "7.2")
    assert "(recipes/masked-thought.md)" in title
    assert effect == unit(ledger[0]).span(compared(ledger[0])[0].effect)
    assert least == f"{100 * MAIN.margin:g} points"
    assert "stays inconclusive where the interval of the null arm" in text, (
        "as some rows are inconclusive that lie above their margin"
    )
    assert "2 papers, 1 recipe, 1 verdict, in 2 families" in text
    assert "first claims: 1 confirmed, 0 refuted, 0 inconclusive, 0 no verdict yet" in text
    assert "all 2 claims: 2 confirmed" in text
    assert "## distill\n\n1 paper, 1 recipe, 1 verdict." in text


def test_papers_without_recipe_or_verdict_say_so() -> None:
    text = board([ENTRY, OTHER], {ENTRY.slug: recipe()}, [])
    assert row(text, "133")[3:] == ["no verdict yet", "-", "-", "-", "-"]
    assert row(text, "1")[2:] == ["-", "no recipe yet", "-", "-", "-", "-"]
    assert "first claims: 0 confirmed, 0 refuted, 0 inconclusive, 1 no verdict yet" in text


def test_a_verdict_on_a_second_claim_is_no_headline(ledger: list[dict[str, Any]]) -> None:
    text = board([ENTRY], {ENTRY.slug: recipe()}, ledger[1:])
    assert row(text, "133")[3] == "no verdict yet"
    assert "all 2 claims: 1 confirmed, 0 refuted, 0 inconclusive, 1 no verdict yet" in text


def test_titles_cannot_break_tables_or_become_markup() -> None:
    text = board([ENTRY, OTHER], {}, [])
    assert row(text, "133")[1] == "Masked Thought: Simply Masking \0 Tokens"
    assert row(text, "1")[1] == r"Programs\_ and \*stars\*"
    assert all(len(row(text, number)) == 8 for number in ("1", "133"))


def test_code_and_formulas_are_shown_as_written() -> None:
    said = SAID | {"Idea": "Uses `a*b|<c>` and a*b <c> w_1 [x].\n\n    f = a*b*c <d>"}
    text = page(ENTRY, recipe(), said, [])
    assert r"Uses `a*b|<c>` and a\*b &lt;c> w_1 \[x\]." in text
    assert "\n\n    f = a*b*c <d>\n" in text


def test_shares_are_points_and_other_numbers_stay(ledger: list[dict[str, Any]]) -> None:
    share, raw = (unit(line) for line in ledger)
    assert (share.score(0.7133), share.difference(-0.0004), share.difference(-0.2)) == ("71.3%", "+0.0", "\u221220.0")
    assert share.span({"mean": 0.042, "low": -0.01, "high": 0.074}) == "+4.2 points [\u22121.0, +7.4]"
    assert raw.score(1234.567).startswith("1,234.")
    assert raw.span({"mean": 30.0, "low": 28.0, "high": 33.0}) == "+30.0 tokens an answer [+28.0, +33.0]"
    assert (share.score(None), raw.score(None)) == ("-", "-")
    assert [amount(value) for value in (1234567.0, 12.5, 0.0)] == ["1,234,567", "12.5", "0"]


def test_a_page_has_everything_a_verdict_rests_on(ledger: list[dict[str, Any]]) -> None:
    older = lines(recipe(), results(dict.fromkeys(RATES, 0.5)))
    text = page(ENTRY, recipe(), SAID, [*older, *ledger])
    places = [text.index(f"## {heading}\n") for heading in SAID if heading]
    assert places == sorted(places)
    assert "![the effects of masked-thought, seed by seed](masked-thought.svg)" in text
    assert "[arXiv:2403.02178](https://arxiv.org/abs/2403.02178)" in text
    scores = [f"{100 * score:.1f}%" for score in ledger[0]["scores"]["masked"].values()]
    assert row(text, "masked")[2:] == scores
    assert row(text[text.index("What each arm spent") :], "masked")[1:] == ["1,234,567", "1,800", "12.5"]
    for name, effect in [*ledger[0]["null"].items(), *ledger[0]["rivals"].items()]:
        assert unit(ledger[0]).span(effect) in text
        assert name in text
    assert "loss-dropped over sft (null arm)" in text
    assert "masked over weight-decay (rival)" in text
    assert "**Confirmed**: the whole interval lies above the margin." in text
    assert f"earlier lines in the ledger: 1: {older[0]['verdict']}" in text
    assert "    trivium claim masked-thought --size lab --seeds 5\n" in text
    for fact in ("from 41.6 to 47.1", "commit: `0123abc`", "2 cores of a CPU", "python 3.11.2", "steps=1800"):
        assert fact in text


def test_a_page_before_any_verdict_has_no_drawing() -> None:
    text = page(ENTRY, recipe(), SAID, [])
    assert ".svg" not in text
    assert text.count("No verdict yet.") == 2
    assert "## Run it\n\n    trivium claim masked-thought --size lab --seeds 5" in text


def test_a_large_models_verdicts_stand_beside_the_labs_with_its_name(ledger: list[dict[str, Any]]) -> None:
    worse = results(dict.fromkeys(RATES, 0.5), seeds=2)
    full = [line for name in ("hf:one", "hf:two") for line in lines(recipe(), worse, "full", policy=name)]
    text = page(ENTRY, recipe(), SAID, [*ledger, *full])
    small, large = text.split("## At the full size")
    assert small.rstrip() == page(ENTRY, recipe(), SAID, ledger).removesuffix(WRITTEN + "\n").rstrip()
    assert [found in large for found in ("hf:one", "hf:two", "refuted")] == [True] * 3
    assert board([ENTRY], {ENTRY.slug: recipe()}, [*ledger, *full]) == board([ENTRY], {ENTRY.slug: recipe()}, ledger)


def test_a_claim_that_was_dropped_keeps_its_verdict_on_the_page_alone(ledger: list[dict[str, Any]]) -> None:
    now = recipe(claims=[MAIN])
    text = page(ENTRY, now, SAID, ledger)
    assert row(text, SHORTER.says)[1] == "confirmed"
    assert "## Claims it made before" in text
    assert list(standing([now], ledger).values()) == ledger[:1]


def test_a_line_from_before_units_were_said_gets_that_of_its_claim(ledger: list[dict[str, Any]]) -> None:
    said = Claim("masking helps elsewhere", better="masked", worse="sft", margin=0.02, metric="gain")
    old = {key: value for key, value in ledger[1].items() if key != "unit"} | {
        "claim": said.says, "metric": "gain", "margin": 0.02, "effect": -0.0397, "low": -0.0749, "high": -0.0051,
    }  # fmt: skip
    assert unit(old).word == "gain", "of a claim that is no longer made nothing else is known"
    (found,) = standing([recipe(claims=[said])], [old]).values()
    assert unit(found).span(compared(found)[0].effect) == "\u22124.0 points [\u22127.5, \u22120.5]"
    assert margin(found) == "2 points"
    assert margin(ledger[1]) == "5 tokens an answer"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({k: v for k, v in SAID.items() if k != "Idea"}, "nothing under the heading 'Idea'"),
        (SAID | {"References": ""}, "nothing under the heading 'References'"),
        (SAID | {"Ideas": "more"}, "unknown heading 'Ideas'"),
    ],
)
def test_headings_are_those_of_every_recipe(said: dict[str, str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        page(ENTRY, recipe(), said, [])


def test_the_drawing_is_xml_and_holds_every_effect(ledger: list[dict[str, Any]]) -> None:
    drawn = plot(ledger)
    said = written(drawn)
    for line in ledger:
        assert line["verdict"] in said
        for compare in compared(line):
            assert unit(line).span(compare.effect, word=False) in said
    assert "dev accuracy" in said
    assert "tokens" in said  # the axis of `loss by tokens`
    assert drawn.count('class="seed"') == 5 * sum(len(compared(line)) for line in ledger)
    assert drawn.count('class="margin"') == 2
    assert drawn.count("<polyline") == 2 * len(RATES) * (5 + 1)
    assert "prefers-color-scheme:dark" in drawn


@pytest.mark.parametrize(("name", "axis"), [("pass@k", "k"), ("accuracy by round", "round"), ("accuracy", "step")])
def test_the_axis_of_a_curve_is_in_its_name(ledger: list[dict[str, Any]], name: str, axis: str) -> None:
    [line, *_] = ledger
    curves = {arm: {name: next(iter(by_name.values()))} for arm, by_name in line["curves"].items()}
    assert axis in written(plot([line | {"curves": curves}]))


def test_a_drawing_without_curves_has_no_part_for_them() -> None:
    drawn = plot(lines(recipe(), results(curves=False)))
    assert "<polyline" not in drawn
    assert not any("learned" in said for said in written(drawn))


def test_names_in_a_drawing_are_escaped() -> None:
    claim = Claim("a < b & c", better="<b>&", worse="sft", margin=0.0)
    made = recipe(claims=[claim], arms=("<b>&", "sft"))
    drawn = plot(lines(made, results({"<b>&": 0.7, "sft": 0.5})))
    assert {"a < b & c", "<b>&", "over sft"} <= set(written(drawn))


def test_equal_input_gives_equal_bytes(ledger: list[dict[str, Any]]) -> None:
    again = json.loads(json.dumps(ledger))
    assert plot(ledger) == plot(again)
    assert page(ENTRY, recipe(), SAID, ledger) == page(ENTRY, recipe(), SAID, again)
    assert board([ENTRY], {ENTRY.slug: recipe()}, ledger) == board([ENTRY], {ENTRY.slug: recipe()}, again)


def test_the_table_stands_between_the_markers_alone(ledger: list[dict[str, Any]]) -> None:
    table = readme_table([recipe()], ledger)
    cells = row(table, "[masked-thought](docs/recipes/masked-thought.md)")
    assert cells[1:3] == [MAIN.says, "confirmed"]
    assert cells[4:6] == [f"{100 * MAIN.margin:g} points", "5"]
    assert cells[6] == "1 confirmed"
    assert row(readme_table([recipe()], ledger[:1]), "[masked-thought](docs/recipes/masked-thought.md)")[6] == "-"
    assert "masked" not in readme_table([recipe()], ledger[1:])
    once = with_table(f"before\n{BEGIN}\nold\n{END}\nafter\n", table)
    assert once == f"before\n{BEGIN}\n\n{table}\n\n{END}\nafter\n"
    assert with_table(once, table) == once


def test_the_readme_names_the_recipes_that_hold_no_more_than_pretraining_equal() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    said = readme.split("The two arms of a claim")[1].split("pretraining alone")[0]
    first = {entry.slug: recipes.recipe(entry.slug).claims[0] for entry in recipes.entries()}
    assert {slug for slug in first if f"`{slug}`" in said} == {
        slug for slug, claim in first.items() if all(unit.startswith("pretrain") for unit in claim.matched)
    }


@pytest.mark.parametrize("readme", ["none", f"only {BEGIN}", f"only {END}", f"{END} before {BEGIN}"])
def test_a_readme_without_markers_is_left_alone(readme: str) -> None:
    with pytest.raises(UserError, match="<!-- claims -->"):
        with_table(readme, "table")


@pytest.fixture
def place(tmp_path: Path, ledger: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a ledger, a README and an empty docs folder, in a world of one recipe."""
    monkeypatch.setattr(recipes, "entries", lambda: [ENTRY])
    monkeypatch.setattr(recipes, "recipe", lambda name: recipe())
    monkeypatch.setattr(recipes, "sections", lambda entry: SAID)
    monkeypatch.chdir(tmp_path)
    append(Path("results/ledger.jsonl"), ledger)
    Path("docs").mkdir()
    Path("README.md").write_text(f"# A\n{BEGIN}\n{END}\n", encoding="utf-8")
    return tmp_path


def test_board_writes_what_check_then_finds_in_order(place: Path, capsys: Capture) -> None:
    assert cli.main(["board", "--check"]) == 1
    assert str(Path("docs/board.md")) in capsys.readouterr().err
    assert not any((place / "docs").iterdir())
    assert cli.main(["board"]) == 0
    wrote = capsys.readouterr().out.splitlines()
    assert wrote[:4] == [
        "docs/board.md", "docs/recipes/masked-thought.md", "docs/recipes/masked-thought.svg", "README.md",
    ]  # fmt: skip
    assert cli.main(["board", "--check"]) == 0
    assert cli.main(["board"]) == 0
    assert "4 of 4 files were up to date" in capsys.readouterr().out


def test_check_names_the_file_that_is_stale(place: Path, capsys: Capture) -> None:
    assert cli.main(["board"]) == 0
    (place / "docs/recipes/masked-thought.svg").write_text("<svg/>", encoding="utf-8")
    capsys.readouterr()
    assert cli.main(["board", "--check"]) == 1
    assert "docs/recipes/masked-thought.svg" in capsys.readouterr().err
    assert (place / "docs/recipes/masked-thought.svg").read_text(encoding="utf-8") == "<svg/>"


@pytest.mark.parametrize(
    ("options", "words"),
    [(["--docs", "nowhere"], "--docs nowhere"), (["--readme", "NOTHING.md"], "--readme NOTHING.md")],
)
def test_what_is_not_there_is_named(place: Path, options: list[str], words: str, capsys: Capture) -> None:
    assert cli.main(["board", *options]) == 2
    assert words in capsys.readouterr().err


def test_nothing_is_written_where_the_markers_are_missing(place: Path, capsys: Capture) -> None:
    (place / "README.md").write_text("# A\n", encoding="utf-8")
    assert cli.main(["board"]) == 2
    assert BEGIN in capsys.readouterr().err
    assert not any((place / "docs").iterdir())


@pytest.mark.parametrize("entry", recipes.entries(), ids=lambda entry: entry.slug)
def test_every_recipe_has_a_page(entry: Entry) -> None:
    made = recipes.recipe(entry.slug)
    text = page(entry, made, recipes.sections(entry), [])
    assert all(f"### {claim.says[:10]}" in text for claim in made.claims)
