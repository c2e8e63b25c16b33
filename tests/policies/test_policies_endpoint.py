"""The endpoint policy against a small real HTTP server on loopback, in all the moods that servers have."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from trivium.errors import ContextFull, RunError, UnknownName, Unsupported, UserError
from trivium.policies import policy
from trivium.search.driver import solve
from trivium.search.lm import LM
from trivium.types import Answer, Budget, Message, Problem, Question, Request, Sampling, Segment

pytestmark = pytest.mark.enable_socket
ASK = Request((Message("user", "What is 1 + 1?"),), Sampling(max_tokens=50), seed=2**40 + 7)
Reply = tuple[int, Any, dict[str, str]]


class Server:
    """Plays `script(body, number of the request)`; a string is sent as it is."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.script: Callable[[dict[str, Any], int], Reply] = lambda body, i: (200, chat(body), {})
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                server.bodies.append(body)
                server.headers.append({k.lower(): v for k, v in self.headers.items()})
                self._send(*server.script(body, len(server.bodies) - 1))

            def do_GET(self) -> None:
                self._send(200, {"data": [{"id": "real-model"}]}, {})

            def _send(self, status: int, data: Any, headers: dict[str, str]) -> None:
                raw = (data if isinstance(data, str) else json.dumps(data)).encode()
                self.send_response(status)
                for key, value in ({"content-length": str(len(raw))} | headers).items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.http.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that gave up is no news
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


def chat(body: dict[str, Any], texts: tuple[str, ...] | None = None, **changes: Any) -> dict[str, Any]:
    texts = texts or tuple(f"two {body['seed']} {i}" for i in range(body.get("n", 1)))
    choices = [
        {"index": i, "message": {"role": "assistant", "content": t}, "finish_reason": "stop"}
        for i, t in enumerate(texts)
    ]
    usage = {"prompt_tokens": 11, "completion_tokens": 7 * len(texts), "prompt_tokens_details": {"cached_tokens": 4}}
    return {"choices": choices, "usage": usage} | changes


def draw(server: Server, request: Request = ASK, options: str = "", model: str = "m") -> Any:
    return asyncio.run(policy(f"openai:{model}@{server.url},backoff=0.01{options}").sample(request))


