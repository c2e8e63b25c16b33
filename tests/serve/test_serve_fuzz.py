"""Whatever a client sends, described or not, is answered as the description says: never a 500, a hang or a leak."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from typing import Any

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)
from served import ASKED, Drip, with_http

from trivium.policies.scripted import Scripted, rambling, sums
from trivium.serve.app import Server, build
from trivium.serve.models import Models

CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance,
    negative_data_rejection,
]  # fmt: skip
DRIP = Drip(rambling)
SERVER = Server(Models({"demo": DRIP, "plain": Scripted(sums(0.5))}, ("vote:n=2",)), seconds=5.0)
NAMES = ("demo", "plain", "demo+vote:n=2", "plain+mcts:n=2", "plain+greedy")

APP = build(SERVER)
SEEN: Counter[int] = Counter()
FEW = settings(max_examples=8, suppress_health_check=list(HealthCheck), derandomize=True, deadline=None, database=None)
REFUSED_ANYWAY = ("logit_bias", "frequency_penalty", "presence_penalty", "tools", "tool_choice", "response_format",
                  "parallel_tool_calls", "metadata", "store", "top_k", "top_p", "top_logprobs", "answer_format",
                  "echo", "suffix", "best_of", "stream_options", "temperature", "budget")  # fmt: skip

described = schemathesis.openapi.from_asgi("/openapi.json", APP)
served = schemathesis.openapi.from_asgi("/openapi.json", APP)
served.config.generation.modes = [schemathesis.GenerationMode.POSITIVE]


def name_of(body: dict[str, Any]) -> str:
    return NAMES[len(json.dumps(body, default=str)) % len(NAMES)]


@described.hook("map_body")
def named(context: Any, body: Any) -> Any:
    """A name that exists: else nearly all would be refused for that alone."""
    return body | {"model": name_of(body)} if isinstance(body, dict) and isinstance(body.get("model"), str) else body


@served.hook("map_body")
def simple(context: Any, body: Any) -> Any:
    """Without what is refused whatever its value is."""
    kept = {k: v for k, v in body.items() if k not in REFUSED_ANYWAY}
    return kept | {"model": name_of(kept)}


def check(case: schemathesis.Case, checks: list[Any]) -> None:
    reply = case.call_and_validate(base_url="http://localhost", checks=checks)
    SEEN[reply.status_code] += 1
    assert len(SERVER.turns) == 0
    assert DRIP.open == [0]


@described.parametrize()
@FEW
def test_every_answer_is_as_described(case: schemathesis.Case) -> None:
    check(case, CHECKS)


@served.include(method="POST").parametrize()
@FEW
def test_what_is_served_is_as_described(case: schemathesis.Case) -> None:
    check(case, CHECKS[:-1])


def test_the_fuzz_met_answers_and_refusals():
    """It would show nothing if all were refused for one reason."""
    assert SEEN[200] > 8
    assert SEEN[400] > 8


def mutated(rng: random.Random, value: Any) -> Any:
    """The value with something in it exchanged for something odd."""
    odd = (None, True, -1, 0, 2**70, 1.5, 1e308, "", "\x00", "é😀", [], {}, [[]], {"type": "text"}, "demo", "x" * 300)
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice(sorted(value))
        return value | {key: mutated(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.8:
        at = rng.randrange(len(value))
        return [*value[:at], mutated(rng, value[at]), *value[at + 1 :]]
    return rng.choice(odd)


def test_odd_requests_many_at_a_time_leave_nothing_behind():
    rng = random.Random(0)
    whole = {
        "model": "demo", "messages": ASKED, "n": 2, "stop": ["a"], "seed": 1, "stream": True, "logprobs": True,
        "stream_options": {"include_usage": True}, "temperature": 0.5, "max_tokens": 9, "top_p": 1.0,
        "budget": {"sampled_tokens": 60}, "response_format": {"type": "text"},
    }  # fmt: skip
    bodies = []
    for _ in range(300):
        kept = {k: v for k, v in whole.items() if k in ("model", "messages") or rng.random() < 0.4}
        kept["model"] = rng.choice(NAMES)
        bodies.append(mutated(rng, kept) if rng.random() < 0.7 else kept)

    async def ask(http, body: Any, leave: bool) -> int:
        async with http.stream("POST", "/v1/chat/completions", json=body) as reply:
            if not leave:
                await reply.aread()
        return reply.status_code

    async def act(http):
        found = await asyncio.gather(*(ask(http, body, i % 5 == 0) for i, body in enumerate(bodies)))
        while len(SERVER.turns):
            await asyncio.sleep(0)
        return found

    statuses = with_http(SERVER, act)
    assert set(statuses) <= {200, 400, 404, 413}
    assert statuses.count(200) > 50
    assert DRIP.open == [0]
