"""Problems from a file: JSONL, JSON, CSV, TSV, Parquet, a Hugging Face dataset folder, or a data set on the Hub.

`file:rows.jsonl,question=q,answer=a,verifier=number`.  Every row is read and checked before anything is dealt: its
fields are there, the verifier reads its answer, and its own answer is judged correct.  What is broken is said by file,
row and field.
"""

from __future__ import annotations

import csv
import difflib
import functools
import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trivium.errors import DataError, MissingPackage, TooFewProblems, UserError
from trivium.tasks.base import Described, guarded, new_problem, stable_hash
from trivium.types import Problem, Split, Verdict
from trivium.verify import Verifier, verifier

SPLIT_NAMES: Mapping[str, Split] = {
    "train": "train", "training": "train", "dev": "dev", "val": "dev", "valid": "dev", "validation": "dev",
    "test": "test", "testing": "test",
}  # fmt: skip
"""How data sets call the splits."""

SHOWN_FAULTS = 5


@dataclass(frozen=True, slots=True)
class Row:
    """A row as read: its number in the file (lines from 1 for text, rows from 1 otherwise), and its fields.

    `fault` says why it could not be read; `part` is the split that a data set of several parts keeps it in.
    """

    number: int
    fields: Mapping[str, Any]
    part: str = ""
    fault: str = ""


@dataclass(frozen=True)
class FileTask(Described):
    """Your own questions: JSONL, CSV, Parquet, a dataset folder or `hub/ID`, judged by a verifier you name.

    `question`, `answer`, `solution`, `level` and `split` are names of fields.  By a hash of the question eight tenths
    of the rows are train, one is dev and one is test, unless `split=FIELD` says so for each row; the parts of a data
    set stay what they are.

    `trivium learn` learns from the train rows and measures on 300 test rows, so a file of fewer than some 3,000 rows
    needs `--eval-n`: for 200 rows, of which about 20 are test, `--eval-n 10`.  Without `solution=FIELD` there is
    nothing to warm up on, and it needs `--warmup-steps 0`.

    Verifiers: `line` (the default), `exact`, `number`, `maths`, `choice`, `json`, `program`, `sql` and `similarity`;
    see `trivium list verifiers`.
    """

    path: str
    question: str = "question"
    answer: str = "answer"
    verifier: str = "line"
    solution: str = ""
    level: str = ""
    split: str = ""
    subset: str = ""

    family = "file"

    def __post_init__(self) -> None:
        self._problems()

    @property
    def max_tokens(self) -> int:
        return 1024

    def problems(self, split: Split, n: int, seed: int = 0) -> list[Problem]:
        found = [problem for problem in self._problems() if problem.split == split]
        if n > len(found):
            hint = "" if self.split else "name a field that says train, dev or test of each row: split=FIELD"
            raise TooFewProblems(self.path, split, len(found), n, hint)
        random.Random(stable_hash(self.name, split, seed)).shuffle(found)
        return found[:n]

    @guarded
    def verify(self, problem: Problem, response: str) -> Verdict:
        return verifier(self.verifier)(response, problem.reference["answer"])

    def _problems(self) -> tuple[Problem, ...]:
        local = None if self.path.startswith("hub/") else Path(self.path)
        changed = local.stat().st_mtime_ns if local is not None and local.exists() else 0
        return _checked(self, changed)


@functools.lru_cache(maxsize=8)
def _checked(task: FileTask, changed: int) -> tuple[Problem, ...]:
    """All problems of a file as it was at time `changed`; raises `DataError` with the first faults if there are any."""
    judge = verifier(task.verifier)
    found: dict[str, tuple[int, Problem]] = {}
    faults: list[str] = []
    for row in _rows(task):
        made = row.fault or _problem(task, judge, row)
        if isinstance(made, str):
            faults.append(f"row {row.number}: {made}")
            continue
        earlier = found.setdefault(made.key, (row.number, made))
        if earlier[1].reference != made.reference:
            faults.append(
                f"row {row.number}: field {task.answer!r}: row {earlier[0]} answers the same question otherwise"
            )
        elif earlier[1].split != made.split:
            faults.append(
                f"row {row.number}: its question is in {made.split} here, in {earlier[1].split} in row {earlier[0]}"
            )
    if faults:
        more = f"\n  and {len(faults) - SHOWN_FAULTS} more" if len(faults) > SHOWN_FAULTS else ""
        listed = "".join(f"\n  {fault}" for fault in faults[:SHOWN_FAULTS])
        raise DataError(
            f"{task.path}: {len(faults)} broken row{'s' * (len(faults) > 1)}; nothing was run.{listed}{more}"
        )
    if not found:
        raise DataError(f"{task.path} has no rows; expected at least one question with its answer")
    return tuple(problem for _, problem in found.values())


