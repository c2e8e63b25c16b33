"""The server on a real socket: many clients at once, a stop in the middle, and the command as a user runs it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx
import openai
import pytest
from commands import TRIVIUM
from served import ASKED, SOLVED, Drip, serving

from trivium.errors import UserError
from trivium.policies.scripted import endless, sums
from trivium.serve.address import bound
from trivium.serve.app import Server
from trivium.serve.keys import KeyFile
from trivium.serve.listen import prepare

LOOPBACK = pytest.mark.enable_socket


async def listening(server: Server, grace: float = 5.0):
    """The running server, its task and its address."""
    address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    listener = prepare(server, "127.0.0.1", 0, grace, address.set_result)
    task = asyncio.create_task(listener.serve())
    return listener, task, await address


@LOOPBACK
def test_many_clients_stream_at_once():
    policy = Drip(sums())
    server = serving(policy)

    async def one(client):
        ask = {"model": "demo", "messages": ASKED, "stream": True}
        return "".join([c.choices[0].delta.content or "" async for c in await client.chat.completions.create(**ask)])

    async def go():
        listener, task, address = await listening(server)
        async with openai.AsyncOpenAI(base_url=address, api_key="none", max_retries=0) as client:
            said = await asyncio.gather(*(one(client) for _ in range(40)))
        listener.should_exit = True
        await task
        return said

    assert set(asyncio.run(go())) == {SOLVED}
    assert policy.open == [0]


@LOOPBACK
def test_a_client_that_hangs_up_frees_what_it_had():
    policy = Drip(endless)
    server = serving(policy)

    async def go():
        listener, task, address = await listening(server)
        ask = {"model": "demo", "messages": ASKED, "stream": True, "max_tokens": 20_000}
        async with (
            httpx.AsyncClient(timeout=5) as client,
            client.stream("POST", f"{address}/chat/completions", json=ask) as reply,
        ):
            await anext(reply.aiter_bytes())
        opened = await policy.freed()
        listener.should_exit = True
        await task
        return opened

    assert asyncio.run(go()) == 0


@LOOPBACK
def test_a_stop_gives_streams_their_time_and_then_an_error():
    server = serving(endless)

    async def go():
        listener, task, address = await listening(server, grace=0.1)
        async with openai.AsyncOpenAI(base_url=address, api_key="none", max_retries=0) as client:
            ask = {"model": "demo", "messages": ASKED, "stream": True, "max_tokens": 20_000}
            stream = await client.chat.completions.create(**ask)
            chunks = 0

            async def read():
                nonlocal chunks
                async for _ in stream:
                    chunks += 1
                    listener.should_exit = True

            with pytest.raises(openai.APIError) as caught:
                await read()
            await task
            with pytest.raises(openai.APIConnectionError):
                await client.models.list()
        return chunks, caught.value.code

    chunks, code = asyncio.run(go())
    assert chunks > 10
    assert code == "server_stopping"


@LOOPBACK
def test_small_answers_do_not_wait_for_acknowledgements():
    """asyncio switches Nagle's algorithm off where a socket says that it is TCP."""

    async def go():
        accepted: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def connected(reader, writer):
            sock = writer.get_extra_info("socket")
            accepted.set_result(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        with bound("127.0.0.1", 0) as listening:
            async with await asyncio.start_server(connected, sock=listening):
                _, writer = await asyncio.open_connection(*listening.getsockname())
                writer.close()
                return await accepted

    assert asyncio.run(go()) == 1


@LOOPBACK
def test_a_port_that_is_taken_is_one_message():
    with bound("127.0.0.1", 0) as first:
        first.listen()
        with pytest.raises(UserError, match="choose another with --host and --port"):
            bound("127.0.0.1", first.getsockname()[1])


def test_others_may_only_ask_with_a_key(tmp_path: Path):
    with pytest.raises(UserError, match="trivium key create NAME"):
        prepare(serving(), "0.0.0.0", 0, 1.0, print)
    file = KeyFile(tmp_path / "keys.json")
    file.create("ann")
    prepare(serving(keys=file), "0.0.0.0", 0, 1.0, print)


@LOOPBACK
def test_the_command_serves_until_it_is_told_to_stop(tmp_path: Path):
    line = [*TRIVIUM, "serve", "--policy", "slow=scripted:sums,delay=3", "--port", "0", "--method", "vote:n=3"]
    settings = os.environ | {"XDG_CONFIG_HOME": str(tmp_path)}
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=settings) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        address = process.stdout.readline().split()[2]
        names = [process.stdout.readline().strip() for _ in range(2)]

        async def ask():
            async with httpx.AsyncClient(timeout=20) as client:
                body = {"model": "slow+vote:n=3", "messages": ASKED, "seed": 6}  # which waits 2.9 s of the 3
                asking = asyncio.create_task(client.post(f"{address}/chat/completions", json=body))
                numbers = f"{address.removesuffix('/v1')}/metrics"
                while "trivium_requests_running 1.0" not in (await client.get(numbers)).text:
                    assert not asking.done(), "it was answered before it was seen under way: the delay is too short"
                process.send_signal(signal.SIGINT)
                return await asking

        said = asyncio.run(ask())
        began = time.monotonic()
        code = process.wait(timeout=20)
        assert time.monotonic() - began < 10
        assert said.json()["choices"][0]["answer"] == "93", "what was under way is finished"
        assert names == ["slow", "slow+vote:n=3"]
        assert process.stderr.read() == ""
        assert code == 0, "Ctrl-C is how it is meant to end"
