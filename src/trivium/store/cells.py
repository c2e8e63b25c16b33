"""Finished cells of a comparison on disk: one (method, budget, seed) each, so that a stopped comparison can go on.

<folder>/settings.json                           what every cell shares; another set-up may not be mixed in
<folder>/cells/<method>-<budget>-seed<seed>.jsonl   one trace a line, whole when the file is there
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trivium.errors import UserError
from trivium.store.files import disk, finite, json_line, own_folder, read_lines, replacing, write_json
from trivium.store.traces import trace_from_json, trace_line
from trivium.types import Problem, Trace


class Cells:
    """The cells in `folder`, made where there is none; a context manager, which owns them until its end.

    Raises:
        UserError: the folder holds a comparison with other `settings`.
        RunError: another comparison is writing there.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        with disk(folder):
            (folder / "cells").mkdir(parents=True, exist_ok=True)
        self._lock = own_folder(folder, "choose another --out")
        path = folder / "settings.json"
        if not path.exists():
            write_json(path, settings)
            return
        before = json.loads(path.read_text(encoding="utf-8"))
        if changed := [k for k, v in finite(settings).items() if before.get(k) != v]:
            self._lock.close()
            key = changed[0]
            raise UserError(
                f"{folder} holds a comparison with {key}={before.get(key)}, and this one has {key}={settings[key]}; "
                "choose another --out, or go on with the same settings"
            )

    def __enter__(self) -> Cells:
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.close()

    def has(self, spec: str, budget: float, seed: int) -> bool:
        """Whether a cell is finished."""
        return self._path(spec, budget, seed).exists()

    def load(self, spec: str, budget: float, seed: int, problems: Sequence[Problem]) -> tuple[list[Trace], float]:
        """Traces of a finished cell, and the seconds they took together.

        Raises UserError where they are attempts at other problems: a file of questions may have changed since.
        """
        path = self._path(spec, budget, seed)
        lines = list(read_lines(path))
        attempted = [(line["question_id"], line["gold"]) for line in lines]
        if attempted != [(problem.question.id, problem.gold) for problem in problems]:
            raise UserError(f"{path} holds attempts at other questions, or the answers changed; choose another --out")
        return [trace_from_json(line["trace"]) for line in lines], lines[0]["cell_seconds"] if lines else 0.0

    def save(
        self, spec: str, budget: float, seed: int, traces: list[Trace], problems: list[Problem], seconds: float
    ) -> None:
        """Write a finished cell in one step: a reader sees all of it or nothing."""
        path = self._path(spec, budget, seed)
        about = {"method": spec, "budget": budget, "seed": seed, "cell_seconds": seconds}
        with replacing(path) as file:
            for trace, problem in zip(traces, problems, strict=True):
                file.write(json_line({**about, **trace_line("compare", 0, trace, problem)}))

    def _path(self, spec: str, budget: float, seed: int) -> Path:
        slug = re.sub(r"[^\w.=-]+", "_", spec)
        if slug != spec:  # different specs must not share a file
            slug = f"{slug[:60]}-{hashlib.blake2b(spec.encode(), digest_size=4).hexdigest()}"
        return self.folder / "cells" / f"{slug}-{budget:.12g}-seed{seed}.jsonl"
