"""Streams through the official client: the same answer in pieces, progress of methods, and ends of every kind."""

from __future__ import annotations

import asyncio
import json

import openai
import pytest
from served import ASKED, SOLVED, Drip, serving, with_client, with_http

from trivium.policies.scripted import Scripted, endless, rambling, sums

WITH_USAGE = {"stream": True, "stream_options": {"include_usage": True}}


def events(text: str) -> list[dict]:
    """The data of all events but the closing one."""
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def test_pieces_are_the_whole_answer():
    async def act(client):
        ask = {"model": "demo", "messages": ASKED, "seed": 3, "n": 2, "stop": "Answer"}
        whole = await client.chat.completions.create(**ask)
        chunks = [chunk async for chunk in await client.chat.completions.create(**ask, **WITH_USAGE)]
        return whole, chunks

    whole, [*chunks, last] = with_client(serving(), act)
    assert last.choices == []
    assert last.usage == whole.usage
    for choice in whole.choices:
        mine = [c.choices[0] for c in chunks if c.choices[0].index == choice.index]
        assert "".join(c.delta.content or "" for c in mine) == choice.message.content == SOLVED.partition("Answer")[0]
        assert [c.delta.role for c in mine if c.delta.role] == ["assistant"]
        assert [c.finish_reason for c in mine if c.finish_reason] == [choice.finish_reason]
        assert len(mine) > 20, "tokens come one by one"
    assert len({chunk.id for chunk in chunks}) == 1


def test_log_probs_come_with_their_text():
    async def act(client):
        ask = {"model": "demo", "messages": ASKED, "logprobs": True, "stop": "="}
        whole = await client.chat.completions.create(**ask)
        return whole, [c.choices[0] async for c in await client.chat.completions.create(**ask, stream=True)]

    whole, chunks = with_client(serving(), act)
    tokens = [token for c in chunks if c.logprobs for token in c.logprobs.content]
    assert tokens == whole.choices[0].logprobs.content
    for c in chunks:
        if c.logprobs:
            assert c.delta.content == "".join(token.token for token in c.logprobs.content)


def test_several_prompts_stream_side_by_side():
    async def act(client):
        ask = {"model": "demo", "prompt": ["one", "two", "three"], "seed": 4, "n": 2, "logprobs": 0}
        whole = await client.completions.create(**ask)
        return whole, [c async for c in await client.completions.create(**ask, **WITH_USAGE)]

    whole, [*chunks, last] = with_client(serving(rambling), act)
    assert last.usage == whole.usage
    for choice in whole.choices:
        mine = [c.choices[0] for c in chunks if c.choices[0].index == choice.index]
        assert "".join(c.text for c in mine) == choice.text
        assert [offset for c in mine if c.logprobs for offset in c.logprobs.text_offset] == choice.logprobs.text_offset
        assert mine[-1].finish_reason == choice.finish_reason


def test_a_policy_that_cannot_stream_sends_its_samples_whole():
    async def act(client):
        return [c async for c in await client.chat.completions.create(model="demo", messages=ASKED, stream=True)]

    chunks = with_client(serving(Scripted(sums())), act)
    assert [c.choices[0].delta.content for c in chunks] == [SOLVED, None]


def test_a_method_tells_how_far_it_is_and_then_its_answer(monkeypatch):
    monkeypatch.setattr("trivium.serve.stream.PROGRESS_SECONDS", 0.01)
    gate, before = asyncio.Event(), []

    async def act(client):
        ask = {"model": "demo+vote:n=4", "messages": ASKED, "seed": 1, **WITH_USAGE}
        chunks = []
        async for chunk in await client.chat.completions.create(**ask):
            chunks.append(chunk)
            if len(chunks) == 3:
                gate.set()
                before.append(chunk.progress["sampled_tokens"])
        return chunks

    [*chunks, finish, last] = with_client(serving(Drip(sums(), gate=gate)), act)
    progress = [c.progress["sampled_tokens"] for c in chunks if "progress" in (c.model_extra or {})]
    assert progress == sorted(progress)
    assert before == [0]
    assert progress[-1] == 4 * (len(SOLVED) + 1) == last.usage.completion_tokens
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == SOLVED
    assert finish.choices[0].finish_reason == "stop"
    assert finish.choices[0].answer == "93"
    assert last.usage.completion_tokens_details.reasoning_tokens == 3 * (len(SOLVED) + 1)


