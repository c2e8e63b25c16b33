"""The pages of `trivium view` in a real browser: what they show, by mouse and by keys, and what they must never run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from browsing import PHONE, Visit, chromium, library, viewing, visiting
from view_folder import HOSTILE, make_folder, running

import trivium.view
from trivium.claims import POINTS
from trivium.recipes.numbers import Unit
from trivium.store.ledger import read, unit
from trivium.view.export import write_export

pytestmark = pytest.mark.enable_socket
SHARES = Unit(100.0, 1, "%", POINTS)  # how the pages of the documentation write them
PAGE = Path(trivium.view.__file__).parent / "page"
LEARNED = "#/runs/sums-smollm2-grpo-1"
METHODS = "#/runs/methods/traces"
SAVED = "#/runs/mcts.jsonl"
PAGES = {
    "runs": ("#/runs", "It learned"),
    "run": (LEARNED, "How it was made"),
    "file": (SAVED, "traces alone, in saved"),
    "file-tree": (f"{SAVED}/traces/traces.0", "the answer was read here"),
    "versus": (f"{LEARNED}/with/countdown-tiny-rloo-1", "What differs"),
    "traces": (f"{LEARNED}/traces?q=41", "correct"),
    "sample": (f"{LEARNED}/traces/rl.5?at=45", "Reference"),
    "mcts": (f"{METHODS}/solved.0", "the answer was read here"),
    "debate": (f"{METHODS}/solved.6", "Round 3"),
    "round-table": (f"{METHODS}/solved.9", "Round 1"),
    "conversation": (f"{METHODS}/solved.12", "Observation"),
    "program": (f"{METHODS}/solved.14", "calls that the program waited for"),
    "hostile": (f"{METHODS}/solved.15", "<script>"),
    "comparisons": ("#/comparisons", "plain vote"),
    "comparison": ("#/comparisons/sums-tiny", "Differences, real or not"),
    "cells": ("#/comparisons/sums-tiny/traces", "correct"),
    "claims": ("#/claims", "138 papers"),
    "claim": ("#/claims/masked-thought", "accuracy by arm and seed"),
    "nowhere": ("#/nowhere", "There is no such page"),
}
FORBIDDEN = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser|srcdoc|"
    r"createContextualFragment"
)
ROW = {
    "stage": "rl", "step": 1, "question_id": "q", "answer": "1", "status": "wrong", "score": 0.0, "level": 0,
    "tokens": 9, "finish": "stop", "nodes": 2, "excerpt": "",
}  # fmt: skip
# Contrast of every text with what is behind it, by the rules of WCAG 2; colours of any form by way of a pixel.
CONTRAST = """() => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
  const pixel = canvas.getContext("2d", { willReadFrequently: true });
  const known = new Map();
  const rgba = (colour) => {
    if (!known.has(colour)) {
      pixel.clearRect(0, 0, 1, 1);
      pixel.fillStyle = colour;
      pixel.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = pixel.getImageData(0, 0, 1, 1).data;
      known.set(colour, [r, g, b, a / 255]);
    }
    return known.get(colour);
  };
  const over = ([r, g, b, a], below) => [r, g, b].map((part, i) => part * a + below[i] * (1 - a));
  const behind = (element) => {
    if (!element) return [255, 255, 255];
    const own = rgba(getComputedStyle(element).backgroundColor);
    return own[3] === 1 ? own.slice(0, 3) : over(own, behind(element.parentElement));
  };
  const light = (rgb) => {
    const linear = (part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = rgb.map((part) => linear(part / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const bad = [];
  for (const element of document.querySelectorAll("body *")) {
    const texts = [...element.childNodes].filter((node) => node.nodeType === 3);
    const words = texts.map((node) => node.data.trim()).join("");
    const box = element.getBoundingClientRect();
    if (!words || !box.width || element.closest("[hidden], [disabled], .unseen, .skip, script, title")) continue;
    const style = getComputedStyle(element);
    const back = behind(element.closest("svg") ? element.closest("svg").parentElement : element);
    const fore = over(rgba(element.closest("svg") ? style.fill : style.color), back);
    const [a, b] = [light(fore), light(back)].sort((p, q) => q - p);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    const ratio = (a + 0.05) / (b + 0.05);
    const name = element.className.baseVal ?? element.className;
    if (ratio < (large ? 3 : 4.5)) bad.push(`${words.slice(0, 30)} (${name}): ${ratio.toFixed(2)}`);
  }
  return [...new Set(bad)];
}"""
# What a screen reader has no name for, and what stands twice where one is meant.
NAMELESS = """() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const text = (element) => element.textContent || element.closest("label")?.textContent || "";
  const label = (element) => element.getAttribute("aria-label") || text(element);
  const named = (element) => label(element).trim() || element.closest("[hidden]");
  return [
    ...all("a, button, input, select, canvas[tabindex], summary").filter((element) => !named(element)),
    ...all("svg[role=img]").filter((element) => !element.getAttribute("aria-label")),
    ...all("svg:not([role=img], [aria-hidden])"),
  ].map((element) => element.outerHTML.slice(0, 120)).concat(
    all("h1").length === 1 ? [] : [`${all("h1").length} headings of the first level`],
    all("body > header, main, header nav").length === 3 ? [] : ["landmarks"],
  );
}"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("view")
    make_folder(made, big=40)
    return made


@pytest.fixture(scope="module")
def base(root: Path) -> Iterator[str]:
    with viewing(root) as address:
        yield f"{address}/"


@pytest.fixture(scope="module")
def exported(root: Path) -> Path:
    shown, file = library(root), root / "everything.html"
    try:
        write_export(shown, file, 400, claims=True, listen=lambda done, total: None)
    finally:
        shown.close()
    return file


@pytest.fixture(scope="module")
def browser(base: str, exported: Path) -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def visit(browser: Any, base: str) -> Iterator[Visit]:
    with visiting(browser, base) as opened:
        yield opened


def test_nothing_in_the_modules_makes_markup_of_text():
    modules = {path.name: path.read_text(encoding="utf-8") for path in PAGE.glob("*.js")}
    found = {name: FORBIDDEN.findall(code) for name, code in modules.items()}
    assert len(modules) > 15
    assert not any(found.values()), found
    assert not [name for name, code in modules.items() if 'setAttribute("style"' in code]
    assert [name for name, code in modules.items() if "await fetch(address" in code] == ["source.js"], (
        "one way to the data"
    )
    shell = (PAGE / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"\son\w+=|\sstyle=|<style|https?://(?!www\.w3\.org)", shell)
    assert not re.search(r"@import|url\(|@font-face", (PAGE / "app.css").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", PAGES)
def test_every_page_shows_itself_wide_and_narrow_light_and_dark_without_a_complaint(visit: Visit, name: str):
    place, sees = PAGES[name]
    visit.page.emulate_media(color_scheme="light")
    visit.go(place, sees)
    assert visit.page.title().endswith(" - Trivium")
    assert visit.page.evaluate(NAMELESS) == []
    assert name == "claims" or "undefined" not in visit.text()
    assert "NaN" not in visit.text()
    assert "[object" not in visit.text()
    assert visit.page.evaluate(CONTRAST) == [], "every text can be told from what is behind it"
    visit.page.emulate_media(color_scheme="dark")
    assert visit.page.evaluate(CONTRAST) == [], "in the dark too"
    visit.page.set_viewport_size(PHONE)
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], (
        "nothing is wider than a phone"
    )


@pytest.mark.parametrize("place", ["", "?q=script", "/solved.15", "/solved.15?view=tree"])
def test_what_a_model_wrote_is_shown_and_never_run(visit: Visit, place: str):
    visit.go(f"{METHODS}{place}", "window.hacked")
    if visit.page.get_by_role("button", name="Colour by log-prob").first.is_visible():
        visit.page.get_by_role("button", name="Colour by log-prob").first.click()
    visit.page.wait_for_timeout(100)
    assert visit.page.evaluate("window.hacked") is None
    assert visit.count("main script, main img, main style, main iframe, main [onerror], main [onload]") == 0
    assert (
        visit.page.evaluate(
            "[...document.querySelectorAll('a')].filter((a) => !/^(http:|https:|file:)/.test(a.href)).length"
        )
        == 0
    )
    assert "\u202e" not in visit.text(), "a mark that turns the direction of a text is shown as what it is"


def test_hostile_addresses_do_nothing(browser: Any, base: str):
    with visiting(browser, base, ignoring=("404", "400")) as visit:
        visit.go("#/runs")
        for part in (HOSTILE, "..%2f..%2fetc", "\u0000", "__proto__"):
            for place in (
                f"#/runs/{quote(part)}",
                f"#/runs/methods/traces?q={quote(part)}&status={quote(part)}",
                f"#/claims/{quote(part)}",
                f"#/{quote(part)}",
            ):
                visit.turn(place)
                assert visit.page.evaluate("window.hacked") is None
                assert visit.count("main h1") == 1


def test_the_keyboard_is_enough(visit: Visit):
    visit.go("#/runs", "It learned")
    visit.press("Tab", "Enter")
    assert visit.page.evaluate("document.activeElement.id") == "main", "the skip link is first"
    visit.press("/")
    visit.page.keyboard.type("countdown")
    assert visit.count("table.runs tbody tr") == 1
    visit.page.evaluate("document.activeElement.blur()")
    for keys, title in (("gc", "Comparisons"), ("gp", "Claims"), ("gr", "Runs")):
        visit.press(*keys)
        visit.settled(f"document.title === '{title} - Trivium'")
    visit.press("?")
    assert "traces of this run" in visit.text("dialog")
    visit.press("Escape")
    visit.settled("!document.querySelector('dialog')")
    visit.go(LEARNED, "How it was made")
    visit.press("t")
    visit.page.wait_for_selector(".row .verdict")
    visit.press("j", "j", "j")
    at = visit.page.evaluate("document.activeElement.parentElement.ariaPosInSet")
    assert at == "3"
    visit.press("Enter")
    visit.settled("/traces\\/before\\.2/.test(location.hash) && document.querySelector('.asked')")
    visit.press("j")
    visit.settled("/traces\\/before\\.3/.test(location.hash)")
    visit.press("u")
    visit.settled("document.activeElement.parentElement.ariaPosInSet === '3'")


def test_filters_stand_in_the_address_and_come_back_with_it(visit: Visit):
    visit.go(f"{LEARNED}/traces")
    chips = visit.page.locator(".chips")
    chips.get_by_text("wrong").click()
    visit.page.get_by_label("Stage").select_option("rl")
    visit.page.get_by_label("from step").fill("10")
    visit.page.get_by_label("to step").fill("20")
    visit.settled("/step_to=20/.test(location.hash)")
    asked = parse_qs(urlsplit(visit.page.url).fragment.partition("?")[2])
    assert asked == {"stage": ["rl"], "status": ["wrong"], "step": ["10"], "step_to": ["20"]}
    visit.settled("document.querySelectorAll('.row .verdict').length > 0 && !document.querySelector('.row .correct')")
    told = "document.querySelector('.chip[aria-pressed=true] b').innerText"
    visit.settled(f"document.querySelector('.item').getAttribute('aria-setsize') === {told}")
    visit.page.reload()
    visit.page.wait_for_selector(".row .verdict")
    assert visit.page.get_by_label("Stage").input_value() == "rl"
    visit.press("x")
    visit.settled("!/status/.test(location.hash)")


def test_a_search_waits_for_the_typing_to_end_and_marks_what_it_found(visit: Visit):
    asked: list[str] = []
    visit.go(f"{LEARNED}/traces")
    visit.page.wait_for_selector(".row .verdict")
    visit.page.on("request", lambda request: "q=" in request.url and asked.append(request.url))
    visit.press("/")
    visit.page.keyboard.type("answer: 4", delay=15)
    visit.page.wait_for_selector("mark")
    assert len(asked) == 1
    assert {mark.lower() for mark in visit.page.locator("mark").all_inner_texts()} == {"answer: 4"}
    visit.page.get_by_label("Search").fill("no such words anywhere")
    visit.page.get_by_text("No trace is like that.").wait_for()
    visit.page.get_by_role("button", name="Clear the filters").click()
    visit.page.wait_for_selector(".row .verdict")


def test_a_list_of_200_000_rows_keeps_few_of_them(visit: Visit):
    asked: list[int] = []

    def answer(route: Any) -> None:
        query = parse_qs(urlsplit(route.request.url).query)
        offset = int(query.get("offset", ["0"])[0])
        asked.append(offset)
        row = {
            "stage": "rl",
            "step": 1,
            "question_id": "q",
            "answer": "1",
            "status": "wrong",
            "score": 0.0,
            "level": 0,
            "tokens": 9,
            "finish": "stop",
            "nodes": 2,
            "excerpt": "",
        }
        rows = [row | {"n": f"rl.{i}", "question": f"question {i}"} for i in range(offset, min(offset + 100, 200_000))]
        route.fulfill(json={"total": 200_000, "rows": rows, "counts": {"wrong": 200_000}})

    visit.page.route("**/traces?*", answer)
    visit.go(f"{LEARNED}/traces", "question 3")
    for share, row in ((0.5, None), (1.0, 199_999), (0.0, 0)):
        visit.page.evaluate(
            f"(list => list.scrollTop = {share} * list.scrollHeight)(document.querySelector('.virtual'))"
        )
        visit.settled(f"{json.dumps(row)} === null ? true : document.body.innerText.includes('question {row}')")
        assert visit.count(".item") < 40
    visit.page.evaluate("document.querySelector('.virtual').scrollTop = 4e6")
    visit.settled(
        "document.querySelectorAll('.item .wait').length === 0 && document.querySelectorAll('.item').length > 5"
    )
    # A scroll through everything asks only for where it rests.
    before = len(asked)
    visit.page.evaluate("""async () => {
      const list = document.querySelector(".virtual");
      for (let i = 0; i <= 30; i += 1) {
        list.scrollTop = (i / 30) * list.scrollHeight;
        await new Promise(requestAnimationFrame);
      }
    }""")
    visit.settled("document.body.innerText.includes('question 199999')")
    assert len(asked) - before <= 3
    visit.press("k")
    opened = visit.page.evaluate("document.activeElement.innerText")
    visit.press("Enter")
    visit.page.get_by_text("There is no trace").or_(visit.page.get_by_text("there is no trace")).first.wait_for()
    visit.complaints.clear()  # the browser's own word on the 404
    visit.page.go_back()
    visit.settled(f"document.activeElement.innerText === {json.dumps(opened)}")


def test_an_index_that_is_being_built_an_error_and_nothing_at_all_say_so(browser: Any, base: str):
    with visiting(browser, base, ignoring=("status of 500",)) as visit:
        states = [
            {"json": {"total": 0, "rows": [], "counts": {}, "building": {"done": 34, "of": 100}}},
            {"json": {"error": "the disk is on fire"}, "status": 500},
            {"json": {"total": 0, "rows": [], "counts": {}}},
        ]
        visit.page.route("**/traces?*", lambda route: route.fulfill(**states[0]))
        visit.go(f"{LEARNED}/traces", "34%")
        states.pop(0)
        visit.page.get_by_text("the disk is on fire").wait_for()
        states.pop(0)
        visit.page.get_by_role("button", name="Try again").click()
        visit.page.get_by_text("There are no traces here yet.").wait_for()
        visit.page.route("**/api/index", lambda route: route.abort())
        visit.complaints.clear()
        visit.go("#/runs", "Is `trivium view` still running?")
        visit.complaints.clear()


def test_a_curve_is_read_zoomed_and_leads_to_the_samples_behind_it(visit: Visit):
    visit.go(LEARNED, "How it was made")
    chart = visit.page.locator("figure", has=visit.page.locator("h3", has_text=re.compile("^Reward$")))
    area = chart.locator(".area")
    area.scroll_into_view_if_needed()
    box = area.bounding_box()
    assert chart.locator("path.line.raw").count() == 3, "the raw lines stay behind the smooth ones"
    visit.page.get_by_label("Smoothing").fill("0")
    assert chart.locator("path.line.raw").count() == 0
    visit.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 80)
    read = chart.locator(".tip").inner_text()
    assert re.search(r"step \d+", read)
    assert re.search(r"outcome", read)
    other = visit.page.locator("figure", has=visit.page.locator("h3", has_text=re.compile("^Entropy, trained tokens$")))
    assert re.search(r"step (\d+)", read)[0] in other.locator(".tip").inner_text(), (
        "charts of one stage are read together"
    )
    visit.page.mouse.down()
    visit.page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + 80, steps=4)
    visit.page.mouse.up()
    assert chart.get_by_role("button", name="Whole").is_visible()
    assert "60" not in other.locator("svg .tick").all_inner_texts()
    chart.get_by_role("button", name="Whole").click()
    chart.get_by_role("button", name="log").click()
    chart.locator("summary").click()
    chart.locator("tbody tr").nth(59).wait_for()
    assert chart.locator("tbody tr").count() == 60
    assert "from 0." in chart.locator("svg").get_attribute("aria-label")
    area.focus()
    visit.press("Home", "ArrowRight", "ArrowRight")
    step = re.search(r"step (\d+)", chart.locator(".tip").inner_text())[1]
    visit.press("Enter")
    visit.settled(f"location.hash.includes('stage=rl&step={step}')")
    visit.settled("document.querySelectorAll('.row .verdict').length === 4")


