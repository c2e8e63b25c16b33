"""`LocalPolicy` keeps the contract of policies: one batch for all who wait, no trace of those who left."""

from __future__ import annotations

import asyncio
import json

import pytest
import torch
from tiny_models import CONTEXT, EOS, hf_model, local

from trivium.errors import RunError, UserError
from trivium.policies.folder import load
from trivium.policies.local import LocalPolicy
from trivium.types import Message, Policy, Request, Sampling, Segment, Usage


def ask(text: str = "hi", **changes) -> Request:
    n, seed, prefix = changes.pop("n", 1), changes.pop("seed", 0), changes.pop("prefix", ())
    return Request((Message("user", text),), Sampling(**{"max_tokens": 8, **changes}), n, seed, prefix)


def sample(policy, *requests):
    async def go():
        return await asyncio.gather(*(policy.sample(r) for r in requests))

    return asyncio.run(go())


def test_it_is_a_policy():
    policy = local()
    assert isinstance(policy, Policy)
    assert policy.capabilities >= {"weights", "score", "seed", "prefix"}
    assert policy.version == "llama@0"


def test_concurrent_requests_share_one_batch():
    policy = local()
    requests = [ask(f"question {i}", n=2, seed=i) for i in range(5)]
    together = sample(policy, *requests)
    assert policy.engine.counters.steps < 2 * 8, "five requests took the steps of one"
    one_by_one = [sample(policy, r)[0] for r in requests]
    assert [[c.segment.ids for c in cs] for cs in together] == [[c.segment.ids for c in cs] for cs in one_by_one]


def test_a_finished_method_joins_the_running_batch():
    policy = local()

    async def go():
        async def chain():
            (first,) = await policy.sample(ask("a", max_tokens=2))
            await asyncio.sleep(0)
            return await policy.sample(ask("b", max_tokens=2, prefix=(first.segment,)))

        await asyncio.gather(chain(), policy.sample(ask("long", max_tokens=12)))

    asyncio.run(go())
    assert policy.engine.counters.steps == 12, "the two short samples ran inside the steps of the long one"


def test_usage_charges_the_prompt_once():
    policy = local()
    (completions,) = sample(policy, ask(n=3))
    prompt = len(policy.encode((Message("user", "hi"),)))
    assert [c.usage for c in completions] == [
        Usage(prompt if i == 0 else 0, 0, len(c.segment.ids), int(i == 0)) for i, c in enumerate(completions)
    ]
    assert {c.prompt.ids for c in completions} == {policy.encode((Message("user", "hi"),))}


def test_no_more_is_cached_than_was_asked():
    """A group that does not fit into the batch at once is admitted in parts, and its prompt is charged once."""
    policy = local()
    policy.engine.max_rows = 3

    async def go():
        groups = [await policy.sample(ask(n=8)) for _ in range(3)]
        return groups + await asyncio.gather(policy.sample(ask(n=1)), policy.sample(ask(n=2)))

    used = [sum((c.usage for c in group), Usage()) for group in asyncio.run(go())]
    prompt = len(policy.encode((Message("user", "hi"),)))
    assert [usage.prompt_tokens for usage in used] == [prompt] * 5
    assert [usage.cached_tokens for usage in used[:3]] == [0, prompt - 1, prompt - 1]
    # Of two equal prompts that join at once, the second is not read at all.
    assert sorted(usage.cached_tokens for usage in used[3:]) == [prompt - 1, prompt]


def test_a_total_token_budget_admits_a_group():
    """It did not when every sample of a group was charged its prompt."""
    from trivium.search.driver import solve
    from trivium.tasks import task
    from trivium.types import Answer, Budget

    async def draw(question, lm):
        chains = await lm.sample(question, n=3)
        return Answer(None, chains[0].response, chains[0].node)

    trace = solve(
        draw, task("sums").problems("test", 1), local(), budget=Budget(total_tokens=CONTEXT * 4),
        sampling=Sampling(max_tokens=4),
    )[0]  # fmt: skip
    assert not trace.error
    assert trace.usage.sampled_tokens <= 12