@pytest.mark.parametrize("model", ["demo", "demo+vote:n=4"])
def test_who_closes_a_stream_ends_it_and_pays_for_what_was_drawn(model, monkeypatch):
    monkeypatch.setattr("trivium.serve.stream.PROGRESS_SECONDS", 0.001)
    policy = Drip(endless)
    server = serving(policy)

    async def act(client):
        ask = {"model": model, "messages": ASKED, "stream": True, "max_tokens": 20_000}
        async with await client.chat.completions.create(**ask) as stream:
            await anext(aiter(stream))
        for _ in range(20):
            await asyncio.sleep(0)
        assert policy.open == [0]

    with_client(server, act)
    series = server.metrics.text().decode()
    assert 'trivium_requests_total{route="/v1/chat/completions",status="499"} 1.0' in series
    spent = {line.split('"')[1]: float(line.split()[-1]) for line in series.splitlines()
             if line.startswith("trivium_tokens_total{")}  # fmt: skip
    assert 0 < spent["sampled"] < 20_000, "what was drawn, not what was allowed"
    assert spent["prompt"] == len("user: What is 41 + 87 - 35?\nassistant: ")


def test_what_is_wrong_from_the_start_has_a_status():
    async def act(client):
        found = []
        for model, options in (("demo", {"top_p": 0.5}), ("demo+act", {})):
            with pytest.raises(openai.BadRequestError) as caught:
                await client.chat.completions.create(model=model, messages=ASKED, stream=True, **options)
            found.append(caught.value.param)
        return found

    assert with_client(serving(), act) == ["top_p", "model"]


def test_what_goes_wrong_later_is_an_event():
    class Breaking(Drip):
        async def stream(self, request, as_json=False):
            async for pieces in Drip.stream(self, request):
                yield pieces
                if pieces[0].drawn == 5:
                    raise RuntimeError("secret")

    async def act(client):
        said = ""

        async def read():
            nonlocal said
            async for chunk in await client.chat.completions.create(model="demo", messages=ASKED, stream=True):
                said += chunk.choices[0].delta.content

        with pytest.raises(openai.APIError, match="the server's log says why") as caught:
            await read()
        return said, caught.value.code

    assert with_client(serving(Breaking(sums())), act) == (SOLVED[:5], "failed")


def test_time_ends_a_stream_with_an_event():
    async def act(http):
        ask = {"model": "demo", "messages": ASKED, "stream": True, "max_tokens": 20_000}
        return (await http.post("/v1/chat/completions", json=ask)).text

    text = with_http(serving(endless, seconds=0.4), act)
    last = json.loads(text.strip().rpartition("data: ")[2])
    assert last["error"]["code"] == "timeout"
    pieces = [json.loads(line[6:]) for line in text.split("\n\n") if line][:-1]
    assert "and so on"[: len(pieces)] == "".join(e["choices"][0]["delta"]["content"] for e in pieces[:9])


def test_events_are_what_the_protocol_says():
    async def act(http):
        reply = await http.post("/v1/chat/completions", json={"model": "demo", "messages": ASKED, "stream": True})
        return reply.headers["content-type"], reply.text

    kind, text = with_http(serving(), act)
    assert kind.startswith("text/event-stream")
    for data in events(text):
        assert data["object"] == "chat.completion.chunk"
        assert set(data) == {"id", "object", "created", "model", "system_fingerprint", "choices"}
