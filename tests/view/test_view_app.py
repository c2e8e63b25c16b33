"""The routes over HTTP: answers, refusals, who may look, and text of models that stays text."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from viewed import ask, library, line, make_run, write_lines

from trivium.store.query import compact
from trivium.types import Verdict
from trivium.view import queries
from trivium.view.app import changes, page_files
from trivium.view.library import Library, shared

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\u2028'\"\\{{}}`${1}`"
TOKEN = "correct horse battery"


@pytest.fixture
def demo(tmp_path: Path):
    lines = [
        line(i, question=f"Is {i} even? {EVIL}", response=f"{EVIL} {i}", verdict=Verdict.right()) for i in range(5)
    ]
    make_run(tmp_path / "runs", "demo", {"rl": lines, "after": [line(9, stage="after")]})
    found = library(tmp_path / "runs", cache=tmp_path / "cache")
    yield found
    found.close()


def get(found: Library, path: str, **options: Any) -> Any:
    reply = ask(found, path, **options)
    assert reply.status_code == 200, reply.text
    return reply.json()


def test_the_index_lists_what_there_is(demo: Library) -> None:
    index = get(demo, "/api/index")
    [card] = index["runs"]
    assert (index["live"], index["version"]) == (True, "0.1.0")
    assert (card["id"], card["verb"], card["task"], card["traces"]) == ("demo", "learn", "sums:terms=3", None)
    assert index["claims"]["papers"] == 1
    get(demo, "/api/runs/demo")
    assert get(demo, "/api/index")["runs"][0]["traces"] == 6


def test_a_run_has_settings_series_and_stages(demo: Library) -> None:
    run = get(demo, "/api/runs/demo")
    assert run["settings"]["objective"] == "grpo"
    assert run["made"]["command"] == ["trivium", "learn"]
    assert run["result"] is None
    assert {one["key"] for one in run["series"]} == {"rl/reward", "rl/accuracy"}
    assert [(s["stage"], s["traces"]) for s in run["stages"]] == [("rl", 5), ("after", 1)], "in the order of the events"
    assert get(demo, "/api/runs/demo/index")["state"] == "ready"


def test_text_of_models_is_data_and_never_markup(demo: Library) -> None:
    listed = get(demo, "/api/runs/demo/traces", headers={"accept": "text/html"})
    assert listed["rows"][0]["question"] == f"Is 0 even? {EVIL}"
    for path in ("/api/index", "/api/runs/demo", "/api/runs/demo/traces", "/api/runs/demo/traces/rl.0", "/api/claims"):
        reply = ask(demo, path)
        assert reply.headers["content-type"] == "application/json"
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["cache-control"] == "no-store"
    trace = get(demo, "/api/runs/demo/traces/rl.0")
    assert trace["trace"]["nodes"][1]["text"] == f"{EVIL} 0"
    assert (trace["kind"], trace["prev"], trace["next"], trace["gold"]) == ("sample", None, "rl.1", "2")


@given(st.text(max_size=30))
def test_whatever_is_searched_for_is_data(q: str) -> None:
    found = queries.Filter(q=q)
    condition, values = found.sql()
    assert condition in ("true", "true AND contains(text, ?)")
    assert len(values) == condition.count("?")


@pytest.mark.parametrize(
    "q", ["' OR 1=1 --", "%", "_", "\x00", "ℵ", "\ud800".encode("utf-8", "surrogatepass").decode("latin-1")]
)
def test_odd_searches_find_nothing(demo: Library, q: str) -> None:
    reply = ask(demo, f"/api/runs/demo/traces?{httpx.QueryParams({'q': q})}")
    assert reply.status_code == 200
    assert reply.json()["total"] == 0


def test_filters_of_a_list(demo: Library) -> None:
    base = "/api/runs/demo/traces"
    assert get(demo, f"{base}?stage=after&status=unjudged")["total"] == 1
    page = get(demo, f"{base}?status=correct&limit=2&offset=1&sort=order&descending=1")
    assert (page["total"], [row["n"] for row in page["rows"]]) == (5, ["rl.3", "rl.2"])
    assert page["counts"] == {"correct": 5, "wrong": 0, "unparseable": 0, "error": 0, "unjudged": 1}
    assert [row["n"] for row in get(demo, f"{base}?step=1&step_to=2")["rows"]] == ["rl.1", "rl.2"]
    assert "even? </scr" in get(demo, f"{base}?q=EVEN%3F&limit=1")["rows"][0]["excerpt"]
    assert len(get(demo, f"{base}?limit=100000")["rows"]) == 6
    assert "method" not in get(demo, base)["rows"][0]


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/api/runs/none", 404, "no run 'none'"),
        ("/api/comparisons/demo", 404, "no comparison"),
        ("/api/runs/demo/traces/rl.99", 404, "no trace 'rl.99'"),
        ("/api/runs/demo/traces/nonsense", 404, "no trace"),
        ("/api/runs/demo/traces/rl.0/nodes/7", 404, "has no node 7; it has 2"),
        ("/api/runs/demo/traces/rl.0/nodes/-1", 404, "has no node"),
        ("/api/runs/demo/traces?step=x", 400, "step=x: expected a whole number"),
        ("/api/runs/demo/traces?step=" + "9" * 40, 400, "expected a whole number"),
        ("/api/runs/demo/traces?budget=x", 400, "budget=x: expected a number"),
        ("/api/runs/demo/traces?status=good", 400, "expected one of correct, wrong"),
        ("/api/runs/demo/traces?sort=length", 400, "expected one of order"),
        ("/api/claims/none", 404, "no paper"),
        ("/api/nothing", 404, "no such address"),
        ("/api/models/demo", 404, "no such address"),
        ("/assets/nothing.js", 404, "no such file"),
        ("/assets/..%2fapp.py", 404, ""),
        ("/assets/app.py", 404, ""),
        ("/api/runs/..%2fruns%2fdemo", 404, ""),
        ("/api/runs/%2e%2e", 404, ""),
        ("/api/runs/%2fetc%2fpasswd/traces/rl.0", 404, ""),
        ("/%2e%2e/%2e%2e/etc/passwd", 404, ""),
    ],
)  # fmt: skip
def test_refusals_are_sentences(demo: Library, path: str, status: int, said: str) -> None:
    reply = ask(demo, path)
    assert reply.status_code == status
    assert set(reply.json()) == {"error"}
    assert said in reply.json()["error"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_changed(demo: Library, method: str) -> None:
    for path in ("/", "/api/index", "/api/runs/demo"):
        reply = ask(demo, path, method=method)
        assert (reply.status_code, reply.headers["allow"]) == (405, "GET, HEAD")
    assert ask(demo, "/api/index", method="HEAD").status_code == 200


def test_a_run_that_goes_away_is_said(demo: Library, tmp_path: Path) -> None:
    assert get(demo, "/api/runs/demo/traces")["total"] == 6
    shutil.rmtree(tmp_path / "runs" / "demo")
    assert get(demo, "/api/index")["runs"] == []
    for path in ("/api/runs/demo", "/api/runs/demo/traces", "/api/runs/demo/traces/rl.0", "/api/runs/demo/index"):
        reply = ask(demo, path)
        assert reply.status_code == 404
        assert "no run 'demo' here (any more)" in reply.json()["error"]


def test_traces_that_grow_finish_and_are_taken_back_are_followed(
    demo: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trivium.view.builder.FRESH", 0.0)
    path = tmp_path / "runs" / "demo" / "traces-rl.jsonl"
    follow = lambda: get(demo, "/api/runs/demo/traces?stage=rl")  # noqa: E731
    assert follow()["total"] == 5
    write_lines(path, [line(5)], append=True)
    assert follow()["total"] == 6
    write_lines(path, [line(i, response="again") for i in range(3)])
    assert [row["n"] for row in follow()["rows"]] == ["rl.0", "rl.1", "rl.2"]
    assert get(demo, "/api/runs/demo/traces/rl.2")["response"] == "again"
    compact(path)
    assert follow()["total"] == 3
    assert get(demo, "/api/runs/demo/traces/rl.2")["trace"]["response"] == "again"


def test_a_trace_is_never_that_of_another_time(demo: Library, tmp_path: Path) -> None:
    """Right after a run is taken back the index does not know yet; the answer must not mix two traces."""
    path = tmp_path / "runs" / "demo" / "traces-rl.jsonl"
    assert get(demo, "/api/runs/demo/traces")["total"] == 6
    write_lines(path, [line(i + 1, response="x" * (i * 50)) for i in range(5)])
    reply = ask(demo, "/api/runs/demo/traces/rl.3")
    assert reply.status_code == 200
    assert reply.json()["question_id"] == "q1"
    assert reply.json()["response"] == "x" * 150


@pytest.mark.parametrize("name", ["saved.jsonl", "saved.parquet"])
def test_a_file_of_traces_has_all_that_traces_of_a_run_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("trivium.view.builder.FRESH", 0.0)
    verdicts = (Verdict.right(), Verdict.wrong(), None)
    lines = [line(i, stage="solve", step=0, response=f"say {i}", verdict=verdicts[i % 3]) for i in range(6)]
    write_lines(tmp_path / "saved.jsonl", lines)
    if name.endswith("parquet"):
        compact(tmp_path / "saved.jsonl")
    found = library(tmp_path / name, cache=tmp_path / "cache")
    base = f"/api/runs/{name}"
    [card] = get(found, "/api/index")["runs"]
    assert (card["id"], card["name"], card["status"], card["traces"]) == (name, name, "file", 6)
    run = get(found, base)
    assert (run["settings"], run["made"], run["result"], run["series"]) == ({}, {}, None, [])
    assert [(s["stage"], s["traces"]) for s in run["stages"]] == [("solve", 6)]
    assert [row["n"] for row in get(found, f"{base}/traces?status=wrong")["rows"]] == ["traces.1", "traces.4"]
    assert [row["n"] for row in get(found, f"{base}/traces?q=SAY+5")["rows"]] == ["traces.5"]
    trace = get(found, f"{base}/traces/traces.4")
    assert (trace["response"], trace["prev"], trace["next"]) == ("say 4", "traces.3", "traces.5")
    assert get(found, f"{base}/traces/traces.4/nodes/1")["text"] == "say 4"
    if name.endswith("jsonl"):
        write_lines(tmp_path / name, [line(6), {"no": "trace"}], append=True)
        grown = get(found, f"{base}/traces")
        assert (grown["total"], grown["note"]) == (7, "1 line is no trace and left out")
    (tmp_path / name).unlink()
    assert get(found, "/api/index")["runs"] == []
    for path in (base, f"{base}/traces", f"{base}/traces/traces.4", f"{base}/index"):
        assert ask(found, path).status_code == 404
    found.close()


def test_parts_that_vanish_below_a_query_are_made_again(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", "demo", {"rl": [line(i) for i in range(40)]})
    found = library(tmp_path / "runs", cache=tmp_path / "cache")
    compact(tmp_path / "runs" / "demo" / "traces-rl.jsonl")
    assert get(found, "/api/runs/demo/traces")["total"] == 40
    for part in (tmp_path / "cache").rglob("*.parquet"):
        part.unlink()
    assert get(found, "/api/runs/demo/traces?level=0")["total"] == 40
    assert len(get(found, "/api/runs/demo/traces?level=0")["rows"]) == 40
    found.close()


def test_a_damaged_run_can_be_looked_at_as_far_as_it_goes(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs", "demo", {"rl": [line(0)]})
    (run / "run.json").write_text("{")
    (run / "traces-after.parquet").write_text("no parquet")
    with open(run / "traces-rl.jsonl", "ab") as file:
        file.write(b'{"stage":"rl"}\n{"stage":"rl","ste')
    found = library(tmp_path / "runs", cache=tmp_path / "cache")
    answer = get(found, "/api/runs/demo")
    assert "damaged" in answer["card"]["error"]
    assert answer["stages"] == [{"stage": "rl", "steps": [0, 0], "traces": 1}]
    listed = get(found, "/api/runs/demo/traces")
    assert listed["total"] == 1
    assert "1 line is no trace and left out" in listed["note"]
    found.close()


def test_comparisons_have_their_traces_with_what_tells_them_apart(tmp_path: Path) -> None:
    folder = tmp_path / "cmp"
    (folder / "cells").mkdir(parents=True)
    (folder / "comparison.json").write_text(json.dumps({"task": "t", "policy": "p"}))
    for method, seed in (("vote:n=4", 0), ("debate", 0), ("debate", 1)):
        about = {"method": method, "budget": 512.0, "seed": seed, "cell_seconds": 1.0}
        lines = [about | line(i, stage="compare", step=0) for i in range(2)]
        write_lines(folder / "cells" / f"{method.replace(':', '_')}-512-seed{seed}.jsonl", lines)
    found = library(tmp_path, cache=tmp_path / "cache")
    assert get(found, "/api/comparisons/cmp")["traces"] == 6
    base = "/api/comparisons/cmp/traces"
    assert get(found, base)["total"] == 6
    assert get(found, f"{base}?method=debate&seed=1&budget=512")["total"] == 2
    row = get(found, f"{base}?method=vote:n%3D4")["rows"][0]
    assert (row["method"], row["budget"], row["seed"]) == ("vote:n=4", 512.0, 0)
    trace = get(found, f"{base}/{row['n']}")
    assert (trace["method"], trace["kind"]) == ("vote:n=4", "sample")
    assert get(found, f"{base}/debate-512-seed1.0")["kind"] == "debate"
    found.close()


def test_while_a_big_index_is_built_answers_have_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(tmp_path / "runs", "demo", {"rl": [line(i) for i in range(10)], "after": [line(0, stage="after")]})
    found = library(tmp_path / "runs", cache=tmp_path / "cache")
    monkeypatch.setattr("trivium.view.library.PATIENCE", 0.0)
    real, gate = found.builder._step, []
    monkeypatch.setattr(
        found.builder, "_step", lambda steps: bool(gate.append(1)) or (len(gate) < 2 and real(steps)) or True
    )
    while len(gate) < 2:
        ask(found, "/api/runs/demo/traces")
    answer = get(found, "/api/runs/demo/traces")
    assert answer["building"]["of"] > answer["building"]["done"]
    assert 0 < answer["total"] < 11
    assert get(found, "/api/runs/demo/index")["state"] == "building"
    assert get(found, "/api/index")["runs"][0]["traces"] is None
    monkeypatch.setattr(found.builder, "_step", real)
    found.finish("run", "demo")
    assert get(found, "/api/runs/demo/traces")["total"] == 11
    found.close()


@pytest.mark.parametrize("host", ["localhost", "localhost:8010", "127.0.0.1", "127.9.9.9:80", "[::1]", "[::1]:8010"])
def test_this_machine_may_look(demo: Library, host: str) -> None:
    assert ask(demo, "/api/index", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["example.com", "example.com:8010", "localhost.example.com", "127.0.0.1.example.com", "10.0.0.1", "[fe80::1]"],
)
def test_a_name_from_elsewhere_may_not(demo: Library, host: str) -> None:
    for path in ("/", "/api/index", "/assets/app.js", "/api/runs/demo/traces/rl.0"):
        reply = ask(demo, path, headers={"host": host})
        assert reply.status_code == 403
        assert set(reply.json()) == {"error"}


def test_with_a_token_nobody_looks_without_it(demo: Library) -> None:
    for path in (
        "/",
        "/api/index",
        "/assets/app.js",
        "/api/runs/demo/traces/rl.0",
        "/?token=wrong",
        "/?token=",
        "/nothing",
    ):
        for headers in ({}, {"cookie": "trivium-view=x"}, {"authorization": "Bearer wrong"}, {"cookie": "\x01;;="}):
            reply = ask(demo, path, token=TOKEN, headers=headers)
            assert reply.status_code == 401
            assert set(reply.json()) == {"error"}
    for header in (f"Bearer {TOKEN}", f"bearer {TOKEN}"):
        assert (
            ask(demo, "/api/index", token=TOKEN, headers={"authorization": header}, host="example.com").status_code
            == 200
        )


def test_the_token_in_the_address_becomes_a_cookie(demo: Library) -> None:
    reply = ask(demo, "/?token=correct%20horse%20battery", token=TOKEN)
    assert (reply.status_code, reply.headers["location"], reply.content) == (303, "/", b"")
    cookie = reply.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "horse" not in cookie
    pair = cookie.partition(";")[0]
    assert ask(demo, "/api/index", token=TOKEN, headers={"cookie": pair}).status_code == 200
    assert ask(demo, "/api/index", token="another token", headers={"cookie": pair}).status_code == 401


def test_every_answer_forbids_what_is_not_its_own(demo: Library) -> None:
    for path in ("/", "/api/index", "/nothing", "/assets/app.css"):
        headers = ask(demo, path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy
        assert "require-trusted-types-for 'script'" in policy
        assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")


def test_the_page_and_all_its_files_are_served(demo: Library) -> None:
    assert ask(demo, "/").headers["content-type"].startswith("text/html")
    kinds = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
    for name, path in page_files().items():
        reply = ask(demo, f"/assets/{name}")
        assert reply.content == path.read_bytes()
        assert reply.headers["content-type"].startswith(kinds[path.suffix])


def test_followers_hear_of_changes_and_of_the_end(
    demo: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trivium.view.app.LOOK", 0.01)
    run = tmp_path / "runs" / "demo"

    async def go() -> list[bytes]:
        stop, heard = asyncio.Event(), []
        stream = changes(demo, "demo", run, stop)
        heard.append(await anext(stream))
        await asyncio.sleep(0.02)
        told = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0.05)
        assert not told.done() or told.result() == b": alive\n\n"
        write_lines(run / "metrics.jsonl", [{"phase": "rl", "step": 4, "steps": 4}], append=True)
        while not heard[-1].startswith(b"event"):
            heard.append(await told)
            told = asyncio.ensure_future(anext(stream, b"end"))
        stop.set()
        while heard[-1] != b"end":
            heard.append(await told)
            told = asyncio.ensure_future(anext(stream, b"end"))
        await told
        return heard

    heard = asyncio.run(go())
    assert heard[0] == b": alive\n\n"
    assert b'event: changed\ndata: {"step":4,"status":"stopped"}\n\n' in heard


@given(st.integers(0, 50), st.lists(st.integers(0, 30), max_size=6))
def test_shares_are_even_and_use_what_there_is(most: int, sizes: list[int]) -> None:
    shares = shared(most, sizes)
    assert all(0 <= share <= size for share, size in zip(shares, sizes, strict=True))
    assert sum(shares) == min(most, sum(sizes))
    cut = [share for share, size in zip(shares, sizes, strict=True) if share < size]
    assert not cut or max(shares) - min(cut) <= 1
