"""Finding a run by its folder or its name."""

from __future__ import annotations

from pathlib import Path

from trivium.errors import UnknownName
from trivium.store import Run


def find_run(name: str, root: Path) -> Run:
    """The run in folder `name`, or the one called `name` below `root`.

    Raises:
        UnknownName: neither exists; names the nearest runs below `root`.
    """
    for path in (Path(name), root / name):
        if path.is_dir():
            return Run.open(path)
    raise UnknownName("run", name, [p.parent.name for p in root.glob("*/run.json")], f"Looked in {root.resolve()}.")