def test_an_answer_with_the_servers_own_counts(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    settings = Sampling(temperature=0.5, top_p=0.9, max_tokens=50, stop=("\n",))
    [sample] = draw(server, Request(ASK.messages, settings, seed=2**40 + 7))
    assert sample.text == "two 7 0"
    assert (sample.usage.prompt_tokens, sample.usage.cached_tokens, sample.usage.sampled_tokens) == (11, 4, 7)
    [body] = server.bodies
    assert body["model"] == "m"
    assert body["seed"] == 7
    assert (body["temperature"], body["top_p"], body["max_tokens"], body["stop"]) == (0.5, 0.9, 50, ["\n"])
    assert body["messages"] == [{"role": "user", "content": "What is 1 + 1?"}]
    assert server.headers[0]["authorization"] == "Bearer sk-1"


def test_several_choices_share_the_count_and_the_first_pays_the_prompt(server: Server) -> None:
    samples = draw(server, Request(ASK.messages, ASK.sampling, n=4))
    assert len(server.bodies) == 1
    assert [s.usage.prompt_tokens for s in samples] == [11, 0, 0, 0]
    assert sum(s.usage.sampled_tokens for s in samples) == 28


@pytest.mark.parametrize("rude", [False, True])
def test_several_choices_from_a_server_that_gives_one(server: Server, rude: bool) -> None:
    def one(body: dict[str, Any], i: int) -> Reply:
        if rude and body.get("n", 1) > 1:
            return 400, {"error": {"message": "Only one completion choice is allowed"}}, {}
        return 200, chat(body | {"n": 1}), {}

    server.script = one
    model = policy(f"openai:m@{server.url},backoff=0.01")

    async def twice() -> list[Any]:
        return [await model.sample(Request(ASK.messages, ASK.sampling, n=5)) for _ in range(2)]

    first, second = asyncio.run(twice())
    assert len({s.text for s in first}) == 5, "each emulated sample has a seed of its own"
    assert [s.text for s in first] == [s.text for s in second]
    assert sum(s.usage.prompt_tokens for s in first) == 55, "five requests were made and paid"
    assert len(server.bodies) == (6 if rude else 5) + 5, "and it is asked for several only once"


def test_busy_and_broken_servers_are_asked_again(server: Server) -> None:
    moods: list[Reply] = [
        (429, {"error": {"message": "slow down"}}, {"retry-after": "0.3"}),
        (503, "overloaded", {}),
        (200, '{"choices": [{"mess', {}),
        (200, {"choices": []}, {}),
        (200, '{"choices": [', {"content-length": "500", "connection": "close"}),
    ]
    server.script = lambda body, i: moods[i] if i < len(moods) else (200, chat(body), {})
    start = time.monotonic()
    [sample] = draw(server)
    assert sample.text == "two 7 0"
    assert len(server.bodies) == 6
    assert time.monotonic() - start >= 0.3, "Retry-After is honoured"


def test_a_server_that_stays_broken_is_given_up(server: Server) -> None:
    server.script = lambda body, i: (500, {"error": {"message": "out of coffee"}}, {})
    with pytest.raises(RunError, match=r"failed 3 times.*500: out of coffee"):
        draw(server, options=",retries=2")
    assert len(server.bodies) == 3


def test_a_server_that_asks_to_wait_for_an_hour_is_given_up_at_once(server: Server) -> None:
    server.script = lambda body, i: (429, {"error": {"message": "quota"}}, {"retry-after": "3600"})
    with pytest.raises(RunError, match="wait 3600 s"):
        draw(server)


def test_slow_answers_time_out_and_are_asked_again(server: Server) -> None:
    def slow(body: dict[str, Any], i: int) -> Reply:
        time.sleep(0.6 if i == 0 else 0)
        return 200, chat(body), {}

    server.script = slow
    [sample] = draw(server, options=",timeout=0.25")
    assert sample.text == "two 7 0"
    server.bodies.clear()
    with pytest.raises(RunError, match=r"no answer within 0\.05 s"):
        draw(server, options=",timeout=0.05,retries=0")


def test_missing_usage_is_bounded_from_above_with_a_warning(server: Server) -> None:
    server.script = lambda body, i: (200, chat(body, ("two", "x" * 400), usage=None), {})
    with pytest.warns(UserWarning, match="upper bound"):
        samples = draw(server, Request(ASK.messages, ASK.sampling, n=2))
    assert sum(s.usage.sampled_tokens for s in samples) == 4 + 50, "bytes and an end token, but never above max_tokens"
    assert samples[0].usage.prompt_tokens >= len("What is 1 + 1?")


def test_the_stop_string_that_ended_a_sample_stays_in_its_text_where_the_server_names_it(server: Server) -> None:
    said = {"message": {"content": "1 + 1 = 2"}, "finish_reason": "stop"}
    reasons = ({"stop_reason": "\n"}, {"stop_reason": None}, {"stop_reason": 151645}, {})
    server.script = lambda body, i: (200, chat(body, choices=[{**said, **r} for r in reasons]), {})
    samples = draw(server, Request(ASK.messages, Sampling(stop=("\n",)), n=4))
    assert [s.text for s in samples] == ["1 + 1 = 2\n", "1 + 1 = 2", "1 + 1 = 2", "1 + 1 = 2"]


def test_logprobs_are_discovered(server: Server) -> None:
    content = [{"token": "t", "logprob": -0.5}, {"token": "wo", "logprob": -1.5}]
    choice = {"message": {"content": "two"}, "finish_reason": "length", "logprobs": {"content": content}}
    server.script = lambda body, i: (200, chat(body, choices=[choice]), {})
    model = policy(f"openai:m@{server.url}")
    assert "logprobs" not in model.capabilities
    [sample] = asyncio.run(model.sample(ASK))
    assert sample.segment.logprobs == (-0.5, -1.5)
    assert sample.finish == "length"
    assert "logprobs" in model.capabilities


def test_fields_a_server_refuses_are_replaced_once_and_for_all(server: Server) -> None:
    def picky(body: dict[str, Any], i: int) -> Reply:
        if "logprobs" in body:
            return 400, {"error": {"message": "logprobs is not supported"}}, {}
        if "max_tokens" in body:
            return 400, {"error": {"message": "max_tokens is not supported; use 'max_completion_tokens'"}}, {}
        return 200, chat(body), {}

    server.script = picky
    model = policy(f"openai:m@{server.url}")

    async def twice() -> None:
        await model.sample(ASK)
        await model.sample(ASK)

    asyncio.run(twice())
    assert len(server.bodies) == 4
    assert server.bodies[-1]["max_completion_tokens"] == 50


def test_top_k_and_prefix_only_where_declared(server: Server) -> None:
    with pytest.raises(Unsupported, match="top_k=true"):
        draw(server, Request(ASK.messages, Sampling(top_k=4)))
    continued = Request(ASK.messages, prefix=(Segment("model", text="One and"),))
    with pytest.raises(Unsupported, match="prefix=true"):
        draw(server, continued)
    assert server.bodies == []
    draw(server, Request(ASK.messages, Sampling(top_k=4)), ",top_k=true")
    assert server.bodies[0]["top_k"] == 4
    draw(server, continued, ",prefix=true")
    assert server.bodies[1]["messages"][-1] == {"role": "assistant", "content": "One and"}
    assert server.bodies[1]["continue_final_message"] is True
    with pytest.raises(Unsupported, match="score"):
        asyncio.run(policy(f"openai:m@{server.url}").score(ASK, []))


@pytest.mark.parametrize(
    ("status", "message", "error", "says"),
    [
        (401, "no key", UserError, "export OPENAI_API_KEY"),
        (404, "The model `m` does not exist", UnknownName, "real-model"),
        (400, "This model's maximum context length is 8 tokens", ContextFull, "longer than the model's context"),
        (400, "The prompt is longer than the maximum model length of 8", ContextFull, "longer than the model"),
        (400, "the request exceeds the available context size", ContextFull, "longer than the model's context"),
        (400, "prompt is too long: 9 tokens > 8 maximum", ContextFull, "longer than the model's context"),
        (400, "`inputs` must have less than 8 tokens", ContextFull, "longer than the model's context"),
        (400, "unknown field stop_token_ids", UserError, "stop_token_ids"),
        (400, "bad temperature", UserError, "bad temperature"),
    ],
)
def test_refusals_say_what_to_type(
    server: Server, status: int, message: str, error: type[Exception], says: str
) -> None:
    server.script = lambda body, i: (status, {"error": {"message": message}}, {})
    model = "m" if status == 404 else "real-model"
    with pytest.raises(error, match=says):
        draw(server, model=model)
    assert len(server.bodies) == 1, "what will not change is not asked again"


def test_a_wrong_path_says_what_an_address_looks_like(server: Server) -> None:
    server.script = lambda body, i: (404, "not found", {})
    with pytest.raises(UserError, match="/v1"):
        draw(server, model="real-model")


def test_nobody_listens(server: Server) -> None:
    server.http.shutdown()
    server.http.server_close()
    with pytest.raises(UserError, match="nothing answers at"):
        draw(server)


def test_at_most_so_many_requests_at_a_time(server: Server) -> None:
    now, most, lock = [0], [0], threading.Lock()

    def count(body: dict[str, Any], i: int) -> Reply:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.02)
        with lock:
            now[0] -= 1
        return 200, chat(body), {}

    server.script = count
    model = policy(f"openai:m@{server.url},concurrency=3")

    async def many() -> None:
        await asyncio.gather(*(model.sample(ASK) for _ in range(12)))

    asyncio.run(many())
    assert 1 < most[0] <= 3