def test_a_run_that_goes_on_grows_in_place(browser: Any, base: str, root: Path):
    with running(root / "runs") as run, visiting(browser, base) as visit:
        visit.page.wait_for_timeout(1100)  # what there is, is looked for once a second
        visit.go("#/runs/going-on", "running")
        before = visit.page.locator("figure svg").first.element_handle()
        assert "20 of 60" in visit.text(".facts")
        run.metrics({"phase": "rl", "step": 21, "steps": 60, "reward": 5.0, "terms": {}})
        visit.settled("document.querySelector('.facts').innerText.includes('21 of 60')")
        assert before.evaluate("(node) => node.isConnected"), "the drawing is the same one"
        visit.settled("[...document.querySelectorAll('svg')].some((svg) => /Reward.*highest 5/.test(svg.ariaLabel))")
        visit.go("#/runs", "21 of 60")
        assert visit.page.locator("progress").count() == 1


def test_a_file_of_traces_has_its_traces_and_none_of_what_only_a_run_has(visit: Visit):
    visit.go("#/runs", "mcts.jsonl")
    row = visit.page.locator("table.runs tbody tr", has_text="mcts.jsonl")
    assert row.locator("[data-name=traces]").inner_text() == "4"
    assert row.get_by_role("checkbox").count() == 0, "there is nothing to compare"
    assert "no result yet" not in row.inner_text()
    assert re.search(r"\d runs, 1 file", visit.text()), "other tests leave runs of theirs"
    row.get_by_role("link", name="mcts.jsonl").click()
    visit.settled("document.querySelector('h1').textContent === 'mcts.jsonl'")
    assert visit.page.locator("dl.facts dt").all_inner_texts() == ["traces", "on disk"]
    assert visit.page.locator("main h2").all_inner_texts() == ["Stages"]
    assert visit.count("select.versus, figure, .empty") == 0
    visit.press("t")
    visit.page.get_by_text("correct").first.wait_for()
    visit.press("j", "Enter")
    visit.page.get_by_text("the answer was read here").wait_for()
    visit.turn(LEARNED, "How it was made")
    assert "mcts.jsonl" not in visit.page.locator("select.versus").inner_text()


