"""The gateway on real sockets: what it passes on, what a kill leaves, and the command as a user types it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx
import openai
import pytest
from commands import TRIVIUM
from gatewayed import Fake, gateway, traces, whole
from served import ASKED, SOLVED, Drip, serving

from trivium.cli import main as cli
from trivium.gateway.app import Gateway, build
from trivium.gateway.book import NAME, Book
from trivium.policies.scripted import endless, sums
from trivium.serve.address import bound
from trivium.serve.app import build as build_server
from trivium.serve.listen import listener
from trivium.store import Run, load_traces
from trivium.store.files import read_lines

Capture = pytest.CaptureFixture[str]
LOOPBACK = pytest.mark.enable_socket
CHAT = {"model": "demo", "messages": ASKED}


@asynccontextmanager
async def running(app, turns):
    """The address of an application that listens."""
    address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    server = listener(app, turns, "127.0.0.1", 0, 1.0, address.set_result)
    task = asyncio.create_task(server.serve())
    try:
        yield await address
    finally:
        server.should_exit = True
        await task


@asynccontextmanager
async def before(folder, upstream):
    folder.mkdir(exist_ok=True)
    made = Gateway(upstream, Book(folder))
    async with running(build(made), made.turns) as address:
        yield made, address


@LOOPBACK
def test_streams_of_many_clients_at_once_and_a_client_that_hangs_up(tmp_path):
    policy = Drip(lambda turn: endless(turn) if "forever" in turn.question else sums()(turn))
    server = serving(policy)

    async def one(client):
        stream = await client.chat.completions.create(**CHAT, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    async def go():
        async with running(build_server(server), server.turns) as upstream, before(tmp_path, upstream) as (_, address):
            async with openai.AsyncOpenAI(base_url=address, api_key="none", max_retries=0) as client:
                said = await asyncio.gather(*(one(client) for _ in range(30)))
            forever = CHAT | {
                "stream": True,
                "max_tokens": 20_000,
                "messages": [{"role": "user", "content": "forever"}],
            }
            async with (
                httpx.AsyncClient(timeout=20) as http,
                http.stream("POST", f"{address}/chat/completions", json=forever) as reply,
            ):
                await anext(reply.aiter_bytes())
            return said, await policy.freed()

    said, left_open = asyncio.run(go())
    assert set(said) == {SOLVED}
    assert left_open == 0, "who hangs up here hangs up there"
    many, cut = traces(tmp_path)
    assert len(many.nodes) == 31
    assert all(node.segment.logprobs for node in many.nodes[1:])
    assert cut.finish == "error"
    assert 0 < len(cut.nodes[1].segment.text) < 20_000


@LOOPBACK
def test_nobody_there_is_a_502(tmp_path):
    with bound("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]

    async def go():
        async with (
            before(tmp_path, f"http://127.0.0.1:{port}/v1") as (_, address),
            openai.AsyncOpenAI(base_url=address, api_key="none", max_retries=0) as client,
        ):
            with pytest.raises(openai.InternalServerError) as caught:
                await client.chat.completions.create(**CHAT)
        return caught.value

    error = asyncio.run(go())
    assert (error.status_code, error.code) == (502, "upstream_unreachable")
    assert f"http://127.0.0.1:{port}/v1 cannot be reached" in error.message


@contextmanager
def breaking(reply: bytes) -> Iterator[str]:
    """An upstream that sends this much and hangs up."""
    with bound("127.0.0.1", 0) as listening:

        def answer_one() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(reply)
                connection.shutdown(socket.SHUT_RDWR)

        answering = threading.Thread(target=answer_one)
        answering.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        answering.join()


@LOOPBACK
def test_an_upstream_that_breaks_off_breaks_off(tmp_path):
    event = b'data: {"id": "x", "model": "m", "choices": [{"index": 0, "delta": {"content": "half"}}]}\n\n'
    chunk = f"{len(event):x}\r\n".encode() + event + b"\r\n"
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"

    async def ask(upstream, folder):
        async with (
            before(folder, upstream) as (_, address),
            httpx.AsyncClient(timeout=20) as http,
            http.stream("POST", f"{address}/chat/completions", json=CHAT | {"stream": True}) as reply,
        ):
            got = b""
            try:
                async for data in reply.aiter_bytes():
                    got += data
            except httpx.RemoteProtocolError:
                return reply.status_code, got, True
            return reply.status_code, got, False

    with breaking(head + chunk) as upstream:
        assert asyncio.run(ask(upstream, tmp_path / "middle")) == (200, event, True)
    [trace] = traces(tmp_path / "middle")
    assert (trace.response, trace.finish) == ("half", "error")
    with breaking(b"") as upstream:
        status, said, _ = asyncio.run(ask(upstream, tmp_path / "start"))
    assert (status, json.loads(said)["error"]["code"]) == (502, "upstream_failed")


@LOOPBACK
@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request"])
def test_an_upstream_that_breaks_off_before_anything_was_passed_on_is_a_502(tmp_path, status):
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: 90\r\n\r\n".encode()

    async def ask(upstream):
        async with before(tmp_path, upstream) as (_, address), httpx.AsyncClient(timeout=20) as http:
            return await http.post(f"{address}/chat/completions", json=CHAT)

    with breaking(head + b'{"id": "x", "choices": [') as upstream:
        reply = asyncio.run(ask(upstream))
    assert (reply.status_code, reply.json()["error"]["code"]) == (502, "upstream_failed")
    assert f"{upstream} broke the connection off" in reply.json()["error"]["message"]


@contextmanager
def command(*line: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    full = [*TRIVIUM, *line, "--port", "0"]
    with subprocess.Popen(full, stdout=subprocess.PIPE, text=True, env=os.environ | environment) as process:
        try:
            yield process
        finally:
            process.kill()


def first_line(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    return process.stdout.readline().split()


@LOOPBACK
def test_the_command_records_and_a_kill_in_the_middle_leaves_what_was_finished(tmp_path: Path, capsys: Capture):
    out, settings = tmp_path / "runs" / "agent", {"XDG_CONFIG_HOME": str(tmp_path), "OWN_KEY": "sk-secret"}
    with command("serve", "--policy", "demo=scripted", "--policy", "slow=scripted:sums,delay=30", **settings) as server:
        upstream = first_line(server)[2]
        line = ("gateway", "--out", str(out), "--upstream", upstream, "--key-env", "OWN_KEY")
        with command(*line, **settings) as process:
            address = first_line(process)[3]

            async def ask():
                async with httpx.AsyncClient(timeout=20) as http:
                    for _ in range(3):
                        assert (await http.post(f"{address}/chat/completions", json=CHAT)).status_code == 200
                    slow = CHAT | {"model": "slow", "stream": True}
                    waiting = asyncio.create_task(http.post(f"{address}/chat/completions", json=slow))
                    await asyncio.sleep(0.3)
                    process.kill()
                    with pytest.raises(httpx.HTTPError):
                        await waiting

            asyncio.run(ask())
        assert not (out / "traces-gateway.jsonl").exists()
        with open(out / NAME, "ab") as torn:
            torn.write(b'{"kind": "exchange", "n"')

        assert cli.main(["gateway", "--traces", str(out), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["answers"] == 3
        assert cli.main(["show", str(out)]) == 0
        assert f"trivium gateway --out {out}" in capsys.readouterr().out
        (out / "traces-gateway.jsonl").unlink()

        with command("gateway", "--out", str(out), **settings) as process:
            address = first_line(process)[3]
            [(_, trace)] = load_traces(out / "traces-gateway.jsonl")  # made at the start, as the kill left none
            assert len(trace.nodes) == 4
            httpx.post(f"{address}/chat/completions", json=CHAT).raise_for_status()
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=20) == 0, "Ctrl-C is how it is meant to end"
            assert process.stdout is not None
            assert "1 traces with 4 answers (4 with token ids), 0 scored" in process.stdout.read()
    [(row, trace)] = load_traces(out / "traces-gateway.jsonl")
    assert len(trace.nodes) == 5
    assert (row["stage"], row["split"], row["question"]) == ("gateway", "train", ASKED[0]["content"])
    run = Run.open(out)
    assert (run.verb, run.settings["upstream"]) == ("gateway", upstream)
    assert "sk-secret" not in "".join(path.read_text() for path in out.rglob("*") if path.is_file())
    assert out.stat().st_mode & 0o077 == 0, "it holds what people said"


@LOOPBACK
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ([], "where is the record to be kept?"),
        (["--out", "OUT"], "say what to record: --upstream"),
        (["--out", "OUT", "--upstream", "localhost:8000"], "expected an address such as"),
        (["--out", "OUT", "--upstream", "ftp://a/v1"], "expected an address such as"),
        (["--out", "OUT", "--upstream", "http://me:pw@a/v1"], "--key-env"),
        (["--out", "OUT", "--upstream", "http://a/v1", "--key-env", "NO_SUCH_KEY"], "export NO_SUCH_KEY=YOUR_KEY"),
        (["--out", "OUT", "--upstream", "http://a/v1", "--host", "0.0.0.0"], "trivium key create NAME"),
        (["--out", "OUT", "--upstream", "http://a/v1", "--keys", "none.json"], "there is no such file"),
        (["--out", "LEARN", "--upstream", "http://a/v1"], "is a run of trivium learn"),
        (["--out", "RECORD", "--upstream", "http://b/v1"], "is a record of http://a/v1"),
        (["--out", "PLAIN", "--upstream", "http://a/v1"], "is not a run"),
        (["--traces", "OUT"], "expected the --out of a trivium gateway"),
        (["--traces", "RECORD", "--out", "OUT"], "takes a record and nothing else"),
        (["--json", "--out", "OUT"], "--json is for --traces"),
        (["--upstrem", "x"], "--upstream"),
    ],
)
def test_wrong_input_is_one_message_and_exit_code_2(line, words, tmp_path, monkeypatch, capsys: Capture):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    Run.create(tmp_path, "LEARN", {"task": "sums"}).close()
    Run.create(tmp_path, "RECORD", {"verb": "gateway", "upstream": "http://a/v1"}).close()
    (tmp_path / "PLAIN").mkdir()
    line = [str(tmp_path / word) if word.isupper() and word != "NO_SUCH_KEY" else word for word in line]
    assert cli.main(["gateway", *line, *([] if "--traces" in line else ["--port", "0"])]) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert said.err.startswith("trivium: ")
    assert not (tmp_path / "OUT").exists()


def test_what_reads_runs_by_their_verb_knows_a_record(tmp_path, capsys: Capture):
    run = Run.create(tmp_path, "agent", {"verb": "gateway", "upstream": "http://a/v1"})
    gateway(run.path, Fake(lambda _: whole())).book.close()
    for line, words in (
        (["show", "agent", "--runs", str(tmp_path)], "http://a/v1"),
        (["report", "agent", "--runs", str(tmp_path)], "trivium show"),
        (["learn", "--resume", str(run.path)], f"go on with: trivium gateway --out {run.path}"),
    ):
        cli.main(line)
        said = capsys.readouterr()
        assert words in said.out + said.err, line
        assert "bug in Trivium" not in said.err
    assert list(read_lines(run.path / NAME)) == []
