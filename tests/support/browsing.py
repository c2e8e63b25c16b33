"""A viewer on a real socket and Debian's Chromium before it; whatever a page complains of is kept."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from trivium.cli.view import opened
from trivium.serve.address import bound
from trivium.view.library import Library
from trivium.view.listen import prepare

DESKTOP, PHONE = {"width": 1280, "height": 860}, {"width": 360, "height": 740}
TIMEOUT = 30.0
"""Seconds that anything on a page may take; a busy machine is no reason to fail."""


@contextmanager
def viewing(root: Path) -> Iterator[str]:
    """The address of a viewer of `root`, as `view_folder.make_folder` made it."""
    found: list[str] = []
    started = threading.Event()

    def ready(address: str) -> None:
        found.append(address)
        started.set()

    viewer = prepare(library(root), "127.0.0.1", None, ready)
    thread = threading.Thread(target=lambda: viewer.run(sockets=[bound("127.0.0.1", 0)]), daemon=True)
    thread.start()
    assert started.wait(20), "the viewer did not start"
    try:
        yield found[0]
    finally:
        viewer.should_exit = True
        thread.join(10)


def library(root: Path) -> Library:
    """What a viewer of `root` shows."""
    with patch.dict(os.environ, XDG_CACHE_HOME=str(root / "cache")):
        shown = [str(root / name) for name in ("runs", "compare", "saved/mcts.jsonl")]
        return opened(shown, root / "runs", root / "results" / "ledger.jsonl")


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser without a window; the test is skipped where there is none.

    While it is open no event loop can be run in this thread, so make it last.
    """
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs: pip install playwright")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium on the path; on Debian: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visit:
    """A page at an address, and what the browser said against it."""

    page: Any
    base: str
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(1000 * TIMEOUT)
        self.page.on("console", lambda said: said.type in ("error", "warning") and self.complaints.append(said.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def go(self, place: str, sees: str | None = None) -> Visit:
        """Go to a place of the page and wait until it is there."""
        self.page.goto("about:blank")
        self.page.goto(self.base + place)
        self.page.wait_for_selector("main > *")
        if sees is not None:
            self.page.get_by_text(sees).first.wait_for()
        return self

    def turn(self, place: str, sees: str | None = None) -> Visit:
        """Go to another place of a page that is open."""
        self.page.evaluate("(place) => new Promise((done) => { location.hash = place; setTimeout(done); })", place)
        self.page.wait_for_selector("main[aria-busy=false] > *")
        if sees is not None:
            self.page.get_by_text(sees).first.wait_for()
        return self

    def text(self, selector: str = "main") -> str:
        return str(self.page.inner_text(selector))

    def count(self, selector: str) -> int:
        return int(self.page.locator(selector).count())

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def settled(self, expression: str) -> Any:
        """Wait until an expression of the page is true, and give it.

        Asked again and again from here: the page's policy lets no text be run as code, not even a test's.
        """
        end = time.monotonic() + TIMEOUT
        while not (found := self.page.evaluate(expression)):
            assert time.monotonic() < end, f"{expression} did not come true; complaints: {self.complaints}"
            self.page.wait_for_timeout(20)
        return found


@contextmanager
def visiting(browser: Any, base: str, ignoring: Sequence[str] = (), **options: Any) -> Iterator[Visit]:
    """A fresh visit, which must end without a complaint but those that hold one of `ignoring`."""
    context = browser.new_context(**({"viewport": DESKTOP} | options))
    visit = Visit(context.new_page(), base)
    try:
        yield visit
        left = [said for said in visit.complaints if not any(part in said for part in ignoring)]
        assert not left, left
    finally:
        context.close()
