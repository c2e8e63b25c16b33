"""Token ids over HTTP: what was sampled, whole and in streams, and never of what has none to tell."""

from __future__ import annotations

import asyncio
import json

import openai
import pytest
from served import ASKED, SOLVED, Drip, refusal, serving, with_client, with_http
from tiny_models import local

from trivium.policies.scripted import END, Scripted, rambling, sums
from trivium.policies.streaming import streaming
from trivium.types import Message, Request, Sampling

IDS = {"return_token_ids": True}
CHAT = {"model": "demo", "messages": ASKED, "seed": 3}
PROMPT = list(b"user: What is 41 + 87 - 35?\nassistant: ")


def joined(chunks, index=0):
    """All ids and log-probs that the events of a choice told."""
    mine = [choice for chunk in chunks for choice in chunk.choices if choice.index == index]
    fields = [[x for choice in mine for x in getattr(choice, name, None) or []] for name in
              ("token_ids", "token_logprobs")]  # fmt: skip
    return fields[0], fields[1]


def test_a_chat_tells_the_ids_of_its_prompt_and_of_all_that_was_sampled():
    async def act(client):
        whole = await client.chat.completions.create(**CHAT, n=2, extra_body=IDS)
        chunks = [c async for c in await client.chat.completions.create(**CHAT, n=2, stream=True, extra_body=IDS)]
        return whole, chunks

    whole, chunks = with_client(serving(), act)
    assert whole.prompt_token_ids == PROMPT
    assert [chunk.prompt_token_ids for chunk in chunks if hasattr(chunk, "prompt_token_ids")] == [PROMPT]
    assert hasattr(chunks[0], "prompt_token_ids")
    for choice in whole.choices:
        assert choice.token_ids == [*SOLVED.encode(), END]
        assert len(choice.token_logprobs) == len(choice.token_ids)
        assert joined(chunks, choice.index) == (choice.token_ids, choice.token_logprobs)


@pytest.mark.parametrize("stop", [None, "Answer", "128\n"])
@pytest.mark.parametrize("policy", [Drip, Scripted])
def test_events_are_the_same_but_for_the_ids(stop, policy):
    async def act(http):
        body = CHAT | {"stream": True, "stop": stop, "max_tokens": 20}
        return [(await http.post("/v1/chat/completions", json=b)).text for b in (body, body | IDS)]

    def told(text):
        events = [json.loads(e.removeprefix("data: ")) for e in text.split("\n\n") if e and "[DONE]" not in e]
        kept = ("choices", "object", "model")
        ours = ("token_ids", "token_logprobs")
        return [
            {k: [{n: v for n, v in c.items() if n not in ours} for c in e[k]] if k == "choices" else e[k] for k in kept}
            for e in events
        ]

    plain, with_ids = with_http(serving(policy(sums())), act)
    assert told(plain) == told(with_ids)
    assert "token_ids" not in plain
    assert "token_ids" in with_ids


def test_a_completion_tells_them_with_each_choice():
    async def act(client):
        ask = {"model": "demo", "prompt": ["one", "two"], "seed": 4, "n": 2, "extra_body": IDS}
        whole = await client.completions.create(**ask)
        return whole, [c async for c in await client.completions.create(**ask, stream=True)]

    whole, chunks = with_client(serving(rambling), act)
    assert len(whole.choices) == 4
    for choice in whole.choices:
        assert bytes(choice.prompt_token_ids).endswith(b"one" if choice.index < 2 else b"two")
        assert bytes(i for i in choice.token_ids if i != END).decode() == choice.text
        assert joined(chunks, choice.index) == (choice.token_ids, choice.token_logprobs)
        mine = [c for chunk in chunks for c in chunk.choices if c.index == choice.index]
        told = [c.prompt_token_ids for c in mine if hasattr(c, "prompt_token_ids")]
        assert told == [choice.prompt_token_ids]


def test_they_are_those_of_offline():
    async def act(client):
        ask = {"model": "demo", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 12, "seed": 5, "n": 3}
        whole = await client.chat.completions.create(**ask, extra_body=IDS)
        return whole, [c async for c in await client.chat.completions.create(**ask, stream=True, extra_body=IDS)]

    whole, chunks = with_client(serving(streaming(local())), act)
    offline = asyncio.run(local().sample(Request((Message("user", "hi"),), Sampling(max_tokens=12), 3, 5)))
    assert whole.prompt_token_ids == list(offline[0].prompt.ids)
    for choice, completion in zip(whole.choices, offline, strict=True):
        assert tuple(choice.token_ids) == completion.segment.ids
        assert choice.token_logprobs == pytest.approx(completion.segment.logprobs)
        assert joined(chunks, choice.index) == (choice.token_ids, choice.token_logprobs)


class Mute(Drip):
    """Tells no ids, as an endpoint does not."""

    capabilities = frozenset({"logprobs", "seed"})


@pytest.mark.parametrize(("model", "policy"), [("demo+vote:n=4", None), ("demo", Mute(sums()))])
def test_what_has_none_to_tell_refuses(model, policy):
    async def act(client):
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(**CHAT | {"model": model}, extra_body=IDS)
        return refusal(caught.value)

    assert with_client(serving(policy), act) == (400, "return_token_ids")
