"""`trivium serve`: policies and methods behind an HTTP server that speaks OpenAI's protocol."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import typer

from trivium.cli.names import named_voices
from trivium.cli.stopped import run_until_stopped
from trivium.errors import MissingPackage, UserError

NEEDED = {"fastapi": "fastapi", "uvicorn": "uvicorn", "prometheus_client": "prometheus-client"}


def command(
    policy: list[str] = typer.Option(["smollm2"], help="SPEC or NAME=SPEC: a policy or model folder (repeatable)."),
    method: list[str] = typer.Option([], help="A method that is listed with every policy, such as vote:n=8 "
                                     "(repeatable)."),
    voice: list[str] = typer.Option([], help="NAME=POLICY: a further policy, for methods with several (repeatable)."),
    host: str = typer.Option("127.0.0.1", help="Address to listen at; any but this machine's own demands a key."),
    port: int = typer.Option(8000, min=0, max=65535, help="Port to listen at; 0 takes a free one."),
    keys: Path | None = typer.Option(None, help="File of API keys; default: where trivium key keeps them."),
    max_tokens: int = typer.Option(1024, min=1, help="Tokens of a chat completion when the request does not say."),
    answer_format: str = typer.Option("line", help="How methods read answers; see: trivium list parsers."),
    timeout: float = typer.Option(600.0, min=0.01, help="Seconds that a request may take."),
    max_requests: int = typer.Option(512, min=1, help="Requests at a time; more are told to come again."),
    max_bytes: int = typer.Option(1 << 20, min=1, help="Bytes that a request's body may have."),
    grace: float = typer.Option(30.0, min=0, help="Seconds that running requests get to finish when stopped."),
) -> None:  # fmt: skip
    """Serve policies and methods over HTTP; a model's name is POLICY or POLICY+METHOD, such as smollm2+vote:n=8."""
    absent = [package for module, package in NEEDED.items() if importlib.util.find_spec(module) is None]
    if absent:
        raise MissingPackage("trivium serve", absent[0], "pip install 'trivium[serve]'")

    from trivium.serve.address import bound
    from trivium.serve.app import Server
    from trivium.serve.asked import Defaults
    from trivium.serve.keys import KeyFile, default_path
    from trivium.serve.listen import check_reach, prepare
    from trivium.serve.models import load

    path = keys or default_path()
    if keys is not None and not keys.is_file():
        raise UserError(f"--keys {keys}: there is no such file; make it with: trivium key create NAME --keys {keys}")
    known = KeyFile(path) if path.is_file() else None
    if known is not None and not any(key.revoked is None for key in known.keys()):  # noqa: SIM118 (no mapping)
        raise UserError(f"all keys in {path} are revoked, so nobody could ask; make one with: trivium key create NAME")
    check_reach(host, known)
    with bound(host, port) as socket:  # before models are loaded, which takes long
        models = load(policy, method, dict(named_voices(voice)))
        spent = path.with_name("spent.json") if known else None
        server = Server(models, Defaults(max_tokens, answer_format), known, spent, max_bytes, max_requests, timeout)

        def ready(address: str) -> None:
            print(f"serving at {address} ({'with' if known else 'without'} API keys; Ctrl-C stops)")
            for served in models.listed():
                print(f"  {served.name}", flush=True)

        run_until_stopped(prepare(server, host, port, grace, ready), socket)
