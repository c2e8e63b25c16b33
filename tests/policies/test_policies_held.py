"""Samples held to JSON are JSON, drawn as the model would draw them if it could write nothing else."""

from __future__ import annotations

import json
from collections import Counter

import torch

from trivium.engine.draw import Uniforms
from trivium.engine.engine import Job, Row
from trivium.policies.held import JsonDraw
from trivium.policies.json_guide import State, follow
from trivium.types import Sampling

EOS = 128


def letters(ids):
    return "".join(chr(i) for i in ids if i != EOS)


def made() -> JsonDraw:
    return JsonDraw(frozenset({EOS}), lambda: [letters([i]) for i in range(EOS + 1)])


def row(seed: int = 0, **changes) -> Row:
    job = Job((1,), Sampling(**{"max_tokens": 9, **changes}), 1, seed)
    return Row(job, 0, Uniforms(seed, 0))


def write(draw: JsonDraw, logits, most: int, **changes) -> str:
    """What is drawn from the same logits at every step, up to the end token."""
    one, state, text = row(**changes), State(), ""
    for _ in range(most):
        token, _, state = draw.draw(logits, one, state)
        if token == EOS:
            return text
        text += chr(token)
    return text


def test_whatever_the_model_wants_an_object_comes_out():
    draw = made()
    generator = torch.Generator().manual_seed(0)
    ended = 0
    for seed in range(16):
        logits = 2 * torch.randn(EOS + 1, generator=generator)
        logits[ord("}")] += 3
        text = write(draw, logits, 200, seed=seed, temperature=(0.7, 1.0, 0.0)[seed % 3], top_p=(1.0, 0.5)[seed % 2])
        state = follow(State(), text)
        assert state is not None
        if state.done:
            ended += 1
            assert isinstance(json.loads(text), dict)
    assert ended > 4


def test_a_model_that_writes_json_is_left_alone_and_ends_when_the_object_does():
    text = '{"a": [1, 2.5e3, "x\\n"], "b": {}}'
    draw, one, state = made(), row(temperature=0.0), State()
    for char in text:
        logits = torch.zeros(EOS + 1)
        logits[ord(char)] = 9.0
        token, logprob, state = draw.draw(logits, one, state)
        assert token == ord(char)
        assert abs(logprob - float(torch.log_softmax(logits, -1)[token])) < 1e-6
    assert draw.draw(torch.zeros(EOS + 1), one, state)[0] == EOS


def test_tokens_are_drawn_in_proportion_among_those_that_can_come():
    """After `{"a":t` only `r` can come; after `{` a quote, a brace or space, with the model's own odds."""
    draw = made()
    logits = torch.full((EOS + 1,), 1.0)
    logits[ord('"')], logits[ord("}")], logits[ord(" ")] = 3.0, 2.0, 1.0
    state = follow(State(), "{")
    assert state is not None
    one, seen = row(seed=3), Counter()
    for _ in range(1000):
        seen[chr(draw.draw(logits, one, state)[0])] += 1
    can = {'"': 3.0, "}": 2.0, " ": 1.0, "\t": 1.0, "\n": 1.0, "\r": 1.0}
    odds = torch.softmax(torch.tensor(list(can.values())), 0).tolist()
    assert set(seen) <= set(can)
    for char, p in zip(can, odds, strict=True):
        assert abs(seen[char] / 1000 - p) < 0.05
    only = follow(State(), '{"a":t')
    assert only is not None
    assert draw.draw(logits, one, only)[0] == ord("r")
