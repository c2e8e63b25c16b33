"""What code a kept result depends on."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from trivium.lab import code


def fingerprint(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> str | None:
    (folder / "trivium").mkdir(exist_ok=True)
    (folder / "trivium" / "lab").mkdir(exist_ok=True)
    (folder / "trivium" / "part.py").write_text(text)
    monkeypatch.setattr(code, "__file__", str(folder / "trivium" / "lab" / "code.py"))
    code._file_hash.cache_clear()
    return code.module_hash("trivium.part")


def test_words_do_not_count_and_code_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plain = fingerprint(monkeypatch, tmp_path, "def f(x):\n    return x + 1\n")
    said = fingerprint(
        monkeypatch, tmp_path, '"""A part."""\n\n\ndef f(x):\n    """One more."""\n    # why\n    return x + 1\n'
    )
    other = fingerprint(monkeypatch, tmp_path, "def f(x):\n    return x + 2\n")
    assert plain == said
    assert plain != other


def test_what_only_shows_or_keeps_results_is_no_part_of_them() -> None:
    import trivium.cli.claim
    import trivium.learn.sft
    import trivium.report  # noqa: F401

    found = code.loaded("trivium.recipes.distill.masked_thought")
    assert "trivium.learn.sft" in found
    assert not any(name.startswith(("trivium.cli", "trivium.report")) for name in found)
    assert code.unchanged(found)
    assert not code.unchanged({**found, "trivium.learn.sft": "other"})


def test_what_runs_in_another_process_counts_with_what_starts_it() -> None:
    import trivium.sandbox.sql
    import trivium.tasks.gym  # noqa: F401

    found = code.loaded("trivium.recipes.reinforce.reasoning_sql")
    assert {"trivium.sandbox.sql_worker", "trivium.tasks.gym_worker"} <= found.keys()
    assert code.unchanged(found)
    assert not code.unchanged({**found, "trivium.sandbox.sql_worker": "other"})


def test_another_version_of_a_library_is_other_code() -> None:
    found = code.loaded("trivium.recipes.reinforce.reasoning_sql")
    assert found["torch"]
    assert not code.unchanged({**found, "torch": "0.1"})
    assert not code.unchanged({**found, "no-longer-installed": "1.0"})


def test_a_module_that_is_gone_is_a_change() -> None:
    assert not code.unchanged({"trivium.no_such_module": "0"})


def test_a_file_changed_while_its_code_runs_counts_as_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "trivium.part", ModuleType("trivium.part"))
    ran = fingerprint(monkeypatch, tmp_path, "def f(x):\n    return x + 1\n")
    met = code.loaded("trivium.part")["trivium.part"]
    edited = fingerprint(monkeypatch, tmp_path, "def f(x):\n    return x + 22\n")
    assert ran == met == code.loaded("trivium.part")["trivium.part"] != edited
    monkeypatch.setitem(sys.modules, "trivium.part", ModuleType("trivium.part"))
    assert code.loaded("trivium.part")["trivium.part"] == edited
