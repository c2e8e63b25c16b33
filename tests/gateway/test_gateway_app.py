"""The gateway is not there for its clients: what they get is what they would have got; and what was said is kept."""

from __future__ import annotations

import asyncio
import json
import re

import httpx
import openai
import pytest
from gatewayed import JSON, SSE, Fake, events, gateway, refused, through, traces, whole, with_openai
from served import ASKED, SOLVED, Drip, InProcess, refusal, serving

from trivium.policies.scripted import END, Scripted, rambling, sums
from trivium.serve.app import build as build_server
from trivium.serve.keys import KeyFile

CHAT = {"model": "demo", "messages": ASKED, "seed": 3}
HELLO = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
TIMES = re.compile(rb'"(id|created)":("[^"]*"|\d+)')


def seen(text: bytes) -> bytes:
    """An answer without what differs from one asking to the next."""
    return TIMES.sub(b"", text)


# A client that asks a real server


ASKS = [
    ("chat", CHAT), ("chat", CHAT | {"stream": True}), ("chat", CHAT | {"n": 3, "stream": True, "stop": "128"}),
    ("chat", CHAT | {"logprobs": True}), ("chat", CHAT | {"logprobs": True, "stream": True, "max_tokens": 9}),
    ("chat", CHAT | {"stream": True, "stream_options": {"include_usage": True}}),
    ("chat", CHAT | {"return_token_ids": True}), ("chat", CHAT | {"return_token_ids": True, "stream": True}),
    ("chat", CHAT | {"logprobs": False, "stream": True, "stream_options": {"include_usage": False}}),
    ("chat", CHAT | {"model": "demo+vote:n=4"}), ("chat", CHAT | {"model": "nowhere"}), ("chat", CHAT | {"n": 0}),
    ("chat", {"model": "demo"}), ("chat", CHAT | {"tools": [{"type": "function"}]}), ("chat", CHAT | {"best": 1}),
    ("text", {"model": "demo", "prompt": ["one", "two"], "n": 2, "seed": 1}),
    ("text", {"model": "demo", "prompt": ["one", "two"], "seed": 1, "stream": True}),
    ("text", {"model": "demo", "prompt": [65, 66], "seed": 1, "logprobs": 0}),
]  # fmt: skip


@pytest.mark.parametrize(("route", "body"), ASKS)
@pytest.mark.parametrize("policy", [Drip, Scripted])
def test_every_byte_is_what_it_would_have_been(tmp_path, route, body, policy):
    path = {"chat": "/v1/chat/completions", "text": "/v1/completions"}[route]

    async def ask(http):
        # The second time the gateway knows what its upstream takes.
        return [await http.post(path, json=body) for _ in range(2)]

    async def plainly():
        async with httpx.AsyncClient(transport=InProcess(build_server(serving(policy(sums())))),
                                     base_url="http://localhost") as http:  # fmt: skip
            return await ask(http)

    direct = asyncio.run(plainly())
    proxied = through(gateway(tmp_path, build_server(serving(policy(sums())))), ask)
    for ours, theirs in zip(proxied, direct, strict=True):
        assert ours.status_code == theirs.status_code
        assert seen(ours.content) == seen(theirs.content)
        assert ours.headers["content-type"] == theirs.headers["content-type"]


def test_what_was_sampled_is_kept_as_it_was_sampled(tmp_path):
    async def act(client):
        said = await client.chat.completions.create(**CHAT)
        stream = await client.chat.completions.create(**CHAT | {"n": 2, "stream": True})
        async for _ in stream:
            pass
        return said

    said = with_openai(gateway(tmp_path, build_server(serving())), act)
    assert not hasattr(said.choices[0], "token_ids")
    [trace] = traces(tmp_path)
    root, *answers = trace.nodes
    assert bytes(root.segment.ids) == b"user: What is 41 + 87 - 35?\nassistant: "
    assert [node.parent for node in answers] == [0, 0, 0], "three samples of one prompt"
    for node in answers:
        assert node.segment.source == "model"
        assert node.segment.text == SOLVED
        assert node.segment.ids == (*SOLVED.encode(), END)
        assert len(node.segment.logprobs) == len(node.segment.ids)
        assert node.segment.version == "scripted"
    assert trace.usage.sampled_tokens == 3 * (len(SOLVED) + 1)
    assert trace.usage.calls == 2
    assert (trace.response, trace.finish, trace.verdict) == (SOLVED, "stop", None)


