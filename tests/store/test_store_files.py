"""Lines of JSON: a torn last one is no line yet, and what is none says where it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from trivium.errors import DataError
from trivium.store.files import read_lines


def test_a_torn_last_line_is_skipped(tmp_path: Path) -> None:
    file = tmp_path / "lines.jsonl"
    assert list(read_lines(file)) == []
    file.write_text('{"a": 1}\n{"a": 2}\n{"a"')
    assert [row["a"] for row in read_lines(file)] == [1, 2]


@pytest.mark.parametrize("broken", ['{"a"', "3", ""])
def test_a_broken_line_is_named(tmp_path: Path, broken: str) -> None:
    file = tmp_path / "lines.jsonl"
    file.write_text(f'{{"a": 1}}\n{broken}\n{{"a": 2}}\n')
    with pytest.raises(DataError, match=r"lines\.jsonl, line 2: .*expected one JSON object"):
        list(read_lines(file))
