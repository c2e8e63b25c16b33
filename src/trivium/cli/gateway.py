"""`trivium gateway`: record what an agent says to any server that speaks OpenAI's API, to learn from it."""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import typer

from trivium.cli.output import print_json
from trivium.cli.stopped import run_until_stopped
from trivium.errors import MissingPackage, UserError

NEEDED = {"starlette": "fastapi", "uvicorn": "uvicorn", "prometheus_client": "prometheus-client"}


def command(
    upstream: str | None = typer.Option(None, help="Address of the server that answers, such as http://HOST:PORT/v1."),
    out: Path | None = typer.Option(None, help="Folder of the record; one that exists is gone on with."),
    host: str = typer.Option("127.0.0.1", help="Address to listen at; any but this machine's own demands a key."),
    port: int = typer.Option(8001, min=0, max=65535, help="Port to listen at; 0 takes a free one."),
    key_env: str | None = typer.Option(None, help="Environment variable with the key for the upstream; default: what "
                                       "the client sends is passed on."),
    keys: Path | None = typer.Option(None, help="File of API keys that clients of the gateway must have."),
    timeout: float = typer.Option(600.0, min=0.01, help="Seconds that a request may take."),
    max_requests: int = typer.Option(512, min=1, help="Requests at a time; more are told to come again."),
    max_bytes: int = typer.Option(32 << 20, min=1, help="Bytes that a request's body may have."),
    grace: float = typer.Option(30.0, min=0, help="Seconds that running requests get to finish when stopped."),
    traces: Path | None = typer.Option(None, help="Listen to nobody; make the traces of a record, also of one that is "
                                       "being written."),
    as_json: bool = typer.Option(False, "--json", help="With --traces: print JSON."),
) -> None:  # fmt: skip
    """Pass requests on to a server that speaks OpenAI's API, and record what was said as traces to learn from."""
    if traces is not None:
        if upstream is not None or out is not None:
            raise UserError("--traces takes a record and nothing else: trivium gateway --traces RUN")
        counted = _write(traces)
        print_json(counted) if as_json else print(_said(counted))
        return
    if as_json:
        raise UserError("--json is for --traces; what is running is told at /healthz")
    absent = [package for module, package in NEEDED.items() if importlib.util.find_spec(module) is None]
    if absent:
        raise MissingPackage("trivium gateway", absent[0], "pip install 'trivium[serve]'")
    if out is None:
        raise UserError("where is the record to be kept? Type: trivium gateway --upstream http://HOST:PORT/v1 "
                        "--out runs/NAME")  # fmt: skip
    _serve(upstream, out, host, port, key_env, keys, timeout, max_requests, max_bytes, grace)


def _serve(
    upstream: str | None, out: Path, host: str, port: int, key_env: str | None, keys: Path | None, timeout: float,
    max_requests: int, max_bytes: int, grace: float,
) -> None:  # fmt: skip
    from trivium.gateway.app import Gateway, build
    from trivium.gateway.book import Book
    from trivium.gateway.run import record_at
    from trivium.serve.address import bound
    from trivium.serve.limits import Spending
    from trivium.serve.listen import check_reach, listener

    given = None if upstream is None else _address(upstream)
    secret = None if key_env is None else _secret(key_env)
    known = _known(keys, host)
    check_reach(host, known)
    with bound(host, port) as socket:
        run = record_at(out, given, key_env)
        spending = Spending(known.path.with_name("spent.json") if known else None)
        book = Book(run.path)
        if book.counts.exchanges:
            _write(run.path)  # a kill may have come before they were written
        gateway = Gateway(
            run.settings["upstream"], book, secret, known, spending, max_bytes, max_requests, timeout
        )  # fmt: skip

        def ready(address: str) -> None:
            print(f"recording {gateway.upstream} at {address} into {run.path} (Ctrl-C stops)", flush=True)

        def closed() -> None:
            said = _said(_write(run.path))
            with contextlib.suppress(BrokenPipeError):  # whoever started it may have gone before
                print(said, flush=True)

        run_until_stopped(listener(build(gateway, closed), gateway.turns, host, port, grace, ready), socket)


def _address(url: str) -> str:
    """Where requests are put to; a password in it would be written into the record."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise UserError(f"--upstream {url}: expected an address such as http://127.0.0.1:8000/v1")
    if parts.username or parts.password:
        raise UserError("--upstream has a key in it, which would be written into the record; name the variable that "
                        "holds it with --key-env")  # fmt: skip
    return url.rstrip("/").removesuffix("/chat/completions")


def _secret(key_env: str) -> str:
    key = os.environ.get(key_env, "").strip()
    if not key or not key.isascii() or not key.isprintable():
        raise UserError(f"--key-env {key_env}: that variable holds no key; type: export {key_env}=YOUR_KEY")
    return key


def _known(keys: Path | None, host: str) -> Any:
    """The keys that clients must have: those of --keys, or where others can reach the gateway the usual ones."""
    from trivium.serve.address import is_loopback
    from trivium.serve.keys import KeyFile, default_path

    if keys is None and (is_loopback(host) or not default_path().is_file()):
        return None
    path = keys or default_path()
    if not path.is_file():
        raise UserError(f"--keys {path}: there is no such file; make it with: trivium key create NAME --keys {path}")
    known = KeyFile(path)
    if not any(key.revoked is None for key in known.keys()):  # noqa: SIM118 (no mapping)
        raise UserError(f"all keys in {path} are revoked, so nobody could ask; make one with: trivium key create NAME")
    return known


def _write(folder: Path) -> dict[str, Any]:
    """Make the traces of a record, and count them."""
    from trivium.gateway.traces import STAGE, write_traces

    made = [recorded.trace for recorded in write_traces(folder)]
    answers = [node.segment for trace in made for node in trace.nodes if node.segment.source == "model"]
    return {
        "file": str(folder / f"traces-{STAGE}.jsonl"), "traces": len(made), "answers": len(answers),
        "with_ids": sum(bool(segment.ids) for segment in answers), "scored": sum(t.verdict is not None for t in made),
    }  # fmt: skip


def _said(counted: Mapping[str, Any]) -> str:
    return (
        f"{counted['traces']} traces with {counted['answers']} answers ({counted['with_ids']} with token ids), "
        f"{counted['scored']} scored: {counted['file']}"
    )