def test_raw_text_is_kept_too(tmp_path):
    async def act(http):
        for stream in (False, True):
            body = {"model": "demo", "prompt": ["one", "two"], "n": 2, "seed": 4, "stream": stream}
            await http.post("/v1/completions", json=body)

    through(gateway(tmp_path, build_server(serving(rambling))), act)
    found = traces(tmp_path)
    assert [trace.nodes[0].segment.text for trace in found] == ["one", "two"]
    for trace in found:
        assert len(trace.nodes) == 5
        assert {bytes(i for i in n.segment.ids if i != END).decode() == n.segment.text for n in trace.nodes[1:]} == {
            True
        }
    assert found[0].nodes[1].segment == found[0].nodes[3].segment, "streamed or not"


# Upstreams of other kinds


def test_an_upstream_that_knows_nothing_of_ids_is_asked_for_them_once(tmp_path):
    def answer(asked):
        for name in ("return_token_ids", "logprobs"):
            if name in asked:
                return refused(f"Unrecognized request argument supplied: {name}")
        return whole()

    upstream = Fake(answer)

    async def act(client):
        return [await client.chat.completions.create(**HELLO) for _ in range(2)]

    said = with_openai(gateway(tmp_path, upstream), act)
    assert [s.choices[0].message.content for s in said] == ["hello", "hello"]
    extra = [sorted(a.keys() - HELLO.keys()) for a in upstream.asked]
    assert extra == [["logprobs", "return_token_ids"], ["logprobs"], [], []]
    [trace] = traces(tmp_path)
    assert [n.segment.text for n in trace.nodes] == ["user: hi\n", "hello", "hello"]
    assert [n.segment.ids for n in trace.nodes] == [(), (), ()]


@pytest.mark.parametrize("status", [400, 422, 500])
def test_a_refusal_that_names_nothing_is_tried_without_anything_added(tmp_path, status):
    upstream = Fake(lambda asked: refused("bad request", status) if "logprobs" in asked else whole())

    async def act(http):
        return [(await http.post("/v1/chat/completions", json=HELLO)).status_code for _ in range(2)]

    assert through(gateway(tmp_path, upstream), act) == [200, 200]
    assert len(upstream.asked) == (4 if status == 500 else 3), "a failure may have been one of the moment"


@pytest.mark.parametrize("status", [400, 401, 404, 422, 429, 500, 503])
def test_what_the_upstream_refuses_anyway_is_passed_on_and_teaches_nothing(tmp_path, status):
    healthy = [False]

    def answer(asked):
        return whole() if healthy[0] else (*refused("no: logprobs", status)[:2], [b'{"error": "no: logprobs"}'])

    upstream = Fake(answer)

    async def act(http):
        first = await http.post("/v1/chat/completions", json=HELLO)
        healthy[0] = True
        return first, await http.post("/v1/chat/completions", json=HELLO)

    first, second = through(gateway(tmp_path, upstream), act)
    assert (first.status_code, first.content) == (status, b'{"error": "no: logprobs"}')
    assert second.status_code == 200
    assert upstream.asked[-1]["logprobs"] is True
    assert len(traces(tmp_path)) == 1


def test_a_field_that_is_refused_with_tools_alone_is_left_out_with_tools_alone(tmp_path):
    upstream = Fake(
        lambda asked: refused("logprobs: not with tools") if asked.keys() >= {"tools", "logprobs"} else whole()
    )
    tools = HELLO | {"tools": [{"type": "function", "function": {"name": "f"}}]}

    async def act(http):
        return [
            (await http.post("/v1/chat/completions", json=body)).status_code for body in (HELLO, tools, tools, HELLO)
        ]

    assert through(gateway(tmp_path, upstream), act) == [200] * 4
    assert ["logprobs" in asked for asked in upstream.asked] == [True, True, False, False, True]


def test_what_a_client_wrote_reaches_the_upstream_byte_by_byte(tmp_path):
    raw = (
        b'{ "model": "m",\n "seed": 123456789012345678901234567890, "messages": [{"role":"user","content":"\\u00e9"}]} '
    )
    bodies = []

    async def upstream(scope, receive, send):
        bodies.append((await receive())["body"])
        await Fake(lambda _: whole())(scope, receive_nothing, send)

    async def receive_nothing():
        return {"type": "http.request", "body": b"{}"} if len(bodies) < 2 else await asyncio.sleep(60)

    async def act(http):
        return await http.post("/v1/chat/completions", content=raw)

    assert through(gateway(tmp_path, upstream), act).status_code == 200
    assert bodies[0].startswith(raw.rstrip()[:-1])
    assert json.loads(bodies[0])["return_token_ids"] is True