def test_two_runs_show_what_differs_before_anything_else(visit: Visit):
    visit.go("#/runs", "It learned")
    boxes = visit.page.get_by_role("checkbox")
    for name in ("sums-smollm2-grpo-1", "countdown-tiny-rloo-1"):
        visit.page.get_by_label(f"Compare {name}", exact=True).check()
    assert boxes.count() >= 3
    visit.page.get_by_role("button", name="Compare the two").click()
    visit.page.get_by_text("What differs").wait_for()
    names = visit.page.locator("table.three tbody th").all_inner_texts()
    assert {"lr", "objective", "policy", "task"} <= set(names)
    assert "seed" not in names
    reward = visit.page.locator("figure", has=visit.page.locator("h3", has_text=re.compile("^Reward$"))).first
    assert reward.locator("path.line:not(.raw)").count() == 2
    assert reward.locator(".legend li").all_inner_texts() == ["sums-smollm2-grpo-1", "countdown-tiny-rloo-1"]


def test_a_comparison_points_out_a_method_and_what_is_real(visit: Visit, root: Path):
    visit.go("#/comparisons/sums-tiny", "Differences, real or not")
    found = json.loads((root / "compare/sums-tiny/comparison.json").read_text())
    drawn = [row for at in found["curve"] for row in at["rows"] if row["accuracy"] is not None]
    assert visit.count(".whiskers .dot") == visit.count(".whiskers .bar") == len(drawn)
    visit.page.locator(".legend.buttons").get_by_text("beam", exact=True).click()
    assert visit.count(".whiskers .front") == 1
    assert "beam" in visit.page.locator("tr.chosen th").inner_text()
    assert all(
        "beam" in words
        for words in visit.page.locator("table[aria-label='Differences between methods'] tbody th").all_inner_texts()
    )
    visit.page.get_by_label("Differences of").select_option("")
    verdicts = visit.page.locator(
        "table[aria-label='Differences between methods'] tbody td:last-child"
    ).all_inner_texts()
    real = sum(pair["real"] for pair in found["pairs"])
    assert verdicts == ["real"] * real + ["cannot be told apart"] * (len(found["pairs"]) - real)
    visit.page.get_by_role("button", name="32", exact=True).click()
    visit.page.locator("table[aria-label='Accuracy of each method']").get_by_text("greedy", exact=True).click()
    visit.settled("location.hash.includes('method=greedy') && location.hash.includes('budget=32')")
    visit.settled("document.querySelectorAll('.row .verdict').length === 12")


