"""The page as one file: modules as one script, data that stays data, and every answer that the page will ask for."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from viewed import ask, library, line, make_run, write_lines

from trivium.types import Verdict
from trivium.view.app import PAGE
from trivium.view.bundle import bundle, page
from trivium.view.export import address, carried, write_export

EVIL = "</script><script>alert(1)</script><!--\u2028"
SHELL = (
    '<!doctype html><html><head><meta charset="utf-8"><link rel="stylesheet" href="assets/a.css"></head><body>'
    '<script type="module" src="assets/main.js"></script></body></html>'
)


def write_page(folder: Path, **modules: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "index.html").write_text(SHELL)
    (folder / "a.css").write_text("body{color:red}")
    for name, code in modules.items():
        (folder / f"{name}.js").write_text(code)
    return folder


def data_of(html: bytes) -> Any:
    found = re.search(rb'<script type="application/json" id="trivium-data">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_modules_become_one_script_in_the_order_of_their_imports(tmp_path: Path) -> None:
    folder = write_page(
        tmp_path,
        main='import { one, two as zwei } from "./b.js";\nimport * as c from "./c.js";\nlog(one, zwei, c.three);\n',
        b='import {\n  three,\n} from "./c.js";\nexport const one = 1;\nexport async function two() {}\n'
        "export class A {}",
        c="const hidden = 1;\nexport function three() { return hidden; }\n",
    )
    script = bundle(folder, "main.js")
    assert [m[1] for m in re.finditer(r'^modules\["(\w+)\.js"\]', script, re.MULTILINE)] == ["c", "b", "main"]
    assert 'const { one, two: zwei } = modules["b.js"];\nconst c = modules["c.js"];' in script
    assert "return { one, two, A };" in script
    assert not re.search(r"^(import|export)\b", script, re.MULTILINE)


@pytest.mark.parametrize(
    "code",
    [
        "export default 1;", "export let x = 1;", 'export * from "./b.js";', 'import "./b.js";', "import(x);",
        "export { a };", "const a = import.meta.url;", 'import { a } from "../b.js";', 'import { a } from "https://x/b.js";',
        'import { main } from "./main.js";', "export const { a } = b;",
    ],
)  # fmt: skip
def test_what_cannot_become_one_script_is_refused(tmp_path: Path, code: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError)):
        bundle(write_page(tmp_path, main=f"{code}\n"), "main.js")


@pytest.mark.parametrize("code", ['const a = "</script>";', 'const a = "<!--";', "/* </STYLE> */"])
def test_code_that_would_end_its_element_is_refused(tmp_path: Path, code: str) -> None:
    with pytest.raises(ValueError, match="tag or a comment"):
        page(write_page(tmp_path, main=code), {})


@given(
    st.dictionaries(st.text(max_size=20), st.text(max_size=40) | st.sampled_from([EVIL, "\\1", "\\g<0>"]), max_size=4)
)
def test_data_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, data: dict[str, str]) -> None:
    folder = write_page(tmp_path_factory.getbasetemp() / "page", main="1;")
    html = page(folder, data)
    assert data_of(html) == {k: v.encode(errors="replace").decode() for k, v in data.items()}
    assert html.count(b"<script") == html.count(b"</script>") == 2
    assert b"<!--" not in html


def test_the_policy_names_script_and_style_by_their_hashes() -> None:
    html = page(PAGE, {"/api/index": {}}).decode()
    script = re.search(r"<script>(.*?)</script>", html, re.DOTALL)
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    assert script
    assert style
    assert policy
    for kind, text in (("script", script[1]), ("style", style[1])):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy[1]
    assert "default-src 'none'" in policy[1]
    assert "unsafe" not in policy[1]
    assert not re.search(r'(?:src|href)="(?:assets|https?:)', html), "nothing is fetched"
    assert html.index("Content-Security-Policy") < html.index("<style>")


def test_an_exported_file_answers_as_the_server_does(tmp_path: Path) -> None:
    lines = [line(i, response=f"{EVIL} {i}", verdict=Verdict.right()) for i in range(40)]
    make_run(tmp_path / "runs", "demo", {"rl": lines, "after": [line(0, stage="after")]})
    make_run(tmp_path / "runs", "a b", {"rl": lines[:2]})
    found = library(tmp_path / "runs", cache=tmp_path / "cache")
    told: list[tuple[int, int]] = []
    size = write_export(found, tmp_path / "out.html", 8, claims=True, listen=lambda *at: told.append(at))
    html = (tmp_path / "out.html").read_bytes()
    assert size == len(html)
    assert told == [(0, 2), (1, 2), (2, 2)]
    data = data_of(html)
    assert data["/api/index"]["live"] is False
    listed = data["/api/runs/demo/traces"]
    assert (listed["embedded"], listed["of"]) == (8, 41)
    assert [row["n"] for row in listed["rows"]] == [
        "rl.0",
        "rl.5",
        "rl.11",
        "rl.17",
        "rl.22",
        "rl.28",
        "rl.34",
        "after.0",
    ]
    for path, answer in data.items():
        if path not in ("/api/index", "/api/runs/demo/traces") and not path.endswith("/traces"):
            live = ask(found, path)
            assert live.status_code == 200, path
            assert live.json() == answer, path
    ids = [card["id"] for card in data["/api/index"]["runs"]]
    assert all(address("runs", name) in data for name in ids)
    assert len(ids) == 2
    found.close()


def test_a_file_of_traces_is_exported(tmp_path: Path) -> None:
    write_lines(tmp_path / "saved.jsonl", [line(i) for i in range(5)])
    found = library(tmp_path / "saved.jsonl", cache=tmp_path / "cache")
    data = carried(found, 2, claims=False)
    [card] = data["/api/index"]["runs"]
    assert (card["status"], card["traces"]) == ("file", 5)
    listed = data["/api/runs/saved.jsonl/traces"]
    assert ([row["n"] for row in listed["rows"]], listed["of"]) == (["traces.0", "traces.2"], 5)
    assert data["/api/runs/saved.jsonl/traces/traces.2"]["question_id"] == "q2"
    assert str(tmp_path) not in str(data), "nothing of this machine goes along"
    found.close()


def test_named_runs_are_exported_without_the_claims_and_damaged_ones_with_their_cards(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", "demo", {"rl": [line(0)]})
    (tmp_path / "runs" / "cmp").mkdir()
    (tmp_path / "runs" / "cmp" / "comparison.json").write_text("{")
    found = library(tmp_path / "runs", cache=tmp_path / "cache")
    data = carried(found, 0, claims=False)
    assert data["/api/claims"] == {"families": []}
    assert data["/api/index"]["claims"]["papers"] == 0
    assert data["/api/runs/demo/traces"]["rows"] == []
    assert "damaged" in data["/api/comparisons"][0]["error"]
    assert "/api/comparisons/cmp" not in data
    found.close()


def test_addresses_are_encoded_as_the_page_encodes_them() -> None:
    assert (
        address("runs", "a b+c~d!'()*", "traces", "vote_n=4-512.0")
        == "/api/runs/a%20b%2Bc~d!'()*/traces/vote_n%3D4-512.0"
    )