CALLS = [
    {"index": 0, "id": "call-1", "type": "function", "function": {"name": "add", "arguments": ""}},
    {"index": 0, "function": {"arguments": '{"a": 1,'}}, {"index": 0, "function": {"arguments": ' "b": 2}'}},
    {"index": 1, "id": "call-2", "type": "function", "function": {"name": "stop", "arguments": "{}"}},
]  # fmt: skip


def agent(asked):
    """Calls tools first, and answers when it has been told what they said."""
    if asked["messages"][-1]["role"] == "tool":
        return whole(id="chatcmpl-2")
    deltas = [{"role": "assistant", "content": None}, {"reasoning_content": "Let me "}, {"reasoning_content": "see."},
              *({"tool_calls": [call]} for call in CALLS)]  # fmt: skip
    steps = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    steps.append({"index": 0, "delta": {}, "finish_reason": "tool_calls"})
    return events({"id": "chatcmpl-1", "model": "m", "choices": [step]} for step in steps)


def test_tool_calls_and_thoughts_are_kept_as_text_and_the_conversation_is_one_trace(tmp_path):
    tools = [{"type": "function", "function": {"name": "add", "parameters": {}}}]

    async def act(client):
        messages = [{"role": "user", "content": "1 + 2?"}]
        stream = await client.chat.completions.create(model="m", messages=messages, tools=tools, stream=True)
        calls = {}
        async for chunk in stream:
            for part in chunk.choices[0].delta.tool_calls or ():
                call = calls.setdefault(
                    part.index,
                    {"id": part.id, "type": "function", "function": {"name": part.function.name, "arguments": ""}},
                )
                call["function"]["arguments"] += part.function.arguments or ""
        # Clients send back what they read, written anew.
        arguments = json.dumps(json.loads(calls[0]["function"]["arguments"]), separators=(",", ":"))
        calls[0]["function"]["arguments"] = arguments
        messages.append({"role": "assistant", "content": "", "tool_calls": list(calls.values()), "refusal": None})
        messages += [{"role": "tool", "tool_call_id": call["id"], "content": said} for call, said in
                     zip(calls.values(), ("3", "ok"), strict=True)]  # fmt: skip
        return await client.chat.completions.create(model="m", messages=messages, tools=tools)

    assert with_openai(gateway(tmp_path, Fake(agent)), act).choices[0].message.content == "hello"
    [trace] = traces(tmp_path)
    assert [(n.parent, n.segment.source, n.segment.text) for n in trace.nodes] == [
        (-1, "prompt", 'tools: [{"type":"function","function":{"name":"add","parameters":{}}}]\nuser: 1 + 2?\n'),
        (0, "model", '<think>\nLet me see.\n</think>\n<tool_call>{"name":"add","arguments":{"a":1,"b":2}}</tool_call>\n'
                     '<tool_call>{"name":"stop","arguments":{}}</tool_call>'),
        (1, "tool", "tool: 3\ntool: ok\n"),
        (2, "model", "hello"),
    ]  # fmt: skip
    assert trace.usage.tool_steps == 2


