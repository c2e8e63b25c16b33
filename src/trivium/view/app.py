"""The routes: the page, its assets, and the answers it draws."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from trivium.store.files import json_line
from trivium.view.door import Door
from trivium.view.found import Kind, locked
from trivium.view.library import Answer, Library, NotFound, Refused

LOG = logging.getLogger("trivium.view")
PAGE = Path(__file__).parent / "page"
KINDS: dict[str, Kind] = {"runs": "run", "comparisons": "comparison"}
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
LOOK = 1.0
"""Seconds between two looks at a run that somebody follows."""
ALIVE = 15
"""Looks after which a follower is told that the connection lives."""


def build(library: Library, token: str | None, stopping: asyncio.Event | None = None) -> Starlette:
    """The application; streams end when `stopping` is set."""
    stop = stopping or asyncio.Event()
    html, files = (PAGE / "index.html").read_bytes(), {name: path.read_bytes() for name, path in page_files().items()}

    async def shell(request: Request) -> Response:
        """The page itself; where in it one is stands behind the #, which no server sees."""
        return Response(html, media_type="text/html", headers={"cache-control": "no-cache"})

    async def asset(request: Request) -> Response:
        """A module or a style sheet of the page."""
        name = request.path_params["name"]
        if name not in files:
            raise HTTPException(404, "there is no such file of the page")
        return Response(files[name], media_type=TYPES[Path(name).suffix], headers={"cache-control": "no-cache"})

    def overview(request: Request) -> Response:
        return _json(library.overview())

    def comparisons(request: Request) -> Response:
        return _json(library.found.comparison_cards())

    def one(request: Request) -> Response:
        name = request.path_params["name"]
        return _json(library.run(name) if _kind(request) == "run" else library.comparison(name))

    def progress(request: Request) -> Response:
        return _json(library.progress(_kind(request), request.path_params["name"]))

    def traces(request: Request) -> Response:
        return _json(library.traces(_kind(request), request.path_params["name"], dict(request.query_params)))

    def trace(request: Request) -> Response:
        return _json(library.trace(_kind(request), request.path_params["name"], request.path_params["n"]))

    def node(request: Request) -> Response:
        asked = request.path_params
        return _json(library.node(_kind(request), asked["name"], asked["n"], asked["m"]))

    def claims(request: Request) -> Response:
        return _json(library.claims.families())

    def claim(request: Request) -> Response:
        return _json(library.paper(request.path_params["slug"]))

    async def live(request: Request) -> Response:
        name = request.path_params["name"]
        path = await run_in_threadpool(library.path, name)
        return StreamingResponse(changes(library, name, path, stop), media_type="text/event-stream",
                                 headers={"cache-control": "no-store", "x-accel-buffering": "no"})  # fmt: skip

    api = [
        Route("/api/index", overview),
        Route("/api/comparisons", comparisons),
        Route("/api/claims", claims),
        Route("/api/claims/{slug}", claim),
        Route("/api/runs/{name}/live", live),
        *(
            route
            for kind in KINDS
            for route in (
                Route(f"/api/{kind}/{{name}}", one),
                Route(f"/api/{kind}/{{name}}/index", progress),
                Route(f"/api/{kind}/{{name}}/traces", traces),
                Route(f"/api/{kind}/{{name}}/traces/{{n}}", trace),
                Route(f"/api/{kind}/{{name}}/traces/{{n}}/nodes/{{m}}", node),
            )
        ),
    ]
    return Starlette(
        routes=[Route("/", shell), Route("/assets/{name}", asset), *api],
        middleware=[Middleware(Door, token=token)],
        exception_handlers={NotFound: _not_found, Refused: _refused, HTTPException: _other, Exception: _broken},
    )


def page_files() -> dict[str, Path]:
    """The page's assets by name: what there is, and so all that a request can get."""
    return {path.name: path for path in PAGE.iterdir() if path.suffix in TYPES}


async def changes(library: Library, name: str, path: Path, stop: asyncio.Event) -> AsyncIterator[bytes]:
    """An event whenever a run has written something, or has begun, stopped or finished, until it is gone."""
    before, looks = None, 0
    while not stop.is_set():
        card = await run_in_threadpool(_seen, library, name, path)
        if card is None:
            return
        if before is not None and card != before:
            told = json_line({"step": card["step"], "status": card["status"]})
            yield b"event: changed\ndata: " + told + b"\n"
        elif looks % ALIVE == 0:
            yield b": alive\n\n"
        before, looks = card, looks + 1
        try:
            await asyncio.wait_for(stop.wait(), LOOK)
        except TimeoutError:
            continue


def _seen(library: Library, name: str, path: Path) -> Answer | None:
    if library.found.find("run", name) is None:
        return None
    try:
        written = (path / "metrics.jsonl").stat().st_size
    except OSError:
        written = 0
    return {**library.found.run_card(name, path, locked()), "written": written}


def _kind(request: Request) -> Kind:
    found = re.match(r"/api/(\w+)/", request.url.path)
    assert found is not None
    return KINDS[found[1]]


def _json(answer: Any, status: int = 200) -> Response:
    return Response(json_line(answer), status, media_type="application/json", headers={"cache-control": "no-store"})


async def _not_found(request: Request, error: Exception) -> Response:
    return _json({"error": str(error)}, 404)


async def _refused(request: Request, error: Exception) -> Response:
    return _json({"error": str(error)}, 400)


async def _other(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    said = error.detail if error.detail != "Not Found" else "there is no such address here"
    return _json({"error": said}, error.status_code)


async def _broken(request: Request, error: Exception) -> Response:
    LOG.error("%s: %s: %s", request.url.path, type(error).__name__, error)
    return _json({"error": "the viewer failed at this; what it printed says why"}, 500)
