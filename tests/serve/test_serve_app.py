"""The routes through the official client: what is answered, what it says it took, and what is refused by name."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import jinja2
import openai
import pytest
from served import ASKED, SOLVED, Drip, refusal, serving, with_client, with_http

from trivium.errors import RunError
from trivium.policies.scripted import Scripted, endless, rambling, sums
from trivium.search import METHODS, method
from trivium.search.driver import solve
from trivium.serve.app import build
from trivium.serve.aside import Aside
from trivium.serve.asked import Defaults
from trivium.serve.keys import KeyFile
from trivium.serve.models import Models
from trivium.types import Message, Problem, Question, Sampling


def test_a_chat_is_answered_and_counted():
    async def act(client):
        return await client.chat.completions.create(model="demo", messages=ASKED)

    said = with_client(serving(), act)
    assert said.choices[0].message.content == SOLVED
    assert said.choices[0].finish_reason == "stop"
    assert said.usage.prompt_tokens == len("user: What is 41 + 87 - 35?\nassistant: ")
    assert said.usage.completion_tokens == len(SOLVED) + 1
    assert said.usage.total_tokens == said.usage.prompt_tokens + said.usage.completion_tokens
    assert said.usage.completion_tokens_details.reasoning_tokens == 0
    assert said.model == "demo"
    assert said.id == f"chatcmpl-{said._request_id}"


def test_a_method_says_all_that_it_spent():
    async def act(client):
        return await client.chat.completions.create(
            model="demo+vote:n=4", messages=ASKED, seed=3, extra_body={"answer_format": "number"}
        )

    said = with_client(serving(Drip(sums(0.7))), act)
    question = Question("choice-0", (Message("user", ASKED[0]["content"]),), "number")
    [trace] = solve(
        method("vote:n=4"), [Problem(question, None, "", "k", "test", "")], Scripted(sums(0.7)), seed=3,
        sampling=Sampling(max_tokens=1024),
    )  # fmt: skip
    assert said.choices[0].message.content == trace.response
    assert said.choices[0].answer == trace.answer
    assert (said.usage.prompt_tokens, said.usage.completion_tokens) == (
        trace.usage.prompt_tokens, trace.usage.sampled_tokens
    )  # fmt: skip
    assert said.usage.completion_tokens_details.reasoning_tokens == trace.usage.sampled_tokens - len(trace.response) - 1
    assert said.usage.spent == {"calls": 1, "tool_steps": 0, "judge_calls": 0}


def test_a_budget_is_kept_by_method_and_by_plain_sampling():
    async def act(client):
        method = await client.chat.completions.create(
            model="demo+vote:n=50", messages=ASKED, extra_body={"budget": {"sampled_tokens": 100}}, max_tokens=50
        )
        plain = await client.chat.completions.create(
            model="demo", messages=ASKED, n=2, extra_body={"budget": {"sampled_tokens": 20}}
        )
        return method, plain

    method, plain = with_client(serving(), act)
    assert 50 <= method.usage.completion_tokens <= 100
    assert plain.usage.completion_tokens == 20
    assert [choice.finish_reason for choice in plain.choices] == ["length", "length"]


def test_choices_differ_and_a_seed_repeats_them():
    async def act(client):
        ask = {"model": "demo", "messages": ASKED, "n": 5}
        return [
            [choice.message.content for choice in (await client.chat.completions.create(**ask, seed=seed)).choices]
            for seed in (1, 1, 2)
        ] + [
            [c.message.content for c in (await client.chat.completions.create(**(ask | {"model": name}))).choices]
            for name in ("demo+vote:n=1",)
        ]

    first, again, other, voted = with_client(serving(rambling), act)
    assert first == again != other
    assert len(set(first)) == 5
    assert len(set(voted)) == 5, "attempts of a method differ too"


def test_stop_max_tokens_and_logprobs():
    async def act(client):
        stopped = await client.chat.completions.create(model="demo", messages=ASKED, stop=["\nAns", "8 -"])
        short = await client.chat.completions.create(model="demo", messages=ASKED, max_completion_tokens=7)
        sure = await client.chat.completions.create(model="demo", messages=ASKED, logprobs=True, stop="=")
        parts = await client.chat.completions.create(
            model="demo", messages=[{"role": "user", "content": [{"type": "text", "text": ASKED[0]["content"]}]}]
        )
        return stopped, short, sure, parts

    stopped, short, sure, parts = with_client(serving(), act)
    assert stopped.choices[0].message.content == "41 + 87 = 128\n12"
    assert stopped.choices[0].finish_reason == "stop"
    assert short.choices[0].message.content == SOLVED[:7]
    assert short.choices[0].finish_reason == "length"
    tokens = sure.choices[0].logprobs.content
    assert "".join(token.token for token in tokens) == sure.choices[0].message.content == "41 + 87 "
    assert all(token.logprob < 0 for token in tokens)
    assert parts.choices[0].message.content == SOLVED


def test_json_is_asked_of_the_policy():
    policy = Drip(sums())

    async def act(client):
        ask = {"model": "demo", "messages": [{"role": "user", "content": "What is 1 + 2? Reply in JSON."}]}
        await client.chat.completions.create(**ask, response_format={"type": "json_object"})
        await client.chat.completions.create(**ask, response_format={"type": "text"})
        async for _ in await client.chat.completions.create(
            **ask, response_format={"type": "json_object"}, stream=True
        ):
            pass

    with_client(serving(policy), act)
    assert policy.as_json == [True, False, True]


def test_raw_text_is_gone_on_from():
    async def act(client):
        return await client.completions.create(model="demo", prompt=["one", "two"], n=2, seed=5, logprobs=0)

    said = with_client(serving(rambling), act)
    assert [choice.index for choice in said.choices] == [0, 1, 2, 3]
    assert len({choice.text for choice in said.choices}) == 4
    for choice in said.choices:
        assert len(choice.text) == 16 if choice.finish_reason == "length" else len(choice.text) < 16
        assert "".join(choice.logprobs.tokens) == choice.text
        assert choice.logprobs.text_offset == list(range(len(choice.text)))


def test_models_are_listed_and_described():
    async def act(client):
        return [model.id async for model in client.models.list()], await client.models.retrieve("demo+vote:n=4")

    names, one = with_client(serving(), act)
    assert names == ["demo", "demo+vote:n=4"]
    assert (one.policy, one.method) == ("demo", "vote:n=4")


SERVER = serving()
SERVER.models = Models(SERVER.models.policies | {"plain": Scripted(rambling)}, SERVER.models.methods)
APP = build(SERVER)


def refused(route: str, body: dict[str, Any]) -> tuple[int, str | None]:
    """Status and blamed field."""

    async def act(http):
        return await http.post(route, content=json.dumps(body), headers={"content-type": "application/json"})

    said = with_http(SERVER, act, app=APP)
    assert said.json()["error"]["message"]
    return said.status_code, said.json()["error"]["param"]


CHAT: dict[str, Any] = {"model": "demo", "messages": ASKED}
VOTE = CHAT | {"model": "demo+vote:n=4"}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (CHAT | {"temperature": 3}, "temperature"),
        (CHAT | {"temperature": "1"}, "temperature"),
        (CHAT | {"top_p": 0}, "top_p"),
        (CHAT | {"top_p": 0.5}, "top_p"),
        (CHAT | {"top_k": 4}, "top_k"),
        (CHAT | {"max_tokens": 0}, "max_tokens"),
        (CHAT | {"max_tokens": 5, "max_completion_tokens": 6}, "max_tokens"),
        (CHAT | {"n": 129}, "n"),
        (CHAT | {"n": True}, "n"),
        (CHAT | {"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        (CHAT | {"stop": ""}, "stop"),
        (CHAT | {"seed": 2**63}, "seed"),
        (CHAT | {"logit_bias": {"1": 2}}, "logit_bias"),
        (CHAT | {"frequency_penalty": 0.5}, "frequency_penalty"),
        (CHAT | {"presence_penalty": 0.5}, "presence_penalty"),
        (CHAT | {"top_logprobs": 2}, "top_logprobs"),
        (CHAT | {"top_logprobs": 2, "logprobs": True}, "top_logprobs"),
        (CHAT | {"response_format": {"type": "json_object"}}, "messages"),
        (VOTE | {"response_format": {"type": "json_object"}}, "response_format"),
        (CHAT | {"model": "plain", "response_format": {"type": "json_object"}}, "response_format"),
        (CHAT | {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}}, "response_format"),
        (CHAT | {"response_format": {"type": "json_object", "json_schema": {}}}, "response_format.json_schema"),
        (CHAT | {"response_format": {"type": "xml"}}, "response_format.type"),
        (CHAT | {"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        (CHAT | {"tool_choice": "required"}, "tool_choice"),
        (CHAT | {"parallel_tool_calls": True}, "parallel_tool_calls"),
        (CHAT | {"store": True}, "store"),
        (CHAT | {"metadata": {"a": "b"}}, "metadata"),
        (CHAT | {"stream_options": {"include_usage": True}}, "stream_options"),
        (CHAT | {"reasoning_effort": "high"}, "reasoning_effort"),
        (CHAT | {"budget": {"sampled_tokens": 0}}, "budget.sampled_tokens"),
        (CHAT | {"budget": {"seconds": 1}}, "budget.seconds"),
        (CHAT | {"budget": {"total_tokens": 3}}, "budget"),
        (CHAT | {"budget": {"tokens": 3}}, "budget.tokens"),
        (CHAT | {"answer_format": "number"}, "answer_format"),
        (VOTE | {"answer_format": "numbr"}, "answer_format"),
        (VOTE | {"logprobs": True}, "logprobs"),
        (VOTE | {"model": "demo+vote:n=4,temperature=0.5", "temperature": 1}, "temperature"),
        (VOTE | {"model": "demo+greedy", "temperature": 1}, "temperature"),
        (VOTE | {"model": "demo+vote:m=4"}, "model"),
        (VOTE | {"model": "demo+act"}, "model"),
        (VOTE | {"model": "demo+best-of-n:by=oracle"}, "model"),
        (CHAT | {"messages": []}, "messages"),
        (CHAT | {"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
        (CHAT | {"messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
        (CHAT | {"messages": [{"role": "user", "content": "x", "name": "me"}]}, "messages.0.name"),
        (CHAT | {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages.0.content.0.type"),
        (CHAT | {"messages": [*ASKED, {"role": "user", "content": "a\ud800"}]}, "messages.1.content"),
        ({"model": "demo"}, "messages"),
        (CHAT | {"\ud800": 1}, None),
        (CHAT | {"model": 5}, "model"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(body, param):
    assert refused("/v1/chat/completions", body) == (400, param)


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"model": "demo+vote:n=4"}, "model"),
        ({"model": "plain"}, "model"),
        ({"echo": True}, "echo"),
        ({"suffix": "x"}, "suffix"),
        ({"best_of": 3}, "best_of"),
        ({"logprobs": 2}, "logprobs"),
        ({"prompt": []}, "prompt"),
        ({"prompt": ["x"] * 100, "n": 2}, "prompt"),
        ({"prompt": "\udc00"}, "prompt"),
        ({"prompt": [3, -1]}, "prompt"),
        ({"prompt": [[3], [10**9]]}, "prompt"),
    ],
)
def test_raw_text_has_limits_too(changes, param):
    assert refused("/v1/completions", {"model": "demo", "prompt": "x"} | changes) == (400, param)


@pytest.mark.parametrize("name", ["demon", "demo+voet:n=4", ""])
def test_a_model_that_is_not_there_is_404(name):
    assert refused("/v1/chat/completions", CHAT | {"model": name}) == (404, "model")


@pytest.mark.parametrize(
    "spec", ["", "best-of-n:by=os:system", "vote:n=1000000", "vote:temperature=nan", "vote:n=none"]
)
def test_a_client_cannot_name_what_could_harm(spec):
    assert refused("/v1/chat/completions", CHAT | {"model": f"demo+{spec}"}) == (400, "model")


def test_errors_reach_the_official_client():
    async def act(client):
        with pytest.raises(openai.NotFoundError) as caught:
            await client.chat.completions.create(model="demon", messages=ASKED)
        return refusal(caught.value)

    assert with_client(serving(), act) == (404, "model")


def test_what_the_owner_lists_may_name_a_function():
    async def act(client):
        return await client.chat.completions.create(model="demo+best-of-n:n=3,by=attempts:length", messages=ASKED)

    said = with_client(serving(methods=["best-of-n:n=3,by=attempts:length"]), act)
    assert said.choices[0].message.content == SOLVED


def test_bytes_that_are_no_request_are_refused():
    async def act(http):
        bodies = (b"", b"{", b"null", b"[" * 50_000, b"\xff\xfe", b'{"model": NaN}')
        json = {"content-type": "application/json"}
        said = [await http.post("/v1/chat/completions", content=body, headers=json) for body in bodies]
        said.append(await http.post("/v1/chat/completions", content=b'{"model": "demo"}'))
        return [(r.status_code, set(r.json()["error"])) for r in said]

    assert with_http(serving(), act) == [(400, {"message", "type", "param", "code"})] * 7


def test_a_body_can_be_too_large_and_a_route_unknown():
    async def act(http):
        body = {"model": "demo", "messages": [{"role": "user", "content": "x" * 5000}]}

        async def chunks():
            for _ in range(10):
                yield b"x" * 500

        large = await http.post("/v1/chat/completions", json=body)
        unsaid = await http.post("/v1/chat/completions", content=chunks(), headers={"content-type": "application/json"})
        return large, unsaid, await http.get("/v1/embeddings"), await http.get("/v1/chat/completions")

    large, unsaid, unknown, wrong = with_http(serving(most_bytes=2000), act)
    assert [large.status_code, unsaid.status_code, unknown.status_code, wrong.status_code] == [413, 413, 404, 405]
    assert all(reply.json()["error"]["code"] for reply in (large, unsaid, unknown, wrong))


def test_a_body_that_does_not_arrive_is_not_waited_for():
    app, sent = build(serving(body_seconds=0.02)), []

    async def receive():
        await asyncio.sleep(60)

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/v1/chat/completions", "query_string": b"", "http_version": "1.1",
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json"), (b"content-length", b"99")],
    }  # fmt: skip
    asyncio.run(app(scope, receive, send))
    assert sent[0]["status"] == 408
    assert json.loads(sent[1]["body"])["error"]["code"] == "timeout"


def test_a_fault_is_one_sentence_and_the_server_goes_on():
    class Broken(Drip):
        async def sample(self, request):
            if "break" in request.messages[-1].content:
                raise RunError("secret details")
            return await Scripted.sample(self, request)

    async def act(http):
        broken = [{"role": "user", "content": "break"}]
        said = [
            await http.post("/v1/chat/completions", json={"model": model, "messages": messages})
            for model in ("demo", "demo+vote:n=4")
            for messages in (broken, ASKED)
        ]
        return [(r.status_code, "secret" in r.text) for r in said]

    assert with_http(serving(Broken(sums())), act) == [(500, False), (200, False)] * 2


def test_a_policy_that_computes_in_the_loop_keeps_nobody_waiting():
    started, goes_on = threading.Event(), threading.Event()

    class Blocking(Scripted):
        async def sample(self, request):
            started.set()
            assert goes_on.wait(10)
            return await Scripted.sample(self, request)

    async def act(http):
        asking = asyncio.create_task(http.post("/v1/chat/completions", json=CHAT))
        while not started.is_set():
            await asyncio.sleep(0.001)
        health = await http.get("/healthz")
        goes_on.set()
        return health, await asking

    health, said = with_http(serving(Aside(Blocking(sums()))), act)
    assert (health.status_code, said.json()["choices"][0]["message"]["content"]) == (200, SOLVED)


@pytest.mark.parametrize("asked", [
    [{"role": "user", "content": "What is 3 + 4?"}], [{"role": "user", "content": ""}],
    [{"role": "system", "content": "be kind"}], [{"role": "user", "content": "{x} {} % \x00 \\boxed{"}],
    [*ASKED, {"role": "assistant", "content": "x"}],
])  # fmt: skip
def test_every_method_answers_whatever_is_asked_or_says_what_it_needs(asked):
    async def act(http):
        found = {}
        for name in METHODS.names():
            for budget in ({}, {"budget": {"sampled_tokens": 5}}):
                body = {"model": f"demo+{name}", "messages": asked, "max_tokens": 40, "seed": 1} | budget
                found[name, str(budget)] = (await http.post("/v1/chat/completions", json=body)).status_code
        return found

    found = with_http(serving(Scripted(sums(0.6))), act)
    needy = {name for (name, _), status in found.items() if status == 400}
    assert set(found.values()) == {200, 400}
    assert needy == {"act", "act-with-state", "plan-and-replan", "reflect"}, "those act in a world, and there is none"


def test_a_template_may_refuse_an_order_of_roles():
    class Strict(Drip):
        def encode(self, messages):
            if messages[0].role != "user":
                raise jinja2.TemplateError("roles must alternate")
            return Scripted.encode(self, messages)

    async def act(http):
        ask = CHAT | {"messages": [{"role": "assistant", "content": "hello"}, *ASKED]}
        return [await http.post("/v1/chat/completions", json=body) for body in (ask, CHAT)]

    strange, good = with_http(serving(Strict(sums())), act)
    assert (strange.status_code, good.status_code) == (400, 200)
    assert strange.json()["error"]["param"] == "messages"


def test_time_is_limited():
    class Slow(Drip):
        async def sample(self, request):
            await asyncio.sleep(60)
            raise AssertionError

    async def act(http):
        ask = {"messages": ASKED}
        return [
            await http.post("/v1/chat/completions", json=ask | {"model": name}) for name in ("demo", "demo+vote:n=4")
        ]

    for said in with_http(serving(Slow(sums()), seconds=0.02), act):
        assert said.status_code == 504
        assert said.json()["error"]["code"] == "timeout"


def test_a_method_with_too_little_time_answers_with_its_best():
    class Slow(Drip):
        async def sample(self, request):
            await asyncio.sleep(0.02)
            return await Scripted.sample(self, request)

    async def act(client):
        return await client.chat.completions.create(
            model="demo+vote:n=none", messages=ASKED, extra_body={"budget": {"seconds": 0.15}}
        )

    said = with_client(serving(Slow(sums())), act)
    assert said.choices[0].message.content == SOLVED
    assert said.usage.spent["calls"] >= 2


def test_only_so_many_at_a_time():
    gate = asyncio.Event()

    class Held(Drip):
        async def sample(self, request):
            await gate.wait()
            return await Scripted.sample(self, request)

    async def act(http):
        ask = {"model": "demo", "messages": ASKED}
        first = asyncio.create_task(http.post("/v1/chat/completions", json=ask))
        await asyncio.sleep(0.01)
        second = await http.post("/v1/chat/completions", json=ask)
        gate.set()
        return await first, second

    first, second = with_http(serving(Held(sums()), most_requests=1), act)
    assert (first.status_code, second.status_code) == (200, 503)
    assert second.headers["retry-after"] == "1"


def test_a_client_that_leaves_is_noticed():
    ended: list[str] = []

    class Held(Drip):
        async def sample(self, request):
            try:
                await asyncio.sleep(60)
            finally:
                ended.append("cancelled")

    server = serving(Held(sums()))

    async def act(http):
        for name in ("demo", "demo+vote:n=4"):
            asking = asyncio.create_task(http.post("/v1/chat/completions", json={"model": name, "messages": ASKED}))
            await asyncio.sleep(0.01)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            await asyncio.sleep(0.01)
        return (await http.get("/metrics")).text

    series = with_http(server, act)
    assert ended == ["cancelled", "cancelled"]
    assert 'trivium_requests_total{route="/v1/chat/completions",status="499"} 2.0' in series


def test_metrics_count_what_was_spent():
    async def act(http):
        await http.post("/v1/chat/completions", json=VOTE)
        await http.post("/v1/chat/completions", json=CHAT | {"n": 0})
        await http.get("/made/up")
        return (await http.get("/metrics")).text

    series = with_http(serving(), act)
    assert f'trivium_tokens_total{{kind="sampled",policy="demo"}} {4 * (len(SOLVED) + 1)}.0' in series
    for status in ("200", "400"):
        assert f'trivium_requests_total{{route="/v1/chat/completions",status="{status}"}} 1.0' in series
    assert 'trivium_requests_total{route="other",status="404"} 1.0' in series
    assert "trivium_requests_running 0.0" in series


def test_a_page_from_elsewhere_is_not_let_in():
    async def act(http):
        hosts = ("evil.example", "localhost:8000", "127.0.0.1", "[::1]:8000")
        return [(await http.get("/v1/models", headers={"host": host})).status_code for host in hosts]

    assert with_http(serving(), act) == [403, 200, 200, 200]


FOREIGN = ["https://evil.example", "http://localhost.evil.example:8000", "http://127.0.0.1@evil.example", "null", "",
           "http://[::1", "localhost", "chrome-extension://abc"]  # fmt: skip
OWN = [None, "http://localhost:3000", "http://127.0.0.1:8000", "http://[::1]:8000", "HTTP://LOCALHOST"]


@pytest.mark.parametrize(("origin", "status"), [*((o, 403) for o in FOREIGN), *((o, 200) for o in OWN)])
def test_a_page_from_elsewhere_cannot_post(origin, status):
    """A simple request needs no leave of the server: browsers send it, and only keep the answer from the page."""
    policy = Drip(sums())

    async def act(http):
        headers = {"content-type": "text/plain"} | ({} if origin is None else {"origin": origin})
        said = [await http.post("/v1/chat/completions", content=json.dumps(CHAT), headers=headers)]
        return [*said, await http.get("/v1/models", headers=headers)]

    said, read = with_http(serving(policy), act)
    assert read.status_code == status
    if status == 403:
        assert (said.status_code, said.json()["error"]["code"]) == (403, "origin_not_allowed")
        assert repr(origin) in said.json()["error"]["message"]


def test_with_keys_a_page_may_be_from_anywhere(tmp_path):
    file = KeyFile(tmp_path / "keys.json")
    headers = {"authorization": f"Bearer {file.create('ann')}", "origin": "https://chat.example"}

    async def act(http):
        return (await http.get("/v1/models", headers=headers)).status_code

    assert with_http(serving(keys=file), act) == 200


def test_endless_samples_end_where_the_server_says():
    async def act(client):
        return await client.chat.completions.create(**CHAT)

    said = with_client(serving(endless, defaults=Defaults(max_tokens=33)), act)
    assert (said.usage.completion_tokens, said.choices[0].finish_reason) == (33, "length")