VLLM = [
    {"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None},
    {"index": 0, "delta": {"content": "he"}, "logprobs": {"content": [{"token": "he", "logprob": -0.5}]},
     "finish_reason": None, "token_ids": [7]},
    {"index": 0, "delta": {}, "logprobs": None, "finish_reason": None, "token_ids": [8]},
    {"index": 0, "delta": {"content": "y"}, "logprobs": {"content": [{"token": "y", "logprob": -0.25},
     {"token": "", "logprob": -0.1}, {"token": "", "logprob": -0.2}]}, "finish_reason": "stop", "token_ids": [9, 2]},
]  # fmt: skip


def vllm(counted):
    head = {"id": "chatcmpl-7", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    steps = [head | {"choices": [choice]} for choice in VLLM]
    steps[0]["prompt_token_ids"] = [1, 5]
    usage = {"prompt_tokens": 2, "completion_tokens": counted, "total_tokens": 2 + counted}
    return events([*steps, head | {"choices": [], "usage": usage}])


def test_an_upstream_like_vllm(tmp_path):
    async def act(http):
        return (await http.post("/v1/chat/completions", json=HELLO | {"stream": True})).text

    upstream = Fake(lambda _: vllm(4))
    text = through(gateway(tmp_path, upstream), act)
    assert upstream.asked[0]["stream_options"] == {"include_usage": True}
    chunks = [json.loads(line[6:]) for line in text.split("\n\n")[:-2]]
    assert [c["choices"][0]["delta"] for c in chunks] == [{"role": "assistant", "content": ""}, {"content": "he"},
                                                          {"content": "y"}]  # fmt: skip
    assert text.endswith("data: [DONE]\n\n")
    assert "token_ids" not in text
    assert '"logprobs":{' not in text
    [trace] = traces(tmp_path)
    prompt, said = (node.segment for node in trace.nodes)
    assert (prompt.ids, said.ids, said.logprobs, said.text) == ((1, 5), (7, 8, 9, 2), (-0.5, -0.25, -0.1, -0.2), "hey")
    assert (trace.usage.prompt_tokens, trace.usage.sampled_tokens) == (2, 4)


def test_ids_of_which_some_are_missing_are_none(tmp_path):
    async def act(http):
        await http.post("/v1/chat/completions", json=HELLO | {"stream": True})

    made = gateway(tmp_path, Fake(lambda _: vllm(9)))
    through(made, act)
    assert made.book.counts.without_ids == 1
    [trace] = traces(tmp_path)
    assert [node.segment.ids for node in trace.nodes] == [(), ()]
    assert trace.nodes[1].segment.logprobs == (-0.5, -0.25, -0.1, -0.2)
    assert "counted other tokens" in trace.nodes[0].note


# What is not recorded is passed on all the same


def test_other_routes_and_headers_are_passed_on(tmp_path):
    headers = {"content-type": "image/png", "x-request-id": "theirs", "x-ratelimit-left": "5", "connection": "x-hop",
               "set-cookie": "a=b; Path=/", "x-hop": "1"}  # fmt: skip
    upstream = Fake(lambda _: (418, headers, [b"\x89PNG", b"\x00"]))

    async def act(http):
        ask = {"content": b"--b\r\nfile", "headers": {"content-type": "multipart/form-data; boundary=b", "x-own": "1",
               "authorization": "Bearer sk-mine", "x-trivium-conversation": "a"}}  # fmt: skip
        first = await http.put("/v1/files/a%2Fb%20c?purpose=x&y=%20", **ask)
        http.cookies.clear()
        return first, await http.get("/v1/models")

    reply, _ = through(gateway(tmp_path, upstream), act)
    assert (reply.status_code, reply.content) == (418, b"\x89PNG\x00")
    assert reply.headers["content-type"] == "image/png"
    assert [reply.headers[n] for n in ("x-request-id", "x-ratelimit-left", "set-cookie")] == [
        "theirs",
        "5",
        "a=b; Path=/",
    ]
    assert "x-hop" not in reply.headers
    assert upstream.lines == ["PUT /v1/files/a%2Fb%20c?purpose=x&y=%20", "GET /v1/models"]
    assert upstream.asked[0] == {"raw": "--b\r\nfile"}
    assert upstream.headers[0]["authorization"] == "Bearer sk-mine"
    assert upstream.headers[0]["x-own"] == "1"
    assert "x-trivium-conversation" not in upstream.headers[0]
    assert "cookie" not in upstream.headers[1], "one client's cookies are not another's"
    assert traces(tmp_path) == []


@pytest.mark.parametrize("path", ["/v1/chat/completion%73", "/v1/%63hat%2Fcompletions"])
def test_a_route_is_known_however_its_path_is_written(tmp_path, path):
    upstream = Fake(lambda _: whole())

    async def act(http):
        return (await http.post(path, json=HELLO)).status_code

    assert through(gateway(tmp_path, upstream), act) == 200
    assert upstream.lines == [f"POST {path}"], "it is passed on as the client wrote it"
    assert [trace.response for trace in traces(tmp_path)] == ["hello"]


def test_headers_that_are_not_ascii_are_passed_on_byte_by_byte(tmp_path):
    got = []

    async def upstream(scope, receive, send):
        got.extend(value for name, value in scope["headers"] if name == b"x-title")
        await Fake(lambda _: whole())(scope | {"headers": []}, receive, send)

    async def act(http):
        ask = {"json": HELLO, "headers": [(b"x-title", b"caf\xe9"), (b"x-title", "\u20ac".encode())]}
        return [(await http.post(path, **ask)).status_code for path in ("/v1/chat/completions", "/v1/embeddings")]

    assert through(gateway(tmp_path, upstream), act) == [200, 200]
    assert got == [b"caf\xe9", b"\xe2\x82\xac"] * 2


@pytest.mark.parametrize("path", ["/v1/../admin", "/v1/%2e%2e/admin", "/v1/a/%2E%2E/%2e%2e/b", "/v1/./models"])
def test_no_path_leads_out(tmp_path, path):
    upstream = Fake(lambda _: whole())
    made = gateway(tmp_path, upstream)

    async def act(http):
        transport, sent = http._transport, []

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message):
            sent.append(message)

        from urllib.parse import unquote

        scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
                 "path": unquote(path), "raw_path": path.encode(), "query_string": b"", "scheme": "http",
                 "root_path": "", "server": ("localhost", 80), "client": ("127.0.0.1", 1), "headers": []}  # fmt: skip
        await transport.app(scope, receive, send)
        return sent[0]["status"]

    assert through(made, act) == 400
    assert upstream.lines == []


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"messages": 5}', b'{"model": "m"}', b"\xff", b'{"messages":[]}'])
def test_what_is_no_request_is_for_the_upstream_to_refuse(tmp_path, body):
    upstream = Fake(lambda _: refused("what is that?"))

    async def act(http):
        return await http.post("/v1/chat/completions", content=body)

    reply = through(gateway(tmp_path, upstream), act)
    assert (reply.status_code, reply.json()["error"]["message"]) == (400, "what is that?")


