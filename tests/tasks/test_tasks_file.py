"""Problems from files: each format, each way a row can be broken, duplicates and splits."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from trivium.errors import DataError, MissingPackage, UserError
from trivium.tasks import task
from trivium.tasks.contract import check_task

ROWS = [{"q": f"What is {i} plus {i}?", "a": str(2 * i), "rank": str(i % 3)} for i in range(40)]


def jsonl(path: Path, rows: Sequence[Any]) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def write(folder: Path, kind: str) -> Path:
    path = folder / f"rows.{kind}"
    if kind in ("jsonl", "ndjson"):
        return jsonl(path, ROWS)
    if kind == "json":
        path.write_text(json.dumps(ROWS))
    elif kind in ("csv", "tsv"):
        mark = "," if kind == "csv" else "\t"
        lines = [mark.join(ROWS[0]), *(mark.join(f'"{cell}"' for cell in row.values()) for row in ROWS)]
        path.write_text("\ufeff" + "\n".join(lines) + "\n", encoding="utf-8")
    elif kind == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(ROWS), path)
    return path


@pytest.mark.parametrize("kind", ["jsonl", "ndjson", "json", "csv", "tsv", "parquet"])
def test_every_format_gives_the_same_problems(tmp_path: Path, kind: str) -> None:
    built = task(f"file:{write(tmp_path, kind)},question=q,answer=a,verifier=number,level=rank")
    problems = built.problems("train", 25)
    assert {p.question.messages[0].content for p in problems} < {row["q"] for row in ROWS}
    assert {p.level for p in problems} == {0, 1, 2}
    assert sum(len(built.problems(s, n)) for s, n in split_sizes(built).items()) == 40
    assert all(built.verify(p, f"The answer is {p.reference['answer']}.").correct for p in problems)
    assert not any(built.verify(p, f"The answer is 1{p.reference['answer']}.").correct for p in problems)


def split_sizes(built: Any) -> dict[str, int]:
    sizes = {}
    for split in ("train", "dev", "test"):
        sizes[split] = next(n for n in range(40, -1, -1) if _deals(built, split, n))
    return sizes


def _deals(built: Any, split: str, n: int) -> bool:
    try:
        return len(built.problems(split, n)) == n
    except UserError:
        return False


@pytest.mark.parametrize("verifier", ["line", "exact", "number", "maths", "json", "similarity"])
def test_verifiers_by_name_keep_the_contract(tmp_path: Path, verifier: str) -> None:
    path = jsonl(tmp_path / "rows.jsonl", [{"question": f"Double {i}0.", "answer": 20 * i} for i in range(30)])
    assert check_task(task(f"file:{path},verifier={verifier}"), n=8) == []


def test_a_dataset_folder_keeps_its_own_splits(tmp_path: Path) -> None:
    import datasets

    parts = {"train": ROWS[:30], "validation": ROWS[30:34], "test": ROWS[34:]}
    made = datasets.DatasetDict({name: datasets.Dataset.from_list(rows) for name, rows in parts.items()})
    made.save_to_disk(str(tmp_path / "set"))
    built = task(f"file:{tmp_path / 'set'},question=q,answer=a,verifier=number")
    assert split_sizes(built) == {"train": 30, "dev": 4, "test": 6}
    datasets.Dataset.from_list(ROWS).save_to_disk(str(tmp_path / "one"))
    assert sum(split_sizes(task(f"file:{tmp_path / 'one'},question=q,answer=a,verifier=number")).values()) == 40


def test_a_split_column_decides(tmp_path: Path) -> None:
    rows = [{**row, "part": ("train", "val", "test")[i % 3]} for i, row in enumerate(ROWS)]
    built = task(f"file:{jsonl(tmp_path / 'x.jsonl', rows)},question=q,answer=a,verifier=number,split=part")
    assert split_sizes(built) == {"train": 14, "dev": 13, "test": 13}


def test_solutions_must_hold_the_answer(tmp_path: Path) -> None:
    rows = [{**row, "how": f"{row['q']} Double it. #### {row['a']}"} for row in ROWS]
    path = jsonl(tmp_path / "x.jsonl", rows)
    problem = task(f"file:{path},question=q,answer=a,verifier=number,solution=how").problems("train", 1)[0]
    assert problem.solution is not None
    assert "Double it" in problem.solution
    rows[3]["how"] = "I forgot."
    with pytest.raises(DataError, match=r"row 4: field 'how': verifier 'number' does not find the answer '6' in it"):
        task(f"file:{jsonl(path, rows)},question=q,answer=a,verifier=number,solution=how")


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("{not json", "row 3: not JSON"),
        ("[1, 2]", "row 3: a JSON list; expected an object"),
        ({"q": "What?"}, "row 3: field 'a' is missing; there are 'q'"),
        ({"q": " ", "a": "1", "rank": 1}, "row 3: field 'q' is empty"),
        ({"q": "What?", "a": None, "rank": 1}, "row 3: field 'a' is empty"),
        ({"q": 5, "a": "1", "rank": 1}, "row 3: field 'q' is not text but int"),
        ({"q": "What?", "a": "many", "rank": 1}, "row 3: field 'a': 'many' is no answer for verifier 'number'"),
        ({"q": "What?", "a": "5", "rank": "high"}, "row 3: field 'rank' is 'high'; expected a whole number"),
        ({**ROWS[0], "a": "7"}, "row 3: field 'a': row 1 answers the same question otherwise"),
    ],
)
def test_a_broken_row_is_named_with_its_field(tmp_path: Path, row: Any, says: str) -> None:
    path = jsonl(tmp_path / "rows.jsonl", [ROWS[0], ROWS[1], row, ROWS[2]])
    with pytest.raises(DataError) as caught:
        task(f"file:{path},question=q,answer=a,verifier=number,level=rank")
    assert says in str(caught.value)
    assert f"{path}: 1 broken row; nothing was run." in str(caught.value)


def test_five_faults_are_shown_and_all_are_counted(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "rows.jsonl", [*ROWS, *["oops"] * 9])
    with pytest.raises(DataError) as caught:
        task(f"file:{path},question=q,answer=a,verifier=number")
    lines = str(caught.value).splitlines()
    assert "9 broken rows" in lines[0]
    assert [line.strip().split(":")[0] for line in lines[1:-1]] == [f"row {n}" for n in range(41, 46)]
    assert lines[-1].strip() == "and 4 more"


def test_a_csv_row_of_another_width_is_broken(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("question,answer\nWho?,me\nWhat\nWhen?,now,then\n")
    with pytest.raises(DataError, match=r"row 3: fewer cells.*\n.*row 4: more cells"):
        task(f"file:{path}")
    path.write_bytes(b"question,answer\nWho?,\xff\n")
    with pytest.raises(DataError, match="not UTF-8"):
        task(f"file:{path}")


def test_duplicates_are_kept_once_and_may_not_straddle_splits(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "rows.jsonl", [*ROWS, *ROWS])
    assert sum(split_sizes(task(f"file:{path},question=q,answer=a,verifier=number")).values()) == 40
    rows = [{**ROWS[0], "part": "train"}, {**ROWS[0], "part": "test"}]
    with pytest.raises(DataError, match="its question is in test here, in train in row 1"):
        task(f"file:{jsonl(path, rows)},question=q,answer=a,verifier=number,split=part")


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "rows.jsonl", ROWS[:10])
    spec = f"file:{path},question=q,answer=a,verifier=number"
    before = sum(split_sizes(task(spec)).values())
    jsonl(path, ROWS)
    assert (before, sum(split_sizes(task(spec)).values())) == (10, 40)


def test_what_cannot_be_read_says_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "questions.jsonl").write_text("")
    for spec, error, says in (
        (f"file:{tmp_path}/question.jsonl", UserError, "Did you mean questions.jsonl?"),
        (f"file:{tmp_path}/zzzzz.parquet", UserError, "That folder has: questions.jsonl."),
        (f"file:{tmp_path}/nowhere/x.csv", UserError, "no folder"),
        (f"file:{tmp_path}/questions.jsonl", DataError, "has no rows"),
        (f"file:{tmp_path}/questions.jsonl,verifier=numbre", UserError, "Did you mean number"),
        (f"file:{tmp_path}", UserError, "cannot load"),
        ("file", UserError, "task file needs path"),
    ):
        with pytest.raises(error) as caught:
            task(spec)
        assert says in str(caught.value)
    (tmp_path / "x.txt").write_text("hello")
    with pytest.raises(UserError, match=r"unknown kind of file '.txt'; expected one of .jsonl"):
        task(f"file:{tmp_path}/x.txt")
    (tmp_path / "x.parquet").write_text("hello")
    with pytest.raises(DataError, match="not a readable Parquet file"):
        task(f"file:{tmp_path}/x.parquet")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingPackage, match=r"pip install 'trivium\[hub\]'"):
        task("file:hub/someone/something")
    built = task(f"file:{jsonl(tmp_path / 'few.jsonl', ROWS)},question=q,answer=a,verifier=number")
    with pytest.raises(UserError, match=r"has only .* test problems, 40 were asked for"):
        built.problems("test", 40)