def _problem(task: FileTask, judge: Verifier, row: Row) -> Problem | str:
    """The problem in a row, or what is wrong with the row."""
    for name in filter(None, (task.question, task.answer, task.solution, task.level, task.split)):
        if name not in row.fields:
            return f"field {name!r} is missing; there are {', '.join(map(repr, row.fields)) or 'none'}"
        if row.fields[name] is None or (isinstance(row.fields[name], str) and not row.fields[name].strip()):
            return f"field {name!r} is empty"
    question, answer = row.fields[task.question], row.fields[task.answer]
    if not isinstance(question, str):
        return f"field {task.question!r} is not text but {type(question).__name__}"
    try:
        level = int(row.fields[task.level]) if task.level else 0
    except (TypeError, ValueError):
        return f"field {task.level!r} is {row.fields[task.level]!r}; expected a whole number"
    part = str(row.fields[task.split]) if task.split else row.part
    if part and part.lower() not in SPLIT_NAMES:
        return f"field {task.split!r} is {part!r}; expected one of {', '.join(SPLIT_NAMES)}"
    try:
        written = answer if isinstance(answer, str) else json.dumps(answer, allow_nan=False)
    except (TypeError, ValueError):
        return f"field {task.answer!r} is {type(answer).__name__}, which JSON cannot hold"
    solution = str(row.fields[task.solution]) if task.solution else None
    gold = next((r for r in _responses(written, answer, solution) if judge(r, answer).correct), None)
    if gold is None:
        why = judge(written, answer).detail or "it is not judged correct itself"
        hint = "" if task.solution else "; name a field with a right response: solution=FIELD"
        return f"field {task.answer!r}: {written[:60]!r} is no answer for verifier {task.verifier!r} ({why}){hint}"
    if solution is not None and not judge(solution, answer).correct:
        return f"field {task.solution!r}: verifier {task.verifier!r} does not find the answer {written[:60]!r} in it"
    made = new_problem(
        "file",
        question.strip(),
        question.strip(),
        reference={"answer": answer},
        gold=gold,
        answer_format=judge.answer_format,
        level=level,
        solution=solution,
    )
    return replace(made, split=SPLIT_NAMES[part.lower()]) if part else made


def _responses(written: str, answer: Any, solution: str | None) -> Iterator[str]:
    """Ways to write the answer, for the verifier to choose one that it reads."""
    yield from (written, f"Answer: {written}", f"\\boxed{{{written}}}")
    if isinstance(answer, dict) and "query" in answer:
        yield str(answer["query"])
    if solution is not None:
        yield solution


def _rows(task: FileTask) -> Iterator[Row]:
    if task.path.startswith("hub/"):
        return _from_datasets(task)
    path = Path(task.path)
    if not path.exists():
        raise UserError(_missing(path))
    if path.is_dir():
        return _from_datasets(task)
    if path.suffix not in _READERS:
        raise UserError(f"{path}: unknown kind of file {path.suffix!r}; expected one of {', '.join(_READERS)}")
    return _READERS[path.suffix](path)


def _missing(path: Path) -> str:
    if not path.parent.is_dir():
        return f"no file {path}, and no folder {path.parent}; for a data set on the Hub write file:hub/ID"
    names = sorted(entry.name for entry in path.parent.iterdir() if entry.is_dir() or entry.suffix in _READERS)
    near = difflib.get_close_matches(path.name, names, n=3, cutoff=0.4)
    if near:
        return f"no file {path}. Did you mean {' or '.join(near)}?"
    return f"no file {path}. That folder has: {', '.join(names[:10]) or 'no data files'}."


def _jsonl(path: Path) -> Iterator[Row]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield _json_row(number, line)


def _json_row(number: int, line: bytes) -> Row:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Row(number, {}, fault=f"not JSON ({error})")
    if not isinstance(value, dict):
        return Row(number, {}, fault=f"a JSON {type(value).__name__}; expected an object with named fields")
    return Row(number, value)


def _json(path: Path) -> Iterator[Row]:
    try:
        rows = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON ({error}); if it has one object a line, name it .jsonl") from None
    if not isinstance(rows, list):
        raise DataError(f"{path}: a JSON {type(rows).__name__}; expected a list of objects")
    for number, value in enumerate(rows, 1):
        named = isinstance(value, dict)
        yield Row(number, value if named else {}, fault="" if named else "not an object with named fields")


def _table(path: Path, delimiter: str = ",") -> Iterator[Row]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, delimiter=delimiter, restkey="", strict=True)
            for fields in reader:
                extra, short = "" in fields, None in fields.values()
                fault = (
                    "more cells than the header has" if extra else "fewer cells than the header has" if short else ""
                )
                yield Row(reader.line_num, fields, fault=fault)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except csv.Error as error:
        raise DataError(f"{path}: row {reader.line_num}: {error}") from None


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            batches = [batch.to_pylist() for batch in file.iter_batches()]
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a readable Parquet file ({error})") from None
    for number, fields in enumerate((row for batch in batches for row in batch), 1):
        yield Row(number, fields)


def _from_datasets(task: FileTask) -> Iterator[Row]:
    """Rows of a Hugging Face data set, on disk or on the Hub; its own splits are kept."""
    try:
        import datasets
    except ImportError:
        raise MissingPackage(f"file:{task.path}", "datasets", "pip install 'trivium[hub]'") from None
    try:
        if task.path.startswith("hub/"):
            loaded = datasets.load_dataset(task.path.removeprefix("hub/"), task.subset or None)
        else:
            loaded = datasets.load_from_disk(task.path)
    except Exception as error:
        raise UserError(f"cannot load {task.path}: {type(error).__name__}: {error}") from None
    parts = loaded.items() if isinstance(loaded, dict) else [("", loaded)]
    for part, rows in parts:
        # A data set with one part only has no held-out questions: its rows are split by their hash.
        known = part if part in SPLIT_NAMES and len(parts) > 1 else ""
        for number, fields in enumerate(rows, 1):
            yield Row(number, fields, known)


_READERS: Mapping[str, Callable[[Path], Iterator[Row]]] = {
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".json": _json,
    ".csv": _table,
    ".tsv": functools.partial(_table, delimiter="\t"),
    ".parquet": _parquet,
}
