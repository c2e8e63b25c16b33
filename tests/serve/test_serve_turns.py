"""Turns end once, for one reason; a server that stops finishes what it can and says so to the rest."""

from __future__ import annotations

import asyncio

import pytest
from served import ASKED, Drip, serving, with_http

from trivium.policies.scripted import Scripted, endless, sums
from trivium.serve.errors import ApiError
from trivium.serve.turns import Stopped, Turns


def test_a_turn_ends_by_time_or_by_hand():
    async def go():
        turns = Turns(2, 0.01)
        with turns.turn() as turn:
            with pytest.raises(Stopped) as caught:
                async with turn.clock():
                    await asyncio.sleep(10)
            assert caught.value.reason == "time"
            assert caught.value.error.status == 504
        turns = Turns(2, 10)
        with turns.turn() as turn:
            asyncio.get_running_loop().call_later(0.01, turn.stop, "gone")
            with pytest.raises(Stopped) as caught:
                async with turn.clock():
                    await asyncio.sleep(10)
            assert caught.value.reason == "gone"
            with pytest.raises(Stopped):
                async with turn.clock():
                    raise AssertionError("a stopped turn does not go on")
        assert len(turns) == 0

    asyncio.run(go())


def test_another_timeout_is_not_taken_for_the_turns():
    async def go():
        with Turns(1, 10).turn() as turn:
            async with turn.clock():
                raise TimeoutError("of something else")

    with pytest.raises(TimeoutError, match="of something else"):
        asyncio.run(go())


def test_a_stopping_server_finishes_what_it_can():
    gate = asyncio.Event()

    class Held(Drip):
        async def sample(self, request):
            await gate.wait()
            return await Scripted.sample(self, request)

    server = serving(Held(sums()))

    async def act(http):
        ask = {"model": "demo", "messages": ASKED}
        running = asyncio.create_task(http.post("/v1/chat/completions", json=ask))
        await asyncio.sleep(0.01)
        finishing = asyncio.create_task(server.turns.finish(5.0))
        await asyncio.sleep(0)
        late, health = await http.post("/v1/chat/completions", json=ask), await http.get("/healthz")
        gate.set()
        await finishing
        return await running, late, health

    running, late, health = with_http(server, act)
    assert [running.status_code, late.status_code, health.status_code] == [200, 503, 503]
    assert late.json()["error"]["code"] == "server_stopping"
    assert health.json() == {"status": "stopping"}


def test_what_does_not_finish_in_time_ends_with_an_error():
    policy = Drip(endless)
    server = serving(policy)

    class Held(Drip):
        async def sample(self, request):
            await asyncio.sleep(60)
            raise AssertionError

    server.models = type(server.models)({"demo": policy, "held": Held(sums())})

    async def act(http):
        ask = {"messages": ASKED, "max_tokens": 20_000}
        whole = asyncio.create_task(http.post("/v1/chat/completions", json=ask | {"model": "held"}))
        stream = asyncio.create_task(http.post("/v1/chat/completions", json=ask | {"model": "demo", "stream": True}))
        await asyncio.sleep(0.02)
        await server.turns.finish(0.0)
        return await whole, await stream

    whole, stream = with_http(server, act)
    assert whole.status_code == 503
    assert '"code":"server_stopping"' in stream.text.rpartition("data: ")[2]
    assert policy.open == [0]


def test_too_many_turns_are_refused():
    async def go():
        turns = Turns(1, 10)
        with turns.turn(), pytest.raises(ApiError, match="1 requests are under way"), turns.turn():
            raise AssertionError

    asyncio.run(go())