def test_the_board_is_filtered_and_a_claim_tells_all_its_looks(visit: Visit, root: Path):
    lines = read(root / "results/ledger.jsonl")
    visit.go("#/claims", "138 papers")
    assert visit.count(".papers > li") == 138
    visit.page.locator(".chips").get_by_text("refuted").click()
    assert set(visit.page.locator(".papers .claim").all_inner_texts()) == {"refuted"}
    visit.press("/")
    visit.page.keyboard.type("nothing is called like this")
    assert "No claim is like that." in visit.text()
    slug = lines[-1]["slug"]
    own = [line for line in lines if line["slug"] == slug]
    visit.go(f"#/claims/{slug}", own[-1]["claim"])
    assert visit.count(".one-claim") == len({line["claim"] for line in own})
    assert visit.count("table[aria-label^='Looks at'] tbody tr") == len(own)
    shares = [line for line in own if line["date"] == own[-1]["date"] and unit(line) == POINTS]
    assert shares, "the last run decided something by shares"
    for line in shares:
        effect = f"{SHARES.difference(line['effect'])} points"
        assert effect in visit.text(), "as the pages of the documentation have it"
        assert f"{100 * line['margin']:g} points" in visit.text()


def test_shares_are_rounded_as_the_documentation_rounds_them(visit: Visit):
    """Ties too, and what rounds to nothing: 1.25 points are +1.2 in both, and -0.04 are +0.0."""
    visit.go("#/claims", "138 papers")
    shares = [0.0125, -0.0125, 0.042499999999999996, 0.0375, -0.035500000000000004, 0.0, -0.0004, 0.0004, 0.1234]
    assert visit.page.evaluate(
        """async (shares) => {
        const { points, percent } = await import(new URL("format.js", document.querySelector("script[src]").src));
        return shares.map((share) => [points(share), percent(share), percent(share, 0)]);
    }""",
        shares,
    ) == [
        [
            SHARES.difference(share),
            SHARES.score(share),
            replace(SHARES, digits=0).score(share),
        ]
        for share in shares
    ]