@pytest.mark.parametrize("answer", [
    (200, JSON, [b"no json"]), (200, JSON, [b"[1]"]), (200, JSON, [b"{}"]), (200, {}, [b"x"]), (204, {}, [b""]),
    (200, JSON, [b'{"choices": 5}']), (200, JSON, [b'{"choices": [null, 3, {"index": "a", "message": 1}]}']),
    (200, SSE, [b"data: 1\n\n", b": ping\n\n", b"event: x\ndata: {}\n\n", b"data: {\n\n", b"tail"]),
    (200, SSE, [b'data: {"choices": [{"delta": {"tool_calls": [{"index": 1e9}, 4]}, "token_ids": ["a"]}]}\n\n']),
    (200, SSE, [b'data: {"error": {"message": "overloaded"}}\n\n']),
])  # fmt: skip
def test_answers_that_make_no_sense_are_passed_on(tmp_path, answer):
    async def act(http):
        return await http.post("/v1/chat/completions", json=HELLO)

    made = gateway(tmp_path, Fake(lambda _: answer))
    reply = through(made, act)
    assert reply.status_code == answer[0]
    if b"choices" not in b"".join(answer[2]):
        assert reply.content == b"".join(answer[2])
    assert made.lost == 0
    assert all(not node.segment.ids for trace in traces(tmp_path) for node in trace.nodes)


def test_a_stream_comes_piece_by_piece_and_split_anywhere(tmp_path):
    status, headers, chunks = vllm(4)
    text = b"".join(chunks)
    upstream = Fake(lambda _: (status, headers, [text[i : i + 7] for i in range(0, len(text), 7)]))

    async def act(http):
        async with http.stream("POST", "/v1/chat/completions", json=HELLO | {"stream": True}) as reply:
            return [piece async for piece in reply.aiter_raw()]

    pieces = through(gateway(tmp_path, upstream), act)
    assert len([piece for piece in pieces if piece]) == 4, "three events and the end, each as soon as it is whole"
    assert traces(tmp_path)[0].nodes[1].segment.ids == (7, 8, 9, 2)


def test_who_has_heard_the_end_is_in_the_record(tmp_path):
    status, headers, chunks = vllm(4)
    late = asyncio.Event()
    made = gateway(tmp_path, Fake(lambda _: (status, headers, [b"".join(chunks), b": late\n\n"]), gate=late))

    async def act(http):
        async with http.stream("POST", "/v1/chat/completions", json=HELLO | {"stream": True}) as reply:
            heard = b""
            async for piece in reply.aiter_bytes():
                heard += piece
                if b"[DONE]" in heard:
                    break
            return made.book.counts.exchanges, made.book.counts.broken_off

    assert through(made, act) == (1, 0)


def test_a_client_that_leaves_ends_the_request_upstream_and_leaves_what_it_heard(tmp_path):
    upstream = Fake(lambda _: vllm(4), gate=asyncio.Event())
    made = gateway(tmp_path, upstream)

    async def act(http):
        async with http.stream("POST", "/v1/chat/completions", json=HELLO | {"stream": True}) as reply:
            await anext(reply.aiter_bytes())
        await asyncio.wait_for(upstream.left.wait(), 5)

    through(made, act)
    assert made.book.counts.broken_off == 1
    [trace] = traces(tmp_path)
    assert trace.finish == "error"
    assert "broken off" in trace.nodes[1].note


