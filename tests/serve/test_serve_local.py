"""Weights that are here, over HTTP: the samples of offline, in one batch, and rows that are free when nobody waits."""

from __future__ import annotations

import asyncio

from served import serving, with_client, with_http
from tiny_models import local

from trivium.policies.json_guide import State, follow
from trivium.policies.streaming import streaming
from trivium.search import method
from trivium.search.driver import solve
from trivium.types import Message, Problem, Question, Request, Sampling

ASKED = [{"role": "user", "content": "hi"}]
CHAT = {"model": "demo", "messages": ASKED, "max_tokens": 12, "seed": 5}


def test_what_is_sampled_is_what_was_sampled_offline():
    async def act(client):
        whole = await client.chat.completions.create(**CHAT, n=3, logprobs=True)
        chunks = [c async for c in await client.chat.completions.create(**CHAT, n=3, stream=True)]
        voted = await client.chat.completions.create(**CHAT | {"model": "demo+vote:n=4"})
        return whole, chunks, voted

    whole, chunks, voted = with_client(serving(streaming(local())), act)
    messages = (Message("user", "hi"),)
    offline = asyncio.run(local().sample(Request(messages, Sampling(max_tokens=12), 3, 5)))
    for choice, completion in zip(whole.choices, offline, strict=True):
        assert choice.message.content == completion.text
        assert len(choice.logprobs.content) in (12, len(completion.segment.ids) - 1)
        mine = [c.choices[0].delta.content or "" for c in chunks if c.choices[0].index == choice.index]
        assert "".join(mine) == completion.text
    question = Question("choice-0", messages, "line")
    [trace] = solve(
        method("vote:n=4"), [Problem(question, None, "", "k", "test", "")], local(), seed=5,
        sampling=Sampling(max_tokens=12),
    )  # fmt: skip
    assert voted.choices[0].message.content == trace.response
    assert voted.usage.completion_tokens == trace.usage.sampled_tokens


def test_clients_share_the_batch_and_those_who_leave_free_their_rows():
    policy = streaming(local())

    async def act(http):
        async def leave(body):
            async with http.stream("POST", "/v1/chat/completions", json=body) as reply:
                await anext(reply.aiter_bytes())

        stays = CHAT | {"max_tokens": 40}
        leaves = CHAT | {"stream": True, "max_tokens": 100, "n": 2}
        replies = await asyncio.gather(
            http.post("/v1/chat/completions", json=stays), http.post("/v1/chat/completions", json=stays | {"seed": 6}),
            leave(leaves), leave(leaves | {"seed": 7}),
        )  # fmt: skip
        return [reply for reply in replies if reply is not None]

    replies = with_http(serving(policy), act)
    assert all(reply.status_code == 200 for reply in replies)
    assert policy.engine.counters.steps < 2 * 40, "one batch, not one after the other"
    assert policy.engine.counters.sampled < 4 * 40, "who left was not sampled for any longer"
    assert not policy.engine.busy
    assert policy.engine.cache.used == 0


def test_json_is_json_and_raw_text_is_raw():
    async def act(client):
        ask = CHAT | {"messages": [{"role": "user", "content": "json, please"}], "max_tokens": 60, "n": 4}
        held = await client.chat.completions.create(**ask, response_format={"type": "json_object"})
        raw = await client.completions.create(model="demo", prompt=[[40, 41, 42], [43, 44]], max_tokens=4, seed=1)
        return held, raw

    policy = streaming(local())
    held, raw = with_client(serving(policy), act)
    for choice in held.choices:
        state = follow(State(), choice.message.content)
        assert state is not None
        assert state.done or choice.finish_reason == "length", "an object that is not closed was cut off"
    assert raw.usage.prompt_tokens == 5
    assert len(raw.choices) == 2