def test_cancelling_leaves_the_engine_clean():
    policy = local()

    async def go():
        slow = asyncio.create_task(policy.sample(ask("slow", max_tokens=60, n=4)))
        other = asyncio.create_task(policy.sample(ask("other", seed=3)))
        while policy.engine.counters.steps < 2:
            await asyncio.sleep(0)
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow
        return await other

    other = asyncio.run(go())
    assert not policy.engine.busy
    assert policy.engine.cache.used == 0
    (again,) = sample(policy, ask("other", seed=3))
    assert [c.segment.ids for c in other] == [c.segment.ids for c in again]


def test_a_failure_reaches_all_who_wait_and_is_over_then():
    policy = local()
    (expected,) = sample(policy, ask("b", seed=5))
    step = policy.engine.step
    calls = 0

    def broken():
        nonlocal calls
        calls += 1
        if calls == 3:
            raise MemoryError("no memory for the next step")
        return step()

    policy.engine.step = broken

    async def go():
        return await asyncio.gather(
            policy.sample(ask("a", n=2)), policy.sample(ask("b", seed=5)), return_exceptions=True
        )

    assert [type(e) for e in asyncio.run(go())] == [MemoryError, MemoryError]
    assert not policy.engine.busy
    (again,) = sample(policy, ask("b", seed=5))
    assert again[0].segment.ids == expected[0].segment.ids


def test_a_loop_that_is_gone_does_not_hang_the_next():
    policy = local()
    first = asyncio.new_event_loop()
    abandoned = first.create_task(policy.sample(ask("x", max_tokens=50)))
    for _ in range(8):
        first.call_soon(first.stop)
        first.run_forever()
    assert policy.engine.busy
    (found,) = sample(policy, ask("y"))
    assert len(found[0].segment.ids) == 8
    abandoned.cancel()
    first.run_until_complete(asyncio.gather(abandoned, return_exceptions=True))
    first.close()


def test_a_prefix_is_continued_on_its_own_ids():
    policy = local()
    (whole,) = sample(policy, ask("go on", temperature=0.0, max_tokens=8))
    half = Segment("model", whole[0].segment.ids[:4])
    (rest,) = sample(policy, ask("go on", temperature=0.0, max_tokens=4, prefix=(half,)))
    assert rest[0].segment.ids == whole[0].segment.ids[4:]
    (with_text,) = sample(policy, ask("go on", prefix=(Segment("tool", text="42"),)))
    assert with_text[0].prompt.ids[-2:] == tuple(policy.tokenizer.encode("42", add_special_tokens=False))


def test_scoring_agrees_with_sampling_and_reads_nothing_for_nothing():
    policy = local()
    request = ask("score", n=4, max_tokens=10)
    (completions,) = sample(policy, request)
    segments = [c.segment for c in completions] + [Segment("model")]
    scores = asyncio.run(policy.score(request, segments))
    assert scores[-1] == ()
    for c, score in zip(completions, scores, strict=False):
        assert score == pytest.approx(c.segment.logprobs, abs=1e-4)
    assert asyncio.run(policy.score(request, [])) == []


def test_scoring_in_pieces_changes_nothing(monkeypatch):
    policy = local()
    segments = [Segment("model", tuple(range(5, 5 + n))) for n in (3, 9, 1, 7)]
    whole = asyncio.run(policy.score(ask(), segments))
    monkeypatch.setattr("trivium.policies.local.SCORED_TOKENS", 8)
    for a, b in zip(whole, asyncio.run(policy.score(ask(), segments)), strict=True):
        assert a == pytest.approx(b, abs=1e-4)