def test_a_request_that_takes_too_long_is_ended(tmp_path):
    gate = asyncio.Event()
    upstream = Fake(lambda asked: vllm(4) if asked.get("stream") else (200, JSON, [b"", b"{}"]), gate=gate)

    async def act(http):
        slow = await http.post("/v1/chat/completions", json=HELLO)
        return slow, (await http.post("/v1/chat/completions", json=HELLO | {"stream": True})).text

    slow, text = through(gateway(tmp_path, upstream, seconds=0.2), act)
    assert (slow.status_code, slow.json()["error"]["code"]) == (504, "timeout")
    assert '"code":"timeout"' in text.strip().split("\n\n")[-1]


# Keys


def test_the_upstreams_key_is_the_gateways_and_is_nowhere_on_disk(tmp_path):
    upstream = Fake(lambda _: whole())

    async def act(client):
        await client.chat.completions.create(**HELLO)

    with_openai(gateway(tmp_path, upstream, key="sk-the-owners"), act, api_key="sk-the-agents")
    assert upstream.headers[0]["authorization"] == "Bearer sk-the-owners"
    traces(tmp_path)
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"hello" in kept
    assert b"sk-the" not in kept


def test_who_has_to_show_a_key_here_does_not_show_it_there(tmp_path):
    file = KeyFile(tmp_path / "keys.json")
    secret = file.create("ann", requests_per_minute=2)
    upstream = Fake(lambda _: whole())
    made = gateway(tmp_path / "run", upstream, keys=file)

    async def act(http):
        said = [await http.post("/v1/chat/completions", json=HELLO)]
        ask = {"json": HELLO, "headers": {"authorization": f"Bearer {secret}"}}
        return said + [await http.post("/v1/chat/completions", **ask) for _ in range(3)]

    said = through(made, act)
    assert [reply.status_code for reply in said] == [401, 200, 200, 429]
    assert all("authorization" not in headers for headers in upstream.headers)
    assert secret.encode() not in b"".join(p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file())


def test_tokens_of_a_day_are_counted(tmp_path):
    file = KeyFile(tmp_path / "keys.json")
    secret = file.create("ann", tokens_per_day=10)
    usage = {"prompt_tokens": 4, "completion_tokens": 6, "total_tokens": 10}
    made = gateway(tmp_path / "run", Fake(lambda _: whole(usage=usage)), keys=file)

    async def act(http):
        ask = {"json": HELLO, "headers": {"authorization": f"Bearer {secret}"}}
        return [(await http.post("/v1/chat/completions", **ask)).status_code for _ in range(2)]

    assert through(made, act) == [200, 429]


def spent_by_a_key(folder, upstream, act, **options):
    """Tokens that are booked to a key when `act` has asked with it."""
    file = KeyFile(folder / "keys.json")
    secret = file.create("ann", tokens_per_day=10**6)
    made = gateway(folder / "run", upstream, keys=file, **options)
    through(made, act, headers={"authorization": f"Bearer {secret}"})
    return made.spending.spent(file.keys()[0])


STREAM = HELLO | {"stream": True}
LOGPROB = {"content": [{"token": "h", "logprob": -0.5}]}
PIECES = [{"delta": {"reasoning_content": "hm"}}, {"delta": {"content": "hello "}, "logprobs": LOGPROB},
          {"delta": {"content": "world"}, "logprobs": LOGPROB, "token_ids": [7]}]  # fmt: skip


@pytest.mark.parametrize(("pieces", "sampled"), [
    (VLLM, 4), ([VLLM[1], VLLM[3]], 4), (PIECES[:1], len("<think>\nhm\n</think>\n")),
    (PIECES[:2], len("<think>\nhm\n</think>\n") + 1), (PIECES, 2),
    ([{"delta": {"content": "h\u00e9"}}, {"index": 1, "delta": {"content": "llo"}}], 6), ([], None),
])  # fmt: skip
@pytest.mark.parametrize("ids", [[1, 5, 6], None])
@pytest.mark.parametrize("ends", [True, False])
def test_a_stream_that_tells_no_usage_is_not_free(tmp_path, pieces, sampled, ids, ends):
    """Closed before its last event, or from an upstream that refuses to count: what is known is booked."""
    status, headers, chunks = events([{"choices": [piece], "prompt_token_ids": ids} for piece in pieces])
    said = b"".join(chunks[:-1]) or b": ping\n\n"

    def answer(asked):
        if "stream_options" in asked:
            return refused("stream_options: unknown")
        return status, headers, [said, b"" if ends else b"data: {}\n\n"]

    upstream = Fake(answer, gate=None if ends else asyncio.Event())

    async def act(http):
        async with http.stream("POST", "/v1/chat/completions", json=STREAM) as reply:
            if ends:
                await reply.aread()
            else:
                await anext(reply.aiter_bytes())
        if not ends:
            await asyncio.wait_for(upstream.left.wait(), 5)

    prompt = len(ids) if ids and pieces else len(httpx.Request("POST", "http://h", json=STREAM).content)
    assert spent_by_a_key(tmp_path, upstream, act) == prompt + (len(said) if sampled is None else sampled)


