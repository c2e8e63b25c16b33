"""One file that holds the page and what it shows, and opens without a server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from trivium.store.files import replacing
from trivium.view.app import PAGE
from trivium.view.bundle import page
from trivium.view.found import Kind
from trivium.view.library import Library, NotFound

Listen = Callable[[int, int], None]
_FOLDERS: Mapping[Kind, str] = {"run": "runs", "comparison": "comparisons"}


def write_export(library: Library, file: Path, traces: int, *, claims: bool, listen: Listen) -> int:
    """Write everything that was found, with at most so many traces of each run, and return the bytes it has.

    `listen` is told how many of the folders are done.  Raises RunError when the disk is full.
    """
    data = carried(library, traces, claims=claims, listen=listen)
    content = page(PAGE, data)
    with replacing(file) as out:
        out.write(content)
    return len(content)


def carried(
    library: Library, traces: int, *, claims: bool, listen: Listen = lambda done, total: None
) -> dict[str, Any]:
    """Answers by their addresses, as the page asks for them."""
    data: dict[str, Any] = {}
    names: list[tuple[Kind, str]] = [("run", name) for name in library.found.all("run")]
    names += [("comparison", name) for name in library.found.all("comparison")]
    for done, (kind, name) in enumerate(names):
        listen(done, len(names))
        try:
            data |= _folder(library, kind, name, traces)
        except NotFound:  # removed meanwhile, or damaged: its card says so
            continue
    listen(len(names), len(names))
    overview = library.overview(live=False)
    if claims:
        data[address("claims")] = library.claims.families()
        data |= {address("claims", slug): library.paper(slug) for slug in library.claims.slugs()}
    else:
        data[address("claims")] = {"families": []}
        overview["claims"] = {"confirmed": 0, "refuted": 0, "inconclusive": 0, "papers": 0, "recipes": 0}
    return data | {address("index"): overview, address("comparisons"): overview["comparisons"]}


def address(*segments: str) -> str:
    """An address as the page writes it."""
    return "/api/" + "/".join(quote(segment, safe="!~*'()") for segment in segments)


def _folder(library: Library, kind: Kind, name: str, most: int) -> dict[str, Any]:
    """What the page asks about one run or comparison."""
    base = (_FOLDERS[kind], name)
    library.finish(kind, name)
    data = {
        address(*base): library.run(name) if kind == "run" else library.comparison(name),
        address(*base, "index"): library.progress(kind, name),
    }
    rows, total = library.spread(kind, name, most)
    data[address(*base, "traces")] = {"total": len(rows), "embedded": len(rows), "of": total, "rows": rows}
    for row in rows:
        data[address(*base, "traces", row["n"])] = library.trace(kind, name, row["n"])
    return data