def test_tokens_are_coloured_by_how_likely_they_were(visit: Visit):
    def with_pieces(route: Any) -> None:
        answer = route.fetch().json()
        for node in answer["trace"]["nodes"]:
            if node["logprobs"]:
                node["pieces"] = [*node["text"], ""]
        route.fulfill(json=answer)

    visit.go(f"{LEARNED}/traces/rl.5", "Reference")
    visit.page.get_by_role("button", name="Colour by log-prob").click()
    assert visit.count("figure .plot") == 1, "without the texts of tokens there is a curve of their log-probs"
    visit.page.route("**/traces/rl.5", with_pieces)
    visit.go(f"{LEARNED}/traces/rl.5", "Reference")
    assert visit.count(".coloured span") > 20, "the choice outlives the page"
    visit.page.locator(".coloured span").nth(3).hover()
    assert re.search(r"log-prob \u22120\.\d+", visit.text(".token-tip"))
    visit.press("l")
    assert visit.count(".coloured span") == 0


def test_a_debate_goes_by_rounds_and_a_program_by_calls(visit: Visit):
    visit.go(f"{METHODS}/solved.6", "Round 3")
    assert [visit.page.locator(".round").nth(i).locator(".speech").count() for i in range(3)] == [3, 3, 3]
    assert visit.count(".speech.chosen") == 1
    visit.go(f"{METHODS}/solved.14", "calls that the program waited for")
    assert visit.page.locator(".calls .call").all_inner_texts() == [
        f"has_property('{one}', 'can fly')" for one in ("cat", "wren", "owl")
    ]
    assert visit.page.locator(".calls .said").all_inner_texts() == ["False", "True", "True"]
    visit.go(f"{METHODS}/solved.12", "Observation")
    labels = visit.page.locator(".turn h3").all_inner_texts()
    assert labels[:4] == ["prompt", "Observation", "Thought", "Action"]


