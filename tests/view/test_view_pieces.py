"""The text of each token, from the tokenizer in a run's model folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from viewed import ask, library, line, make_run

from trivium.policies.tiny import byte_tokenizer
from trivium.view.pieces import add_pieces


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_run(tmp_path_factory.mktemp("runs"))
    byte_tokenizer().save_pretrained(folder / "model")
    return folder


def node(run: Path, text: str, *extra: int) -> dict[str, Any]:
    ids = [
        *Tokenizer.from_file(str(run / "model" / "tokenizer.json")).encode(text, add_special_tokens=False).ids,
        *extra,
    ]
    return {"ids": ids, "logprobs": [-0.5] * len(ids), "text": text}


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20))
def test_pieces_are_one_a_token_and_joined_the_text(run: Path, text: str) -> None:
    nodes = [node(run, text), node(run, text, 1)]
    add_pieces(nodes, run)
    for one in nodes:
        assert "".join(one["pieces"]) == text
        assert len(one["pieces"]) == len(one["ids"])
    assert nodes[1]["pieces"][-1] == ""


def test_what_is_no_text_of_these_tokens_stays_without(run: Path, tmp_path: Path) -> None:
    other = {"ids": [5, 6], "logprobs": [-1.0, -1.0], "text": "something else"}
    strange = {"ids": [10**6, -1], "logprobs": [-1.0, -1.0], "text": "x"}
    silent = {"ids": [5], "logprobs": [], "text": "x"}
    add_pieces([other, strange, silent], run)
    assert not any("pieces" in one for one in (other, strange, silent))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "tokenizer.json").write_text("{")
    for folder in (tmp_path, tmp_path / "none"):
        one = node(run, "abc")
        add_pieces([one], folder)
        assert "pieces" not in one


def test_a_trace_comes_with_them(run: Path, tmp_path: Path) -> None:
    made = line(0)
    made["trace"]["nodes"][1] |= node(run, "Answer: 2")
    folder = make_run(tmp_path / "runs", "demo", {"rl": [made]})
    byte_tokenizer().save_pretrained(folder / "model")
    found = library(tmp_path / "runs", cache=tmp_path / "cache")
    for path in ("", "/nodes/1"):
        answer = ask(found, f"/api/runs/demo/traces/rl.0{path}").json()
        one = answer if path else answer["trace"]["nodes"][1]
        assert "".join(one["pieces"]) == "Answer: 2"
    found.close()