def test_one_policy_serves_several_event_loops(server: Server) -> None:
    model = policy(f"openai:m@{server.url}")
    for _ in range(3):
        assert asyncio.run(model.sample(ASK))[0].text == "two 7 0"


@pytest.mark.parametrize("target", ["m", "m@localhost:80", "@http://h/v1"])
def test_targets_that_cannot_be_read(target: str) -> None:
    with pytest.raises(UserError, match="openai:MODEL@URL"):
        policy(f"openai:{target}")


def test_a_named_key_that_is_not_set() -> None:
    with pytest.raises(UserError, match="export NO_SUCH_KEY"):
        policy("openai:m@http://h/v1,key_env=NO_SUCH_KEY")


def test_every_request_that_was_made_counts_as_a_call(server: Server) -> None:
    server.script = lambda body, i: (200, chat(body | {"n": 1}, ("Answer: 1",)), {})
    model = policy(f"openai:m@{server.url},backoff=0.01")

    async def votes(question: Question, lm: LM) -> Answer:
        chains = await lm.sample(question, n=5)
        lm.offer(chains[0].answering(str(len(chains))))
        await lm.sample(question)
        raise AssertionError("five calls were made where three were allowed")

    about = Problem(Question("q", ASK.messages, "number"), 1, "", "k", "test", "toy")
    [trace] = solve(votes, [about], model, budget=Budget(calls=3))
    assert (trace.answer, trace.finish, trace.usage.calls) == ("5", "budget", 5)
    assert len(server.bodies) == 5