@pytest.mark.parametrize("headers_first", [True, False])
@pytest.mark.parametrize("leaves", [True, False])
def test_a_whole_answer_that_is_not_waited_for_is_not_free_and_not_recorded(tmp_path, headers_first, leaves):
    asking = asyncio.Event()

    async def upstream(scope, receive, send):
        asking.set()
        if headers_first:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        while (await receive())["type"] != "http.disconnect":
            pass

    body = HELLO | {"max_tokens": 50, "n": 2}

    async def act(http):
        if not leaves:
            assert (await http.post("/v1/chat/completions", json=body)).status_code == 504
            return
        task = asyncio.create_task(http.post("/v1/chat/completions", json=body))
        await asking.wait()
        await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    prompt = len(httpx.Request("POST", "http://h", json=body).content)
    assert spent_by_a_key(tmp_path, upstream, act, seconds=60 if leaves else 0.1) == prompt + 100
    assert traces(tmp_path / "run") == []


def test_a_stream_that_nobody_begins_to_read_is_not_free(tmp_path):
    async def act(http):
        async def leave(message):
            raise ConnectionError

        body, headers = [json.dumps(STREAM).encode()], [(b"authorization", http.headers["authorization"].encode())]

        async def receive():
            return {"type": "http.request", "body": body.pop()} if body else await asyncio.sleep(60)

        scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "raw_path": b"/v1/chat/completions",
                 "query_string": b"", "headers": headers}  # fmt: skip
        with pytest.raises(ConnectionError):
            await http._transport.app(scope, receive, leave)

    assert spent_by_a_key(tmp_path, Fake(lambda _: vllm(4)), act) == len(json.dumps(STREAM))


@pytest.mark.parametrize(("usage", "booked"), [
    ({"total_tokens": 11}, 11), ({"prompt_tokens": 4, "completion_tokens": 5}, 9), ({"total_tokens": 0}, None),
    ({"total_tokens": -5}, None), ({"total_tokens": "many"}, None), (None, None),
])  # fmt: skip
def test_a_whole_answer_is_booked_as_the_upstream_counts_or_by_its_bytes(tmp_path, usage, booked):
    async def act(http):
        await http.post("/v1/chat/completions", json=HELLO)

    prompt = len(httpx.Request("POST", "http://h", json=HELLO).content)
    spent = spent_by_a_key(tmp_path, Fake(lambda _: whole(usage=usage)), act)
    assert spent == (prompt + len("hello") if booked is None else booked)


@pytest.mark.parametrize("answer", [refused("no"), (302, {"location": "http://h"}, [b"x"])])
def test_what_the_upstream_refuses_takes_no_tokens(tmp_path, answer):
    async def act(http):
        await http.post("/v1/chat/completions", json=HELLO)

    assert spent_by_a_key(tmp_path, Fake(lambda _: answer), act) == 0


