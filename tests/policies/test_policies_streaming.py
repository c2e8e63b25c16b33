"""A streaming policy tells what the same policy would have said, and who stops listening leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from dataclasses import fields

import pytest
from tiny_models import EOS, local

from trivium.errors import ContextFull, Unsupported, UserError
from trivium.policies.json_guide import State, follow
from trivium.policies.pieces import Streams
from trivium.policies.scripted import Scripted, rambling
from trivium.policies.streaming import StreamingPolicy, streaming
from trivium.types import Message, Policy, Request, Sampling


def ask(text: str = "hi", **changes) -> Request:
    n, seed = changes.pop("n", 1), changes.pop("seed", 0)
    return Request((Message("user", text),), Sampling(**{"max_tokens": 8, **changes}), n, seed)


def made(**options) -> StreamingPolicy:
    policy = streaming(local(**options))
    assert isinstance(policy, StreamingPolicy)
    return policy


async def heard(policy: StreamingPolicy, request: Request, **options) -> list[list]:
    """The pieces of each sample."""
    found: list[list] = [[] for _ in range(request.n)]
    async with aclosing(policy.stream(request, **options)) as steps:
        async for pieces in steps:
            for piece in pieces:
                found[piece.index].append(piece)
    return found


def test_only_weights_that_are_here_stream():
    assert isinstance(made(), Policy)
    assert isinstance(made(), Streams)
    other = Scripted(rambling)
    assert streaming(other) is other
    assert not isinstance(other, Streams)
    policy = local(max_rows=5)
    wrapped = streaming(policy)
    assert all(getattr(wrapped, f.name) is getattr(policy, f.name) for f in fields(policy) if f.init)
    assert streaming(wrapped) is wrapped


@pytest.mark.parametrize("stop", [(), ("e", "o "), ("\ufffd",)])
def test_streams_say_what_samples_say(stop):
    policy, request = made(), ask(n=3, seed=4, max_tokens=40, stop=stop)
    whole = asyncio.run(local().sample(request))
    for pieces, expected in zip(asyncio.run(heard(policy, request)), whole, strict=True):
        *before, last = pieces
        assert last.completion is not None
        assert last.completion.segment.ids == expected.segment.ids
        assert (last.completion.text, last.completion.finish) == (expected.text, expected.finish)
        assert last.completion.usage.sampled_tokens == expected.usage.sampled_tokens == last.drawn
        assert all(piece.completion is None for piece in before)
        text = "".join(piece.text for piece in pieces)
        assert text == expected.text.removesuffix(next((s for s in stop if expected.text.endswith(s)), ""))
        ids = tuple(i for piece in pieces for i in piece.ids)
        assert ids == expected.segment.ids[: len(ids)]
        assert len(ids) == sum(len(piece.logprobs) for piece in pieces)


def test_a_token_is_told_in_the_step_that_drew_it():
    policy = made()

    async def go():
        steps = []
        async with aclosing(policy.stream(ask(max_tokens=6, temperature=0.0))) as stream:
            async for [piece] in stream:
                steps.append((policy.engine.counters.steps, piece.drawn))
        return steps

    assert asyncio.run(go()) == [(n, n) for n in range(1, 7)]


def test_listeners_share_the_batch_with_all_others():
    policy = made()

    async def go():
        return await asyncio.gather(
            heard(policy, ask("a", seed=1)), policy.sample(ask("b", seed=2, n=2)), heard(policy, ask("c", n=2))
        )

    asyncio.run(go())
    assert policy.engine.counters.steps < 2 * 8
    assert not policy.engine.busy


def test_who_stops_listening_frees_the_rows():
    policy = made()

    async def go():
        other = asyncio.create_task(policy.sample(ask("other", seed=3)))
        async with aclosing(policy.stream(ask("long", max_tokens=100, n=3))) as stream:
            await anext(stream)
            assert len(policy.engine.rows) == 4
        assert len(policy.engine.rows) == 1, "the rows are free when the generator is closed"
        return await other

    [left] = asyncio.run(go())
    assert left.segment.ids == asyncio.run(local().sample(ask("other", seed=3)))[0].segment.ids
    assert not policy.engine.busy
    assert policy.engine.cache.used == 0


def test_tokens_are_counted_also_of_a_call_that_is_broken_off():
    policy, drawn = made(), []

    async def go():
        whole = await policy.count(ask(n=2, seed=1), lambda: drawn.append(1))
        assert len(drawn) == sum(c.usage.sampled_tokens for c in whole) == 16
        call = asyncio.create_task(policy.count(ask(max_tokens=100), lambda: drawn.append(1)))
        while len(drawn) < 19:
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        return whole, await policy.sample(ask(n=2, seed=1))

    counted, plain = asyncio.run(go())
    assert [c.segment.ids for c in counted] == [c.segment.ids for c in plain]
    assert len(drawn) == 19
    assert not policy.engine.busy


def test_a_reader_that_is_cancelled_before_the_first_token_leaves_nothing():
    policy = made()

    async def go():
        reading = asyncio.create_task(heard(policy, ask("long", max_tokens=100)))
        for _ in range(2):
            await asyncio.sleep(0)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await asyncio.sleep(0)

    asyncio.run(go())
    assert not policy.engine.busy


def test_a_slow_reader_gets_longer_pieces_and_misses_nothing():
    policy = made()

    async def go():
        async with aclosing(policy.stream(ask(max_tokens=30, temperature=0.0))) as stream:
            first = await anext(stream)
            while policy.engine.busy:
                await asyncio.sleep(0)
            rest = [pieces async for pieces in stream]
        return [first, *rest]

    steps = asyncio.run(go())
    assert len(steps) == 2
    assert steps[-1][0].completion is not None


def test_errors_come_out_of_the_stream():
    policy = made()
    with pytest.raises(ContextFull):
        asyncio.run(heard(policy, ask("x" * 200)))
    policy.engine.queue.clear()

    def broken():
        raise MemoryError("no memory")

    policy.engine._model = broken
    with pytest.raises(MemoryError):
        asyncio.run(heard(policy, ask()))
    assert not policy.engine.busy


def test_samples_held_to_json_run_in_one_batch_with_free_ones():
    policy = made()

    async def go():
        as_json = policy.count(ask("j", n=6, seed=7, max_tokens=90), lambda: None, as_json=True)
        pieces = heard(policy, ask("j", n=6, seed=7, max_tokens=90), as_json=True)
        return await asyncio.gather(as_json, policy.sample(ask("free", n=2, seed=3)), pieces)

    held, free, streamed = asyncio.run(go())
    assert policy.engine.counters.steps <= 90, "all in the same steps"
    assert [c.segment.ids for c in free] == [
        c.segment.ids for c in asyncio.run(local().sample(ask("free", n=2, seed=3)))
    ]
    for completion, pieces in zip(held, streamed, strict=True):
        state = follow(State(), completion.text)
        assert state is not None, completion.text
        assert state.done == (completion.finish == "stop")
        if state.done:
            assert isinstance(json.loads(completion.text), dict)
        assert "".join(piece.text for piece in pieces) == completion.text
    scores = asyncio.run(policy.score(ask("j"), [c.segment for c in held]))
    for completion, score in zip(held, scores, strict=True):
        assert score == pytest.approx(completion.segment.logprobs, abs=1e-3), "log-probs are the model's own"
    assert not policy.engine.busy


def test_json_needs_a_token_that_ends():
    policy = made()
    policy.tokenizer.eos_token = policy.config.eos_token_id = None
    try:
        with pytest.raises(Unsupported, match="no token that ends"):
            asyncio.run(policy.count(ask(), lambda: None, as_json=True))
    finally:
        policy.config.eos_token_id = EOS


def test_raw_text_has_no_template():
    policy = made()
    prefix = policy.raw("ab")
    [c] = asyncio.run(policy.sample(Request((), Sampling(max_tokens=4), prefix=(prefix,))))
    assert c.prompt.ids == tuple(policy.tokenizer.encode("ab"))
    assert policy.raw(prefix.ids).ids == prefix.ids
    assert policy.raw(prefix.ids).text == "ab"
    with pytest.raises(UserError, match="token ids that llama does not know"):
        policy.raw([3, 10**6])
    with pytest.raises(UserError, match="prompt is empty"):
        asyncio.run(policy.sample(Request((), Sampling(), prefix=(policy.raw(""),))))