def test_too_long_a_prompt_is_one_message():
    policy = local()
    with pytest.raises(UserError, match=rf"has 202 tokens but llama reads at most {CONTEXT - 1}; shorten"):
        sample(policy, ask("x" * 200))
    with pytest.raises(UserError, match="prompt and continuation"):
        asyncio.run(policy.score(ask("x" * 100), [Segment("model", (3,) * 40)]))
    with pytest.raises(UserError, match="n=0 samples"):
        sample(policy, ask(n=0))


def test_messages_without_a_chat_template_are_plain_lines():
    policy = local()
    policy.tokenizer.chat_template = None
    ids = policy.encode((Message("system", "be kind"), Message("user", "hi")))
    assert policy.decode(ids) == "be kind\nhi\n"


def test_a_response_is_closed_by_the_end_token():
    policy = local()
    ids = policy.encode_response("42")
    assert ids[-1] == EOS
    assert policy.decode(ids) == "42"
    policy.tokenizer.eos_token = None
    assert policy.encode_response("42")[-1] == EOS, "the configuration names one too"


def test_every_end_token_is_known(tmp_path):
    local().save(tmp_path)
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [EOS, 77]}))
    policy = load(tmp_path, "two ends", "fp32")
    assert isinstance(policy, LocalPolicy)
    assert policy.eos == policy.engine.eos == {EOS, 77}


def test_bf16_weights_are_saved_as_they_are(tmp_path):
    policy = local()
    policy.model.to(torch.bfloat16)
    policy.save(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "bfloat16"
    again = load(tmp_path, "again", "bf16")
    assert all(torch.equal(v, again.model.state_dict()[k]) for k, v in policy.model.state_dict().items())
    hf_model("llama").config.dtype = "float32"


def test_a_talk_reads_only_its_newest_turn():
    policy, said = local(), [Message("user", "a first question")]

    async def talk():
        for turn in ("and now", "once more", "the last"):
            [answer] = await policy.sample(Request(tuple(said), Sampling(max_tokens=4)))
            yield answer.usage.prompt_tokens - answer.usage.cached_tokens
            said.extend((Message("assistant", "well"), Message("user", turn)))

    async def listen():
        return [computed async for computed in talk()]

    computed = asyncio.run(listen())
    whole = [len(policy.encode(tuple(said[:n]))) for n in (1, 3, 5)]
    assert computed[:2] == whole[:2]
    assert computed[2] < whole[2] - whole[1] + 10, "the newest turn and the words that open an answer"


def test_what_was_read_outlives_a_pause_but_not_the_weights():
    policy = local()

    async def go():
        cached = []
        for pause in (0.0, 0.05, 0.05):
            await asyncio.sleep(pause)
            [answer] = await policy.sample(ask("go on", stop=("\x00",)))
            cached.append(answer.usage.cached_tokens)
        with torch.no_grad():
            policy.model.blocks[0].qkv.weight.mul_(1.5)
        await asyncio.sleep(0.05)
        [answer] = await policy.sample(ask("go on", stop=("\x00",)))
        return [*cached, answer.usage.cached_tokens]

    prompt = len(policy.encode((Message("user", "go on"),)))
    assert asyncio.run(go()) == [0, prompt - 1, prompt - 1, 0]


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("how", ["close", "cancel"])
def test_closing_leaves_nobody_waiting(begun, how):
    policy = local()
    (expected,) = sample(policy, ask("b", seed=5))

    async def go():
        steps = policy.engine.counters.steps
        calls = [asyncio.create_task(policy.sample(ask(text, max_tokens=60, n=2))) for text in ("a", "b")]
        while policy._pump is None or policy._pump.done() or (begun and policy.engine.counters.steps < steps + 2):
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        if how == "close":
            await policy.close()
        else:
            policy._pump.cancel()
        told = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 10)
        assert [type(error) for error in told] == [RunError, RunError]
        assert not policy.engine.busy
        return await policy.sample(ask("b", seed=5))

    [again] = asyncio.run(go())
    assert again.segment.ids == expected[0].segment.ids