UNCOUNTED = [
    ("POST", "/v1/responses", b'{"input": "hi"}', 403, None), ("POST", "/v1/embeddings", b"{}", 403, None),
    ("PUT", "/v1/chat/completions", b"{}", 403, None), ("POST", "/v1//chat/completions", b"{}", 403, None),
    ("POST", "/v1/chat/completion%2573", b"{}", 403, None), ("POST", "/v1/chat/completions/", b"{}", 403, None),
    ("POST", "/v1/chat/completions", b'{"messages": [], "x": NaN}', 400, "messages"),
    ("POST", "/v1/chat/completions", json.dumps(HELLO).encode("utf-16"), 400, "messages"),
    ("POST", "/v1/completions", b'{"prompt_embeds": "x"}', 400, "prompt"), ("GET", "/v1/models", b"", 200, None),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body", "status", "param"), UNCOUNTED)
def test_what_is_not_counted_is_not_for_a_key_with_tokens_a_day(tmp_path, method, path, body, status, param):
    file = KeyFile(tmp_path / "keys.json")
    secrets = [file.create("ann", tokens_per_day=10), file.create("bob", requests_per_minute=9)]
    upstream = Fake(lambda _: whole())

    async def act(http):
        ask = [{"content": body, "headers": {"authorization": f"Bearer {secret}"}} for secret in secrets]
        return [await http.request(method, path, **asked) for asked in ask]

    limited, free = through(gateway(tmp_path / "run", upstream, keys=file), act)
    assert (limited.status_code, free.status_code) == (status, 200)
    assert len(upstream.lines) == (2 if status == 200 else 1)
    if status != 200:
        error = limited.json()["error"]
        assert error["param"] == param
        assert "tokens a day" in error["message"]


def test_a_page_from_elsewhere_cannot_ask(tmp_path):
    async def act(http):
        simple = {"content-type": "text/plain", "origin": "https://evil.example"}
        return [await http.get("/v1/models", headers={"host": "evil.example"}),
                await http.post("/v1/chat/completions", content=json.dumps(HELLO), headers=simple)]  # fmt: skip

    upstream = Fake(lambda _: whole())
    said = through(gateway(tmp_path, upstream, key="sk-the-owners"), act)
    assert [reply.json()["error"]["code"] for reply in said] == ["host_not_allowed", "origin_not_allowed"]
    assert upstream.lines == []
    assert traces(tmp_path) == []


# Scores


def test_what_an_answer_was_worth_is_said_by_its_id_or_its_conversation(tmp_path):
    numbers = iter(range(9))
    upstream = Fake(lambda _: whole(id=f"chatcmpl-{next(numbers)}"))

    async def act(client):
        first = await client.chat.completions.create(**HELLO)
        named = await client.chat.completions.with_raw_response.create(
            **HELLO, extra_headers={"x-trivium-conversation": "task-7"}
        )
        auto = await client.chat.completions.with_raw_response.create(
            model="m", messages=[{"role": "user", "content": "other"}]
        )
        http = client._client
        for body in ({"id": first.id, "score": 1}, {"conversation": "task-7", "score": 0.25},
                     {"conversation": auto.headers["x-trivium-conversation"], "score": 0}):  # fmt: skip
            assert (await http.post("/v1/trivium/score", json=body)).json() == {"scored": True}
        return named.headers["x-trivium-conversation"]

    assert with_openai(gateway(tmp_path, upstream), act) == "task-7"
    verdicts = [(t.question_id, t.verdict.status, t.verdict.score) for t in traces(tmp_path)]
    assert [(status, score) for _, status, score in verdicts] == [("correct", 1.0), ("wrong", 0.25), ("wrong", 0.0)]
    assert verdicts[1][0] == "task-7"


@pytest.mark.parametrize(("body", "status", "param"), [
    ({"conversation": "a", "score": 2}, 400, "score"), ({"conversation": "a", "score": True}, 400, "score"),
    ({"conversation": "a", "score": float("nan")}, 400, "score"), ({"conversation": "a"}, 400, "score"),
    ({"score": 1}, 400, "conversation"), ({"id": "", "score": 1}, 400, "conversation"),
    ({"id": "x", "conversation": "a", "score": 1}, 400, "conversation"), ({"id": "x", "score": 1}, 404, "id"),
    ({"conversation": "nobody", "score": 1}, 404, "conversation"), ({"id": "x", "reward": 1}, 400, "reward"),
    ({"id": "x", "score": 1, "choice": -1}, 400, "choice"), ([], 400, None), ("{", 400, None),
])  # fmt: skip
def test_a_score_that_makes_no_sense_is_refused(tmp_path, body, status, param):
    async def act(http):
        content = body if isinstance(body, str) else json.dumps(body)
        return await http.post("/v1/trivium/score", content=content)

    reply = through(gateway(tmp_path, Fake(lambda _: whole())), act)
    assert (reply.status_code, reply.json()["error"]["param"]) == (status, param)


def test_a_name_that_is_none_is_refused(tmp_path):
    async def act(http):
        return await http.post("/v1/chat/completions", json=HELLO, headers={"x-trivium-conversation": "a b"})

    reply = through(gateway(tmp_path, Fake(lambda _: whole())), act)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "x-trivium-conversation")


def test_a_full_disk_does_not_keep_the_agent_from_its_answer(tmp_path, monkeypatch):
    made = gateway(tmp_path, Fake(lambda _: whole()))
    monkeypatch.setattr(made.book, "_write", lambda line: (_ for _ in ()).throw(OSError(28, "No space left")))

    async def act(http):
        return await http.post("/v1/chat/completions", json=HELLO), await http.get("/healthz")

    reply, health = through(made, act)
    assert reply.json()["choices"][0]["message"]["content"] == "hello"
    assert health.json()["lost"] == 1


def test_errors_of_the_official_client_are_those_of_the_upstream(tmp_path):
    async def act(client):
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(**CHAT | {"stop": ["a"] * 9})
        return refusal(caught.value)

    assert with_openai(gateway(tmp_path, build_server(serving())), act) == (400, "stop")