def test_light_and_dark_are_chosen_and_remembered_where_there_is_storage(browser: Any, base: str):
    with visiting(browser, base, color_scheme="light") as visit:
        background = "getComputedStyle(document.body).backgroundColor"
        visit.go("#/runs", "It learned")
        light = visit.page.evaluate(background)
        visit.page.get_by_role("button", name="Dark colours").click()
        dark = visit.page.evaluate(background)
        assert dark != light
        visit.go("#/claims", "138 papers")
        assert visit.page.evaluate(background) == dark
        visit.page.get_by_role("button", name="Light colours").click()
        assert visit.page.evaluate("localStorage.length") == 0, "what the system has anyway is not kept"
    with visiting(browser, base) as visit:
        visit.page.add_init_script(
            "Object.defineProperty(window, 'localStorage', { get() { throw new Error('refused'); } })"
        )
        visit.go(LEARNED, "How it was made")
        visit.page.get_by_role("button", name="Dark colours").click()
        assert visit.page.evaluate(background) == dark


def test_an_exported_file_is_the_whole_app_without_a_network(browser: Any, exported: Path):
    with visiting(browser, exported.as_uri(), offline=True) as visit:
        requests: list[str] = []
        visit.page.on("request", lambda request: requests.append(request.url))
        visit.go("#/runs")
        for name, (place, sees) in PAGES.items():
            visit.turn(place, sees)
            assert visit.page.evaluate("window.hacked") is None, name
        visit.turn(f"{LEARNED}/traces?status=wrong&q=41", "wrong")
        assert visit.count(".row .correct") == 0
        assert visit.count("mark") > 0
        visit.press("j", "Enter")
        visit.settled("/at=0/.test(location.hash)")
        assert {urlsplit(url).scheme for url in requests} <= {"file", "about", "data"}
